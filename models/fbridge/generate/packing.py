"""A finished video as bytes, on its way from the machine that made it to the one that writes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fbridge.errors import DataError
from fbridge.files.atomic import replacing, shown

_ITSELF = ""


@dataclass(frozen=True)
class PackedVideo:
    """A video's files.

    Attributes:
        files: bytes, (size,) uint8, by name in a folder of frames; of a file by "".
        sha256: over names and bytes.
    """

    files: Mapping[str, NDArray[np.uint8]]
    sha256: str


def pack(video: Path) -> PackedVideo:
    """The file or folder of frames at `video`."""
    paths = {entry.name: entry for entry in sorted(video.iterdir())} if video.is_dir() else {}
    paths = paths or {_ITSELF: video}
    files = {name: np.frombuffer(path.read_bytes(), np.uint8) for name, path in paths.items()}
    return PackedVideo(files, _hash(files))


def unpack(packed: PackedVideo, video: Path, *, overwrite: bool) -> None:
    """Write it, whole or not at all; `overwrite` as for `replacing`.

    Raises:
        DataError: its bytes are not those that were sent.
        ConfigError, DependencyError: see `replacing`.
    """
    if _hash(packed.files) != packed.sha256:
        raise DataError(f"{shown(video)}: came damaged over the network; make it again")
    with replacing(video, overwrite=overwrite) as hidden:
        for name, data in packed.files.items():
            if name:
                hidden.mkdir(exist_ok=True)
            with (hidden / name if name else hidden).open("wb") as file:
                file.write(data.data)


def _hash(files: Mapping[str, NDArray[np.uint8]]) -> str:
    digest = hashlib.sha256()
    for name, data in files.items():
        digest.update(f"{name}\n{len(data)}\n".encode())
        digest.update(data.data)
    return digest.hexdigest()
