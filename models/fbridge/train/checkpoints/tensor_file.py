"""Write safetensors files tensor by tensor, without a second copy of a model in memory.

The format (https://huggingface.co/docs/safetensors): the header's length in 8 little-endian bytes;
the header, JSON: name -> dtype, shape, begin and end of its bytes; the bytes.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

KEY = "fbridge"
"""The only key of the header's metadata."""
ALIGNMENT = 8

_DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


@dataclass(frozen=True)
class Written:
    """Size and hash of a written file."""

    bytes: int
    sha256: str


def write_tensors(
    path: Path,
    tensors: Mapping[str, Tensor],
    header: Mapping[str, Any],
    *,
    dtype: torch.dtype | None = None,
) -> Written:
    """Write and sync a file; tensors may share memory and be on any device.

    Args:
        path: of the file.
        tensors: by name.
        header: JSON, for the metadata's key "fbridge" unless empty.
        dtype: of all tensors in the file; None: their own.

    Raises:
        OSError: the file cannot be written.
        ValueError: a dtype that the format lacks.
    """
    dtypes = {name: dtype or tensor.dtype for name, tensor in tensors.items()}
    order = sorted(tensors, key=lambda name: (-dtypes[name].itemsize, name))
    text = _header({name: (tensors[name].shape, dtypes[name]) for name in order}, header)
    whole, size = hashlib.sha256(), 0
    with path.open("wb") as file:
        for part in (len(text).to_bytes(8, "little"), text):
            file.write(part)
            whole.update(part)
            size += len(part)
        for name in order:
            own = tensors[name].detach().to("cpu", dtypes[name])
            data = own.contiguous().reshape(-1).view(torch.uint8).numpy()
            file.write(data.data)
            whole.update(data.data)
            size += data.nbytes
        file.flush()
        os.fsync(file.fileno())
    return Written(size, whole.hexdigest())


def write_synced(path: Path, text: str) -> None:
    """Write and sync a file of text."""
    with path.open("wb") as file:
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Sync the names in a folder, on systems that can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _header(
    tensors: Mapping[str, tuple[torch.Size, torch.dtype]], facts: Mapping[str, Any]
) -> bytes:
    header: dict[str, Any] = {"__metadata__": {KEY: _dumped(facts)}} if facts else {}
    begin = 0
    for name, (shape, dtype) in tensors.items():
        if dtype not in _DTYPES:
            raise ValueError(f"tensor {name!r}: {dtype} has no place in a safetensors file")
        end = begin + math.prod(shape) * dtype.itemsize
        header[name] = {"dtype": _DTYPES[dtype], "shape": list(shape), "data_offsets": [begin, end]}
        begin = end
    text = _dumped(header).encode()
    return text + b" " * (-len(text) % ALIGNMENT)


def _dumped(tree: Any) -> str:
    return json.dumps(tree, separators=(",", ":"))
