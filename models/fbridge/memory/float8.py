"""Linear layers whose weights stay in float8 with scales, and are multiplied when they are used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STORED = torch.float8_e4m3fn
_AT_ONCE = 2**18
"""Weights that are in float32 at a time."""


class ScaledLinear(nn.Linear):
    """A linear layer with a float8 weight, computed in the precision of its input.

    The weight stays as it is in training; what the backward pass keeps of it is in float8 too.

    Attributes:
        weight: (R, C) in float8.
        scale: (1, 1) or (R, 1) in float32, of the whole weight or of each row.
    """

    scale: Tensor

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__(layer.in_features, layer.out_features, bias=False, device="meta")
        weight, scale = to_float8(layer.weight.detach())
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = layer.bias
        self.register_buffer("scale", scale)

    def forward(self, input: Tensor) -> Tensor:
        """(..., R) of (..., C)."""
        kind = input.device.type
        bias: Tensor | None = self.bias
        if torch.is_autocast_enabled(kind):
            input = input.to(torch.get_autocast_dtype(kind))
            bias = bias if bias is None else bias.to(input.dtype)
        with torch.autocast(kind, enabled=False):
            multiply: Any = _Multiply.apply
            out: Tensor = multiply(input, self.weight, self.scale, bias)
        return out


class _Multiply(torch.autograd.Function):
    """A linear layer that multiplies its weight by its scales in either pass.

    A plain one would keep the multiplied weight until the backward pass.
    """

    @staticmethod
    def forward(
        ctx: Any, input: Tensor, weight: Tensor, scale: Tensor, bias: Tensor | None
    ) -> Tensor:
        ctx.save_for_backward(weight, scale)
        return F.linear(input, _multiplied(weight, scale, input.dtype), bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (gradient,) = gradients
        weight, scale = ctx.saved_tensors
        of_bias = gradient.flatten(0, -2).sum(0) if ctx.needs_input_grad[3] else None
        return gradient @ _multiplied(weight, scale, gradient.dtype), None, None, of_bias


def _multiplied(weight: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    return (weight.float() * scale).to(dtype)


def to_float8(weight: Tensor) -> tuple[Tensor, Tensor]:
    """A matrix (R, C) as float8 numbers and the scale of all (1, 1), or of each row (R, 1).

    The nearer of the two is taken, so that weights that were stored in float8 with the largest
    number in use, as scaled files have them, become the same numbers again. The scale is that of
    the least squares to these numbers, which a rounding of the weights in between moves little.
    Some rows at a time are in float32, since a network's weights may hardly fit into memory.
    """
    parts = weight.split(max(1, _AT_ONCE // weight.shape[1]))
    largest = torch.cat([part.float().abs().amax(1, keepdim=True) for part in parts])
    found = [_fit(parts, largest, whole=whole) for whole in (True, False)]
    scale, divisor = min(found, key=lambda fit: fit.error)[:2]
    stored = torch.empty_like(weight, dtype=STORED)
    places = stored.split(len(parts[0]))
    for own, part, by in zip(places, parts, _rows(divisor, parts), strict=True):
        own.copy_(part.float() / by)
    return stored, scale


class _Fit(NamedTuple):
    """Scales, what the weights are divided by before they are rounded, and the squared error."""

    scale: Tensor
    divisor: Tensor
    error: float


def _fit(parts: Sequence[Tensor], largest: Tensor, *, whole: bool) -> _Fit:
    least = torch.finfo(torch.float32).tiny
    most = largest.amax(0, keepdim=True) if whole else largest
    divisor = (most / torch.finfo(STORED).max).clamp(min=least)
    sums = []
    for part, by in zip(parts, _rows(divisor, parts), strict=True):
        exact = part.float()
        numbers = (exact / by).to(STORED).float()
        pairs = ((exact, numbers), (numbers, numbers), (exact, exact))
        sums.append(torch.stack([(a * b).sum(1, dtype=torch.float64) for a, b in pairs], 1))
    products, squares, total = torch.cat(sums).split(1, 1)
    if whole:
        products, squares = (each.sum(0, keepdim=True) for each in (products, squares))
    scale = torch.where(squares > least, products / squares.clamp(min=least), divisor.double())
    error = total.sum() - (scale * products).sum()
    return _Fit(scale.float(), divisor, float(error))


def _rows(divisor: Tensor, parts: Sequence[Tensor]) -> Sequence[Tensor]:
    """What each part is divided by."""
    if len(divisor) == 1:
        return [divisor] * len(parts)
    return divisor.split([len(part) for part in parts])
