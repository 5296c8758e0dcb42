"""Linear layers whose weights stay in float8 with scales, and are multiplied when they are used."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STORED = torch.float8_e4m3fn


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
    """
    whole = weight.float()
    found = [_rounded(whole, dims) for dims in ((0, 1), (1,))]
    return min(found, key=lambda pair: float((pair[0].float() * pair[1] - whole).square().sum()))


def _rounded(whole: Tensor, dims: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    most = torch.finfo(STORED).max
    least = torch.finfo(torch.float32).tiny
    scale = (whole.abs().amax(dims, keepdim=True) / most).clamp(min=least)
    stored = (whole / scale).to(STORED)
    numbers = stored.float()
    squares = numbers.square().sum(dims, keepdim=True).clamp(min=least)
    return stored, torch.where(
        squares > least, (whole * numbers).sum(dims, keepdim=True) / squares, scale
    )
