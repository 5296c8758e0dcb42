"""Memory and arithmetic counted on shapes alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from fbridge.memory.meter import measure_memory


def test_a_chain_holds_two_tensors_at_a_time() -> None:
    x = torch.empty(1000, device="meta")

    def compute() -> object:
        y = x
        for _ in range(5):
            y = y + 1
        return y

    found = measure_memory(compute)
    assert found.peak == 2 * 4000
    assert found.flops == 0


def test_what_is_given_and_views_of_it_cost_nothing() -> None:
    x = torch.empty(10, 10, device="meta")
    assert measure_memory(lambda: x.view(100)[3:].reshape(97)).peak == 0


def test_gradients_keep_what_they_need() -> None:
    layers = nn.Sequential(*(nn.Linear(8, 8, bias=False) for _ in range(4))).to("meta")
    x = torch.empty(100, 8, device="meta")

    def forward() -> object:
        with torch.no_grad():
            return layers(x)

    def backward() -> None:
        layers(x).sum().backward()
        layers.zero_grad()

    one = 100 * 8 * 4
    assert measure_memory(forward).peak == 2 * one
    learnt = measure_memory(backward)
    assert 4 * one <= learnt.peak <= 7 * one + 4 * 8 * 8 * 4
    assert measure_memory(forward).flops == 4 * 2 * 100 * 8 * 8
    assert learnt.flops == (4 * 3 - 1) * 2 * 100 * 8 * 8  # nothing is learnt of x itself


def test_attention_is_fused() -> None:
    query, key = torch.empty(2, 3, 500, 16, device="meta"), torch.empty(2, 3, 70, 16, device="meta")
    found = measure_memory(lambda: F.scaled_dot_product_attention(query, key, key))
    assert found.flops == 4 * 2 * 3 * 500 * 70 * 16
    assert found.peak <= 3 * query.numel() * 4, "no table of 500 x 70"
    itself = measure_memory(lambda: F.scaled_dot_product_attention(query, query, query))
    assert itself.flops == 4 * 2 * 3 * 500 * 500 * 16
    learnt = query.clone().requires_grad_()
    whole = measure_memory(
        lambda: F.scaled_dot_product_attention(learnt, learnt, learnt).sum().backward()
    )
    assert whole.flops == itself.flops * 7 // 2
    real = torch.randn(1, 1, 4, 8)
    assert F.scaled_dot_product_attention(real, real, real).shape == real.shape, "torch's again"


def test_shapes_alone_tell_what_numbers_would_need() -> None:
    layers = nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.GELU(), nn.Conv2d(8, 3, 3))
    pixels = torch.randn(2, 3, 20, 20)
    real = measure_memory(lambda: layers(pixels).square().mean().backward())
    layers.zero_grad()
    empty = layers.to("meta")
    told = measure_memory(lambda: empty(pixels.to("meta")).square().mean().backward())
    assert told.flops == real.flops
    assert told.peak == pytest.approx(real.peak, rel=0.15)


def test_what_is_computed_twice_is_not_kept() -> None:
    blocks = nn.ModuleList(
        nn.Sequential(nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU()) for _ in range(9)
    ).to("meta")
    x = torch.empty(4096, 64, device="meta")

    def step(*, twice: bool) -> Callable[[], object]:
        def compute() -> object:
            y = x
            for block in blocks:
                y = checkpoint(block, y, use_reentrant=False) if twice else block(y)
            y.sum().backward()
            blocks.zero_grad()
            return y

        return compute

    once, again = measure_memory(step(twice=False)), measure_memory(step(twice=True))
    assert again.peak < 0.6 * once.peak
    assert again.flops == pytest.approx(once.flops * 4 / 3, rel=0.02)
