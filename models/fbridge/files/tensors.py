"""Reading weights: safetensors, shards, GGUF, pickled tensors. No code in them is ever run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from fbridge.errors import CheckpointError, DependencyError
from fbridge.files.hashing import SAFETENSORS
from fbridge.files.lazy_weights import LazyWeights, Shape, read_stored
from fbridge.files.lazy_weights import broken as broken
from fbridge.files.pickles import open_pickle, read_pickle
from fbridge.files.scaled import FORMAT, find_aside, find_scales, multiply
from fbridge.files.weight_files import GGUF, INDEX, PICKLES, is_index, weight_paths

_SHAPE = "comfy.gguf.orig_shape."
"""Prefix of the field with a tensor's shape, where it has more axes than GGUF supports."""
_TYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_TYPES |= {"F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "I64": "int64", "U8": "uint8"}
_TYPES |= {"I8": "int8", "I16": "int16", "I32": "int32", "BOOL": "bool", "U16": "uint16"}
_TYPES |= {"U32": "uint32", "U64": "uint64", "F8_E8M0": "float8_e8m0fnu", "C64": "complex64"}


class Header(NamedTuple):
    """What a file of weights holds, without the weights.

    Attributes:
        shapes: of the tensors, by name; scales and what else only serves scaled weights is left
            out.
        dtypes: by name, as torch calls them.
        metadata: of a safetensors file.
        scales: shape and type of the scale of each scaled weight, by the weight's name.
        formats: names of the tensors that tell the form of a layer's weight.
    """

    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, str]
    metadata: Mapping[str, str] = MappingProxyType({})
    scales: Mapping[str, tuple[tuple[int, ...], str]] = MappingProxyType({})
    formats: tuple[str, ...] = ()


def read_weights(path: Path) -> dict[str, Tensor]:
    """All tensors of `open_weights` at once."""
    return dict(open_weights(path))


def open_weights(path: Path) -> LazyWeights:
    """The weights in a file, by the names that it gives them, each read when it is asked for.

    From .safetensors, an index of such shards, a .gguf file, whose tensors are made float32, or a
    .pt or .ckpt file that holds nothing but tensors. Weights that were divided by scales are
    multiplied by them, in float32; see `fbridge.files.scaled`.

    Raises:
        CheckpointError: the file is broken, incomplete, or holds code.
    """
    held = open_tensors(path)
    scales, aside = find_scales(held.keys()), find_aside(held.keys())

    def scaled(name: str) -> Tensor:
        return multiply(held[name], held[scales[name]], f"{path}: {name}")

    return LazyWeights(
        path,
        {
            name: partial(scaled if name in scales else held.__getitem__, name)
            for name in held
            if name not in aside
        },
        {name: shape for name, shape in held.shapes.items() if name not in aside},
    )


def open_tensors(path: Path) -> LazyWeights:
    """The tensors in a file as they are stored, scales among them; see `open_weights`."""
    if path.suffix in PICKLES:
        return open_pickle(path)
    readers: dict[str, Callable[[], Tensor]] = {}
    shapes: dict[str, Shape] = {}
    if path.suffix == GGUF:
        for name, tensor, shape in _packed(path):
            readers[name], shapes[name] = partial(_unpacked, path, tensor, shape), shape
        return LazyWeights(path, readers, shapes)
    _require_known(path)
    for part in weight_paths(path):
        for name, (offset, kind, shape) in _places(part, path).items():
            readers[name], shapes[name] = partial(_read, part, name, offset, kind, shape), shape
    return LazyWeights(path, readers, shapes)


def read_header(path: Path) -> Header:
    """Names, shapes and types of a file's weights, without reading them.

    Args:
        path: as `open_weights` takes it.

    Raises:
        CheckpointError: the file is broken or incomplete, or a .pt or .ckpt that holds code.
    """
    shapes, dtypes, metadata = _stored(path)
    aside = find_aside(shapes.keys())
    return Header(
        {name: shape for name, shape in shapes.items() if name not in aside},
        {name: kind for name, kind in dtypes.items() if name not in aside},
        metadata,
        {weight: (shapes[name], dtypes[name]) for weight, name in find_scales(shapes).items()},
        tuple(name for name in shapes if name.rpartition(".")[2] == FORMAT),
    )


