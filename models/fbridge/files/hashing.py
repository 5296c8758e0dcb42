"""sha256 over files and folders: what records, manifests and runs know models by."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

SAFETENSORS = (".safetensors", ".sft")
"""The second is short for it, in some makers' releases."""
ORIGINAL = "original"
"""Name, without suffix, of a part's weights under its makers' names, in a folder of the cache."""


def hash_stream(stream: BinaryIO) -> str:
    """sha256 of what is left in an open file."""
    digest = hashlib.sha256()
    while block := stream.read(2**20):
        digest.update(block)
    return digest.hexdigest()


def hash_files(paths: Iterable[Path], *, relative_to: Path | None = None) -> str:
    """sha256 over the contents of files, one after the other.

    Args:
        paths: in the order that counts.
        relative_to: a folder; the path in it and the size go before each file's content.
    """
    digest = hashlib.sha256()
    for path in paths:
        if relative_to is not None:
            name = path.relative_to(relative_to).as_posix()
            digest.update(f"{name} {path.stat().st_size}\n".encode())
        with path.open("rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    return digest.hexdigest()


def hash_model(folder: Path) -> str:
    """sha256 over the weights and configurations below a model's folder, with their names."""
    return hash_files(
        [
            path
            for path in sorted(folder.rglob("*"))
            if path.suffix in {".json", *SAFETENSORS} or path.stem == ORIGINAL
        ],
        relative_to=folder,
    )
