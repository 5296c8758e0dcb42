"""The tensors inside a TorchScript archive, without running or even loading its code.

Such an archive is a zip: a pickle of the module's attributes, and the bytes of each storage beside
it. The pickle is read by a reader that knows tensors and plain containers; every class of the
archive's own becomes a bag of attributes.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from fbridge.errors import CheckpointError

_TYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
}

_LISTS = ("int", "bool", "double", "tensor")
"""Kinds of lists that a script's attributes may be."""


def is_script(data: bytes) -> bool:
    """Whether these are the bytes of a TorchScript archive."""
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return False
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return any("/code/" in name for name in archive.namelist())


def read_script(data: bytes) -> dict[str, Tensor]:
    """Its tensors by the dotted names that `state_dict()` would have.

    Raises:
        CheckpointError: The archive is damaged, or its pickle asks for something else.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            (name,) = [
                n for n in archive.namelist() if n.endswith("/data.pkl") and n.count("/") == 1
            ]
            module = _Reader(archive, name.partition("/")[0]).load()
    except (pickle.UnpicklingError, zipfile.BadZipFile, KeyError, ValueError, EOFError,
            TypeError, RuntimeError, AttributeError) as error:  # fmt: skip
        raise CheckpointError(f"TorchScript archive refused: {error}") from error
    return dict(_named(module, ""))


class _Bag:
    """An object of a class that the archive defines: its attributes and nothing more."""

    def __setstate__(self, state: Any) -> None:
        self.held = state if isinstance(state, dict) else {}


class _Reader(pickle.Unpickler):
    def __init__(self, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(io.BytesIO(archive.read(f"{folder}/data.pkl")))
        self._archive, self._folder = archive, folder

    def persistent_load(self, told: Any) -> Tensor:
        """A storage, as a flat tensor."""
        _, dtype, key, _, _ = told
        return torch.frombuffer(
            bytearray(self._archive.read(f"{self._folder}/data/{key}")), dtype=dtype
        )

    def find_class(self, module: str, name: str, /) -> Any:
        if module.startswith("__torch__"):
            return _Bag
        if module == "torch" and name in _TYPES:
            return _TYPES[name]
        allowed: dict[tuple[str, str], Any] = {
            ("torch._utils", "_rebuild_tensor_v2"): _rebuilt,
            ("collections", "OrderedDict"): OrderedDict,
            **{("torch.jit._pickle", f"build_{kind}list"): list for kind in _LISTS},
        }
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, not only for tensors")
        return allowed[module, name]


def _rebuilt(
    storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
) -> Tensor:
    return torch.as_strided(storage, size, stride, offset)


def _named(value: Any, prefix: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield prefix, value.contiguous().clone()
    held = value.held if isinstance(value, _Bag) else value
    if isinstance(held, Mapping):
        for name, inner in held.items():
            yield from _named(inner, f"{prefix}.{name}" if prefix else str(name))
