"""Weights in 8 bits that were divided by scales: which tensor scales which, and the product.

A weight w is stored in float8 or int8 as q = w / s, and used as q * s. ComfyUI's files have s
beside the weight: `X.scale_weight` (2025, with an empty tensor `scaled_fp8` as a mark) or
`X.weight_scale` (later, with the form of the layer as JSON in `X.comfy_quant` or in the file's
metadata). HunyuanVideo's float8 file has its scales, by X, in a second file.

A scale is one number, one a row, or one a block. Its shape tells which; no other shape is taken,
since broadcasting would multiply some of them along the wrong axis.
"""

from __future__ import annotations

from collections.abc import Collection
from math import prod

import torch
from torch import Tensor

from fbridge.errors import CheckpointError

SCALES = ("scale_weight", "weight_scale")
"""Last parts of the names of scales, of the layer whose `weight` they multiply."""
ASIDE = (*SCALES, "scale_input", "input_scale", "comfy_quant", "scaled_fp8")
"""The same of tensors that are no weights. Scales of inputs are for kernels that multiply in 8
bits; a layer that multiplies in more has no use for them."""
FORMAT = "comfy_quant"
_PRECISE = ("float64", "float32", "float16", "bfloat16")
_STORED = ("float8_e4m3fn", "float8_e5m2", "int8", *_PRECISE)
Shape = tuple[int, ...]


def find_scales(names: Collection[str]) -> dict[str, str]:
    """Weight -> its scale, by their names; of two scales of one weight, the first."""
    found: dict[str, str] = {}
    for name in sorted(names):
        kind = name.rpartition(".")[2]
        weight = f"{name.removesuffix(kind)}weight"
        if kind in SCALES and weight in names:
            found.setdefault(weight, name)
    return found


def find_aside(names: Collection[str]) -> set[str]:
    """Names of the tensors that serve scaled weights and are none themselves."""
    scales = find_scales(names)
    return {
        name
        for name in names
        if (kind := name.rpartition(".")[2]) in ASIDE
        and (kind not in SCALES or name in scales.values())
    }


def scale_fault(weight: tuple[Shape, str], scale: tuple[Shape, str]) -> str:
    """Why a scale cannot be applied, by shape and type of a weight and of it; "" if it can."""
    if scale[1] not in _PRECISE:
        return f"its scale is {scale[1]}"
    if weight[1] not in _STORED:
        return f"its numbers are {weight[1]}, several in one"
    if _blocks(weight[0], scale[0]) is None:
        return f"its shape is {list(weight[0])} and that of its scale {list(scale[0])}"
    return ""


def multiply(weight: Tensor, scale: Tensor, name: str) -> Tensor:
    """The weight in float32 that was divided by a scale.

    Args:
        weight: stored, of any shape (R, ...).
        scale: one number; (R,) or (R, 1, ...), one a row; or of a matrix (R, C) one a block: (r, c)
            or (r, c, 1), where blocks are whole rows or columns or have sides of powers of two.
        name: of the weight, for messages.

    Raises:
        CheckpointError: the scale is of another shape, or not finite.
    """
    sides = _blocks(tuple(weight.shape), tuple(scale.shape))
    if sides is None:
        shapes = f"{list(weight.shape)} and that of its scale {list(scale.shape)}"
        raise CheckpointError(f"{name}: its shape is {shapes}, which is no known form")
    factor = scale.float()
    if not factor.isfinite().all():
        raise CheckpointError(f"{name}: its scale is not finite; get the file again")
    product = weight.to(torch.float32, copy=True)
    rows, columns = sides
    grid = product.view(rows, len(weight) // rows if weight.ndim else 1, columns, -1)
    grid.mul_(factor.view(rows, 1, columns, 1))
    return product


def _blocks(weight: Shape, scale: Shape) -> tuple[int, int] | None:
    """Numbers of blocks along rows and columns that have a scale each; None of no known form.

    Powers of two make a block's side certain: n blocks of side 2^k that fill an axis are no other
    number of blocks of any other power of two.
    """
    if prod(scale) == 1:
        return 1, 1
    while scale[-1] == 1:
        scale = scale[:-1]
    if not weight or len(scale) > 2 or (len(scale) == 2 and len(weight) != 2):
        return None
    if len(scale) == 1:
        return (scale[0], 1) if scale[0] == weight[0] else None
    if not all(map(_divides, scale, weight)):
        return None
    return scale[0], scale[1]


def _divides(count: int, whole: int) -> bool:
    side, rest = divmod(whole, count) if count else (0, 1)
    return rest == 0 and (count == 1 or side & (side - 1) == 0)
