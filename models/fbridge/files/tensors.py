"""Reading weights: safetensors, shards, GGUF, pickled tensors. No code in them is ever run."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from fbridge.errors import CheckpointError, DependencyError, reason
from fbridge.files.weight_files import GGUF, INDEX, PICKLES, is_index, weight_paths

_SHAPE = "comfy.gguf.orig_shape."
"""Prefix of the field with a tensor's shape, where it has more axes than GGUF supports."""
_NESTS = ("state_dict", "ema", "module", "model")
"""Keys under which trainers save weights; averages go first."""
_DEEPSPEED = "_forward_module."
"""DeepSpeed's prefix of all names of a Lightning module."""
_TYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_TYPES |= {"F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "I64": "int64", "U8": "uint8"}
_TYPES |= {"I8": "int8"}


class Header(NamedTuple):
    """What a file of weights holds, without the weights.

    Attributes:
        shapes: of the tensors, by name.
        dtypes: by name, as torch calls them.
        metadata: of a safetensors file.
    """

    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, str]
    metadata: Mapping[str, str] = MappingProxyType({})


def read_weights(path: Path) -> dict[str, Tensor]:
    """All tensors of a file, by the names that it gives them.

    From .safetensors, an index of such shards, a .gguf file, whose tensors are made float32, or a
    .pt or .ckpt file that holds nothing but tensors.

    Raises:
        CheckpointError: the file is broken, incomplete, or holds code.
    """
    if path.suffix in PICKLES:
        return _unpickled(path)
    if path.suffix == GGUF:
        return _unpacked(path)
    _require_known(path)
    weights: dict[str, Tensor] = {}
    for part in weight_paths(path):
        weights.update(_loaded(part, path))
    return weights


def read_header(path: Path) -> Header:
    """Names, shapes and types of a file's tensors, without reading weights.

    Args:
        path: as `read_weights` takes it.

    Raises:
        CheckpointError: the file is broken or incomplete, or a .pt or .ckpt that holds code.
    """
    if path.suffix in PICKLES:
        tensors = _unpickled(path)
        return Header(
            {name: tuple(tensor.shape) for name, tensor in tensors.items()},
            {name: str(tensor.dtype).removeprefix("torch.") for name, tensor in tensors.items()},
        )
    if path.suffix == GGUF:
        return Header(
            {name: shape for name, _, shape in _packed(path)},
            {name: tensor.tensor_type.name.lower() for name, tensor, _ in _packed(path)},
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
    return Header(shapes, dtypes, metadata)


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


def read_some(path: Path, names: Set[str]) -> Iterator[tuple[str, Tensor]]:
    """Some tensors of a file, but not of GGUF, as `read_weights` reads all, one at a time.

    Raises:
        CheckpointError: likewise.
    """
    if path.suffix in PICKLES:
        held = _unpickled(path)
        yield from ((name, held[name]) for name in names)
        return
    try:
        for part in weight_paths(path):
            with safe_open(part, "pt") as file:
                for name in names & set(file.keys()):
                    yield name, file.get_tensor(name)
    except (SafetensorError, OSError) as error:
        raise broken(path, error) from error


def _require_known(path: Path) -> None:
    if path.suffix != ".safetensors" and not is_index(path):
        raise CheckpointError(
            f"{path}: is no file of weights; known: .safetensors, {INDEX}, {GGUF}, "
            f"{', '.join(PICKLES)}"
        )


def _loaded(path: Path, named: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise broken(named, error) from error
    except RuntimeError as error:
        if "mmap" not in str(error):
            raise
        raise CheckpointError(
            f"{path}: its {path.stat().st_size / 1e9:.1f} GB do not fit into this machine's memory"
        ) from error


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


def _unpacked(path: Path) -> dict[str, Tensor]:
    from gguf.quants import dequantize

    return {
        name: torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).copy()).view(shape)
        for name, tensor, shape in _packed(path)
    }


def _unpickled(path: Path) -> dict[str, Tensor]:
    try:
        try:
            held = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except (RuntimeError, ValueError):  # a file of before torch 1.6 cannot be mapped
            held = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: holds more than tensors, which could be code and is not run; load it once "
            "where you trust it and save its weights with safetensors.torch.save_file"
        ) from error
    except (RuntimeError, OSError, ValueError, EOFError, KeyError) as error:
        raise broken(path, error) from error
    for nest in _NESTS:
        if isinstance(held, dict) and isinstance(held.get(nest), dict):
            held = held[nest]
    tensors = (
        {k: v for k, v in held.items() if isinstance(v, Tensor)} if isinstance(held, dict) else {}
    )
    if all(name.startswith(_DEEPSPEED) for name in tensors):
        tensors = {name.removeprefix(_DEEPSPEED): tensor for name, tensor in tensors.items()}
    if not tensors:
        raise CheckpointError(f"{path}: holds no weights; known places: {', '.join(_NESTS)}")
    return tensors


def broken(path: Path, error: Exception) -> CheckpointError:
    """The error of a file that cannot be read."""
    return CheckpointError(f"{path}: is broken or cut off ({reason(error)}); get the file again")