_Stored = tuple[dict[str, tuple[int, ...]], dict[str, str], dict[str, str]]


def _stored(path: Path) -> _Stored:
    """Shapes and types of all tensors of a file, and its metadata."""
    if path.suffix in PICKLES:
        tensors = read_pickle(path)
        return (
            {name: tuple(tensor.shape) for name, tensor in tensors.items()},
            {name: str(tensor.dtype).removeprefix("torch.") for name, tensor in tensors.items()},
            {},
        )
    if path.suffix == GGUF:
        return (
            {name: shape for name, _, shape in _packed(path)},
            {name: tensor.tensor_type.name.lower() for name, tensor, _ in _packed(path)},
            {},
        )
    _require_known(path)
    shapes: dict[str, tuple[int, ...]] = {}
    dtypes: dict[str, str] = {}
    metadata: dict[str, str] = {}
    try:
        for part in weight_paths(path):
            with safe_open(part, "np") as file:  # torch would want memory for the whole file
                metadata |= file.metadata() or {}
                for name in file.keys():  # noqa: SIM118 - it is no mapping
                    entry = file.get_slice(name)
                    shapes[name] = tuple(entry.get_shape())
                    dtypes[name] = _TYPES.get(entry.get_dtype(), entry.get_dtype())
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise broken(path, error) from error
    return shapes, dtypes, metadata


def sort_metadata(path: Path) -> None:
    """Sort the keys of a safetensors file's metadata, in place.

    safetensors writes several keys in an order that differs from call to call (its map is hashed
    with a random seed), so that equal content has another hash.
    """
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        if "__metadata__" in header:
            header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        assert len(text) <= size, "the same header in another order"
        file.seek(8)
        file.write(text.ljust(size))


def _require_known(path: Path) -> None:
    if path.suffix not in SAFETENSORS and not is_index(path):
        raise CheckpointError(
            f"{path}: is no file of weights; known: {', '.join((*SAFETENSORS, INDEX, GGUF))}, "
            f"{', '.join(PICKLES)}"
        )


def _places(path: Path, named: Path) -> dict[str, tuple[int, str, Shape]]:
    """Of each tensor of a safetensors file where it begins, its type there, and its shape."""
    try:
        with safe_open(path, "np"):
            pass  # checks that the header is whole and its tensors fill the file
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size))
    except (SafetensorError, OSError, ValueError) as error:
        raise broken(named, error) from error
    header.pop("__metadata__", None)
    return {
        name: (8 + size + held["data_offsets"][0], held["dtype"], tuple(held["shape"]))
        for name, held in header.items()
    }


def _read(path: Path, name: str, offset: int, kind: str, shape: Shape) -> Tensor:
    if kind not in _TYPES:
        raise CheckpointError(f"{path}: {name} is stored as {kind}, which is not read")
    return read_stored(path, offset, getattr(torch, _TYPES[kind]), shape)


def _packed(path: Path) -> Iterator[tuple[str, Any, tuple[int, ...]]]:
    """Name, tensor and shape of each of a GGUF file."""
    try:
        from gguf import GGUFReader
    except ImportError as error:
        raise DependencyError(f"{path}: reading GGUF needs gguf: pip install gguf") from error
    try:
        reader = GGUFReader(path)
        for tensor in reader.tensors:
            recorded = reader.fields.get(_SHAPE + tensor.name)
            sides = reversed(tensor.shape.tolist()) if recorded is None else recorded.contents()
            yield tensor.name, tensor, tuple(int(side) for side in sides)
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise broken(path, error) from error


def _unpacked(path: Path, tensor: Any, shape: Shape) -> Tensor:
    from gguf.quants import dequantize

    mapped = tensor.data  # read, since mapped pages count as memory of the process
    held = np.fromfile(path, mapped.dtype, mapped.size, offset=int(tensor.data_offset))
    if held.size != mapped.size:
        raise OSError(f"{path.name} ends before its last tensor")
    numbers = dequantize(held.reshape(mapped.shape), tensor.tensor_type)
    return torch.from_numpy(numbers).clone().view(shape)  # torch aligns memory, numpy does not
