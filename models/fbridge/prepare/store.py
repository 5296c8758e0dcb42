"""What writes finished shards and the journal: one object of one process, whoever encoded them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.torch import save

from fbridge.data.latents.format import JOURNAL, hash_file, save_tensors, shard_path
from fbridge.errors import DataError
from fbridge.files.atomic import replacing
from fbridge.prepare.journal import Journal, Lookup
from fbridge.prepare.plan import Unit
from fbridge.prepare.request import PrepareRequest
from fbridge.prepare.shards import EncodedCaptions, EncodedUnit

Encoded = EncodedUnit | EncodedCaptions


@dataclass(frozen=True)
class PackedShard:
    """A finished shard on its way from another machine.

    Attributes:
        kind: the journal that its records belong to: "rows" or "captions".
        name: of what was asked for.
        path: in the data set; "" if no clip of it could be encoded.
        data: bytes of its file, (size,) uint8.
        lines: the journal's records; the last one is that of the shard.
    """

    kind: str
    name: str
    path: str
    data: npt.NDArray[np.uint8]
    lines: list[dict[str, Any]]


def pack(encoded: Encoded) -> PackedShard:
    """A finished shard as plain bytes, the same as those of its file; any dtype survives this."""
    name = encoded.unit.name if isinstance(encoded, EncodedUnit) else encoded.name
    if not encoded.tensors:
        lines, nothing = encoded.lines("", 0), np.empty(0, np.uint8)
        return PackedShard(encoded.kind, name, "", nothing, lines)
    data = save({name: encoded.tensors[name].contiguous() for name in sorted(encoded.tensors)})
    lines = encoded.lines(hashlib.sha256(data).hexdigest(), len(data))
    return PackedShard(encoded.kind, name, encoded.path, np.frombuffer(data, np.uint8), lines)


class Store:
    """Writes shards into the data set's folder, and enters each in the journal once it is whole."""

    def __init__(self, request: PrepareRequest) -> None:
        self._out = request.out
        place = f"{request.rank.number:05d}.jsonl"
        self._journals = {
            kind: Journal(request.out / JOURNAL / f"{kind}-{place}")
            for kind in ("rows", "captions")
        }

    def write(self, encoded: Encoded) -> None:
        """Write the shard of what was encoded here."""
        sha256, size = "", 0
        if encoded.tensors:
            path = self._out / encoded.path
            save_tensors(path, encoded.tensors)
            sha256, size = hash_file(path), path.stat().st_size
        self._journals[encoded.kind].append(encoded.lines(sha256, size))

    def write_packed(self, shard: PackedShard) -> None:
        """Write a shard that another machine encoded; writing it twice changes nothing.

        Raises:
            DataError: its bytes are not those that were sent.
        """
        if shard.path:
            record = shard.lines[-1]
            if hashlib.sha256(shard.data.data).hexdigest() != record["sha256"]:
                raise DataError(
                    f"shard {shard.path}: came damaged over the network; run the same line again"
                )
            path = self._out / shard.path
            with replacing(path) as hidden, hidden.open("wb") as file:
                file.write(shard.data.data)
        self._journals[shard.kind].append(shard.lines)


def is_complete(unit: Unit, rows: Lookup, out: Path) -> bool:
    """Whether the shard of a unit exists with the size in its record."""
    record = rows.get(unit.name)
    if record is None:
        return False
    path = out / shard_path("shards", unit.name)
    return record["rows"] == 0 or (path.is_file() and path.stat().st_size == record["bytes"])
