"""Weights in few bits that cannot be read, by name, and what they are.

float8 that is a plain cast is read, and float8 and int8 with scales (`fbridge.files.scaled`). Forms
of four bits, rotated weights, scales of other shapes and weights without their scales are refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fbridge.errors import CheckpointError
from fbridge.files.configs import read_json
from fbridge.files.pickles import scales_beside
from fbridge.files.scaled import FORMAT, SCALES, scale_fault
from fbridge.files.tensors import Header, open_tensors, read_header
from fbridge.files.weight_files import GGUF, PICKLES, find_weight_file

_FOREIGN = {
    "weight_scale_2": "nvfp4",
    "weight_s_rel": "w4a8 with a codebook",
    "weight_codebook": "w4a8 with a codebook",
    "pre_quant_scale": "scaled by the layer's input (AWQ, SmoothQuant)",
    "absmax": "bitsandbytes",
    "quant_map": "bitsandbytes",
    "SCB": "bitsandbytes",
    "qweight": "GPTQ, AWQ or SVDQuant",
    "qzeros": "GPTQ or AWQ",
    "wscales": "SVDQuant",
    "_scale": "quanto",
    "weight_scale_inv": "float8 in blocks of another scale",
}
"""Last parts of the names of tensors that only files of a form that is not read hold."""
_FORMATS = {"float8_e4m3fn", "float8_e5m2", "float8_e4m3fn_rowwise", "float8_e4m3fn_blockwise"}
_FORMATS |= {"float8_e4m3fn_block3d", "int8", "int8_tensorwise", "int8_blockwise"}
"""ComfyUI's names of forms that are a number of 8 bits times a scale."""
_NOTES = {"format", "full_precision_matrix_mult", "group_size", "block_size", "orig_dtype"}
_NOTES |= {"orig_shape"}
"""What else a layer's form may say that leaves its weight as it is."""
_METADATA = "_quantization_metadata"
_FLOAT8, _INTEGERS = "float8", ("int8", "uint8")
_SAMPLED = 8
_NO_SIGN = 0x7F
_WAY_OUT = "take the file in bfloat16, float16, GGUF, or in float8 or int8 with scales of its own"


def low_bit_refusal(path: Path, header: Header, names: Iterable[str] | None = None) -> str:
    """Why a file's weights in few bits cannot be used; "" if they can, or there are none.

    Args:
        path: of the file, or of an index of shards.
        header: of the file.
        names: of the tensors that count; None is all of them.
    """
    if path.suffix == GGUF:  # its blocks hold their scales
        return ""
    own = set(header.shapes if names is None else names)
    if why := _foreign_form(path, header, own) or _foreign_scale(header, own):
        return f"holds weights in few bits of a form that is not read: {why}; {_WAY_OUT}"
    if why := _lacking_scale(path, header, own):
        return f"{why}; {_WAY_OUT}"
    return ""


def check_low_bit(folder: Path) -> None:
    """Raise CheckpointError where the weights in a network's folder cannot be read.

    Libraries leave out the scales that they do not know. What they quantised themselves, as the
    configuration says, they read.
    """
    weights = find_weight_file(folder)
    if weights is None or "quantization_config" in read_json(folder / "config.json"):
        return
    if why := low_bit_refusal(weights, read_header(weights)):
        raise CheckpointError(f"{weights}: {why}")


def _foreign_form(path: Path, header: Header, own: set[str]) -> str:
    """By the forms that the file states, and by names of tensors."""
    stated = {name: _read_form(held) for name, held in _forms(path, header, own)}
    for name, form in sorted(stated.items(), key=lambda item: item[0]):
        kind = form.get("format")
        if form.get("convrot"):
            return f"ConvRot, whose weights are rotated ({name})"
        if kind not in _FORMATS:
            return f"{kind} ({name})"
        if unknown := sorted(form.keys() - _NOTES - {"convrot"}):
            return f"{kind} with {unknown[0]!r} ({name})"
    for name in sorted(own, key=len):
        kind = name.rpartition(".")[2]
        if kind in _FOREIGN:
            return f"{_FOREIGN[kind]} ({name})"
        if kind in SCALES:
            return f"a scale of no weight, or a second one ({name})"
    layers = [name.rpartition(".")[0] for name in stated]
    bare = [
        f"{layer}.weight"
        for layer in layers
        if header.dtypes.get(f"{layer}.weight", "").startswith((_FLOAT8, *_INTEGERS))
        and f"{layer}.weight" not in header.scales
    ]
    return f"no scale is there for {min(bare)}" if bare else ""


def _forms(path: Path, header: Header, own: set[str]) -> Iterator[tuple[str, Any]]:
    """Names that tell the forms of layers, and what they hold: JSON, or read from it."""
    tensors = open_tensors(path) if header.formats else {}
    for name in header.formats:
        if f"{name.removesuffix(FORMAT)}weight" in own:
            yield name, bytes(tensors[name].to(torch.uint8).flatten().tolist())
    if _METADATA in header.metadata:
        try:
            layers = json.loads(header.metadata[_METADATA])["layers"]
            others = header.shapes.keys() - own
            for layer, form in layers.items():
                if f"{layer}.weight" not in others:
                    yield f"{layer}.{_METADATA}", form
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            yield _METADATA, None


def _read_form(held: Any) -> dict[str, Any]:
    try:
        form = json.loads(held) if isinstance(held, bytes) else held
    except (ValueError, RecursionError):
        form = None
    if isinstance(form, str):
        form = {"format": form}
    return form if isinstance(form, dict) else {"format": "a form that is no JSON object"}


def _foreign_scale(header: Header, own: set[str]) -> str:
    for name in sorted(own & header.scales.keys()):
        weight = header.shapes[name], header.dtypes[name]
        if fault := scale_fault(weight, header.scales[name]):
            return f"{name}: {fault}"
    return ""


def _lacking_scale(path: Path, header: Header, own: set[str]) -> str:
    """Of integers, and of float8 that fills its range.

    A plain cast keeps the values of the weights, which are far below the largest number of float8;
    weights that were divided by their scale reach it. So at most 8 of the float8 matrices are read,
    and refused where most of them come within a factor of two of it.
    """
    bare = [name for name in sorted(own - header.scales.keys()) if len(header.shapes[name]) > 1]
    integers = [name for name in bare if header.dtypes[name] in _INTEGERS]
    if integers:
        return f"holds integers as weights ({integers[0]}) and no scales for them"
    small = [name for name in bare if header.dtypes[name].startswith(_FLOAT8)]
    if not small:
        return ""
    sample = small[:: -(-len(small) // _SAMPLED)]
    tensors = open_tensors(path)
    filled = [name for name in sample if _fills_range(tensors[name])]
    if 2 * len(filled) <= len(sample):
        return ""
    where = "which are not in it"
    if path.suffix in PICKLES:
        where += f" (HunyuanVideo's lie beside it, in {scales_beside(path).name})"
    return (
        f"holds float8 weights up to the largest number of their type ({min(filled)}): they were "
        f"divided by scales, {where}"
    )


def _fills_range(tensor: Tensor) -> bool:
    """Whether the largest magnitude is at least half of the largest that the type has."""
    half = torch.tensor(torch.finfo(tensor.dtype).max / 2).to(tensor.dtype)
    bits = tensor.contiguous().view(torch.uint8) & _NO_SIGN  # in the order of the magnitudes
    return bool(bits.max() >= half.view(torch.uint8))
