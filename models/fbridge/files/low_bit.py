"""Weights in few bits that are wrong without scales, which are not read.

Scaled float8 and integer weights were divided by a number per tensor, row or block. That number is
a tensor beside each (`scale_weight` of ComfyUI's and Kijai's files, `weight_scale` of newer ones),
lies in a second file (HunyuanVideo's `_map.pt`), or was left behind. Float8 that is a plain cast
needs none.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from fbridge.errors import CheckpointError
from fbridge.files.configs import read_json
from fbridge.files.tensors import Header, read_header, read_some
from fbridge.files.weight_files import GGUF, find_weight_file

_SCALES = frozenset(
    [
        "scale_weight", "weight_scale", "weight_scale_2", "weight_scale_inv", "scale_input",
        "input_scale", "pre_quant_scale", "scaled_fp8", "comfy_quant", "absmax", "quant_map", "SCB",
        "qweight", "qzeros", "wscales", "_scale",
    ]
)  # fmt: skip
"""Last parts of the names of tensors that only files with scales hold."""
_METADATA = "_quantization_metadata"
_INTEGERS = ("int8", "uint8")
_FLOAT8 = "float8"
_SAMPLED = 8
_NO_SIGN = 0x7F
_WAY_OUT = "take the file in bfloat16, float16 or GGUF, or in float8 without scales"


def low_bit_refusal(path: Path, header: Header, names: Iterable[str] | None = None) -> str:
    """Why a file's weights in few bits cannot be used; "" if they can, or there are none.

    A plain cast keeps the values of the weights, which are far below the largest number of float8;
    weights that were divided by their scale reach it. So at most 8 of the float8 matrices are read,
    and refused where most of them come within a factor of two of it.

    Args:
        path: of the file, or of an index of shards.
        header: of the file.
        names: of the tensors that count; None is all of them.
    """
    if path.suffix == GGUF:  # its blocks hold their scales
        return ""
    own = sorted(header.shapes if names is None else names)
    marks = [name for name in own if name.rpartition(".")[2] in _SCALES]
    if marks or _METADATA in header.metadata:
        mark = min(marks, key=len) if marks else f"{_METADATA} in its header"
        return (
            f"holds weights in few bits that need scales ({mark}), which are not read; {_WAY_OUT}"
        )
    matrices = [name for name in own if len(header.shapes[name]) > 1]
    integers = [name for name in matrices if header.dtypes[name] in _INTEGERS]
    if integers:
        return f"holds integers as weights ({integers[0]}) and no scales for them; {_WAY_OUT}"
    small = [name for name in matrices if header.dtypes[name].startswith(_FLOAT8)]
    if not small:
        return ""
    sample = small[:: -(-len(small) // _SAMPLED)]
    filled = [name for name, tensor in read_some(path, set(sample)) if _fills_range(tensor)]
    if 2 * len(filled) <= len(sample):
        return ""
    beside = path.with_name(f"{path.stem}_map{path.suffix}")
    where = f"lie in {beside.name} and are not read" if beside.is_file() else "are not in it"
    return (
        f"holds float8 weights up to the largest number of their type ({min(filled)}): they were "
        f"divided by scales, which {where}; {_WAY_OUT}"
    )


def check_low_bit(folder: Path) -> None:
    """Raise CheckpointError where the weights in a network's folder need scales.

    Libraries leave out the scales that they do not know. What they quantised themselves, as the
    configuration says, they read.
    """
    weights = find_weight_file(folder)
    if weights is None or "quantization_config" in read_json(folder / "config.json"):
        return
    if why := low_bit_refusal(weights, read_header(weights)):
        raise CheckpointError(f"{weights}: {why}")


def _fills_range(tensor: Tensor) -> bool:
    """Whether the largest magnitude is at least half of the largest that the type has."""
    half = torch.tensor(torch.finfo(tensor.dtype).max / 2).to(tensor.dtype)
    bits = tensor.contiguous().view(torch.uint8) & _NO_SIGN  # in the order of the magnitudes
    return bool(bits.max() >= half.view(torch.uint8))
