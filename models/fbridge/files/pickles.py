"""Tensors of .pt, .pth, .ckpt and .bin files. No code in them is ever run."""

from __future__ import annotations

import pickle
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import torch
from torch import Tensor

from fbridge.errors import CheckpointError
from fbridge.files.lazy_weights import LazyWeights, broken, shapes_of

_NESTS = ("state_dict", "generator_ema", "generator", "ema", "module", "model")
"""Keys under which trainers save weights; averages go first."""
_DEEPSPEED = "_forward_module."
"""DeepSpeed's prefix of all names of a Lightning module."""
_FLOAT8 = (torch.float8_e4m3fn, torch.float8_e5m2)
_MAPPED_AT_ONCE = 1 / 16
"""Share of a file whose mapped pages may be in memory while its tensors are read one by one."""


def read_pickle(path: Path) -> dict[str, Tensor]:
    """All tensors of a file that holds nothing but tensors, by the names that it gives them.

    Those of a second file beside it, `<name>_map<suffix>`, which has the scales of float8 layers by
    the layers' names (HunyuanVideo's), are added as `<layer>.weight_scale`.

    Raises:
        CheckpointError: the file is broken, holds code or no tensors; or the scales are of others.
    """
    tensors = _state_dict(path, _unpickled(path))
    beside = scales_beside(path)
    if not beside.is_file() or not any(tensor.dtype in _FLOAT8 for tensor in tensors.values()):
        return tensors
    for layer, scale in _state_dict(beside, _unpickled(beside)).items():
        if f"{layer}.weight" not in tensors:
            raise CheckpointError(
                f"{beside}: has a scale for {layer}, which is no layer of {path.name}; the two are "
                "not of one model"
            )
        tensors[f"{layer}.weight_scale"] = scale
    return tensors


def open_pickle(path: Path) -> LazyWeights:
    """The tensors of `read_pickle`, each copied out of the file when it is asked for.

    Raises:
        CheckpointError: likewise.
    """
    mapped = _Mapped(path)
    readers = {name: partial(mapped.copy, name) for name in mapped.tensors}
    return LazyWeights(path, readers, shapes_of(mapped.tensors))


class _Mapped:
    """A file's tensors, mapped anew when much of it has been read: pages stay until it is let go.

    A file of before torch 1.6, which cannot be mapped, is in memory as a whole anyway.
    """

    def __init__(self, path: Path) -> None:
        self._path, self.tensors, self._read = path, read_pickle(path), 0
        mapped = is_zipfile(path)
        self._most = _MAPPED_AT_ONCE * path.stat().st_size if mapped else float("inf")

    def copy(self, name: str) -> Tensor:
        done = self.tensors[name].clone()
        self._read += done.nbytes
        if self._read > self._most:
            self.tensors.clear()
            self.tensors, self._read = read_pickle(self._path), 0
        return done


def scales_beside(path: Path) -> Path:
    """Where the scales of a file's float8 layers may lie."""
    return path.with_name(f"{path.stem}_map{path.suffix}")


def _unpickled(path: Path) -> Any:
    try:
        try:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except (RuntimeError, ValueError):  # a file of before torch 1.6 cannot be mapped
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: holds more than tensors, which could be code and is not run; load it once "
            "where you trust it and save its weights with safetensors.torch.save_file"
        ) from error
    except (RuntimeError, OSError, ValueError, EOFError, KeyError) as error:
        raise broken(path, error) from error


def _state_dict(path: Path, held: Any) -> dict[str, Tensor]:
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
