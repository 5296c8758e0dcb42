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
