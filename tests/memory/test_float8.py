"""Weights that came from scaled float8 are the same numbers again when they are kept so."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fbridge.memory.float8 import STORED, ScaledLinear, to_float8


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [False, True])
def test_a_files_numbers_and_scales_are_found_again(dtype: torch.dtype, *, rows: bool) -> None:
    torch.manual_seed(1)
    exact = torch.randn(64, 96) * 0.02
    exact *= torch.logspace(-1, 0, 64)[:, None]
    scale = exact.abs().amax(1, keepdim=True) / 448 if rows else exact.abs().max() / 448
    stored = (exact / scale).to(STORED)
    found, factor = to_float8((stored.float() * scale).to(dtype))
    assert torch.equal(found.float(), stored.float())
    assert factor.shape == (64 if rows else 1, 1)
    close = 2e-4 if dtype == torch.float32 else 2e-3
    torch.testing.assert_close(factor, scale.view_as(factor), rtol=close, atol=0)


def test_a_layer_computes_in_the_precision_of_its_input() -> None:
    torch.manual_seed(1)
    layer, x = nn.Linear(64, 32), torch.randn(5, 64, requires_grad=True)
    kept = ScaledLinear(layer)
    assert kept.weight.dtype == STORED
    out = kept(x)
    assert 0 < float((out - layer(x)).norm() / out.norm()) < 0.05
    out.sum().backward()
    assert x.grad is not None
    half = ScaledLinear(layer.bfloat16())(x.bfloat16())
    assert half.dtype == torch.bfloat16


def test_rows_of_zeros_stay_zeros() -> None:
    weight = torch.zeros(4, 8)
    weight[2] = 1e-3
    stored, scale = to_float8(weight)
    assert torch.allclose(stored.float() * scale, weight, rtol=1e-6)
    assert not to_float8(torch.zeros(2, 2))[0].float().any()


@pytest.mark.parametrize("autocast", [False, True])
def test_gradients_are_those_of_the_multiplied_weight(*, autocast: bool) -> None:
    torch.manual_seed(1)
    kept = ScaledLinear(nn.Linear(64, 32))
    plain = nn.Linear(64, 32)
    plain.weight.data = kept.weight.float() * kept.scale
    plain.bias.data = kept.bias.data.clone()
    x = torch.randn(2, 5, 64)
    found = []
    for layer in (kept, plain):
        given = x.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            out = layer(given)
        assert out.dtype == (torch.bfloat16 if autocast else torch.float32)
        out.float().square().sum().backward()
        assert given.grad is not None
        found.append((out.detach(), given.grad, layer.bias.grad))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_the_backward_pass_keeps_float8() -> None:
    kept = ScaledLinear(nn.Linear(64, 32, bias=False))
    held = []

    def pack(value: torch.Tensor) -> torch.Tensor:
        held.append((value.dtype, value.numel()))
        return value

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        kept(torch.randn(5, 64, requires_grad=True)).sum().backward()
    assert (STORED, 64 * 32) in held
    assert not any(dtype != STORED and count > 64 for dtype, count in held)
