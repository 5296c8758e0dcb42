"""The members of a tar, found by their headers; nothing is extracted and nothing else is opened."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from fbridge.data.sources.entry import Media

BLOCK = tarfile.BLOCKSIZE

_PACKED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}
_DAMAGE = (tarfile.TarError, ValueError, OverflowError, EOFError, RecursionError, IndexError)


@dataclass(frozen=True)
class Member:
    """A file in a tar; `media` is None when it is refused, `name` "" when the tar itself is."""

    name: str
    media: Media | None
    refused: str = ""


def members(path: Path) -> Iterator[Member]:
    """The files of a tar in their order, and at its end what is wrong with the tar, if anything."""
    try:
        with path.open("rb") as file:
            packed = packing(file)
            if packed:
                yield Member("", None, f"is compressed ({packed}): {UNPACK}")
                return
            yield from _plain_members(path, file)
    except OSError as error:
        yield Member("", None, f"cannot be read ({error.strerror or error})")


UNPACK = "videos cannot be reached at random in it; decompress it first"


def packing(file: BinaryIO) -> str:
    """The compression of an open file; "" for none."""
    start = file.read(BLOCK)
    file.seek(0)
    if start[257:262] == b"ustar":  # a first member may well be called BZh.mp4
        return ""
    return next((name for magic, name in _PACKED.items() if start.startswith(magic)), "")


def _plain_members(path: Path, file: BinaryIO) -> Iterator[Member]:
    end = file.seek(0, 2)
    file.seek(0)
    number, last = 0, -1
    try:
        tar = tarfile.TarFile(fileobj=file, mode="r", encoding="utf-8", errors="surrogateescape")
        while (found := tar.next()) is not None:
            tar.members = []  # type: ignore[attr-defined] # or every header stays in memory
            if tar.offset <= last or found.size < 0:
                break
            last = tar.offset
            if _plain(found) and found.offset_data + found.size > end:
                yield Member(
                    "", None, f"is truncated within {ascii(found.name)[:80]}; copy it anew"
                )
                return
            number += 1
            if not found.isdir():
                yield _judge(path, found)
        file.seek(tar.offset)
        mark = file.read(BLOCK)
    except _DAMAGE as error:
        yield Member("", None, f"is damaged after {number} members ({error}); copy it anew")
        return
    if len(mark) < BLOCK or mark.strip(b"\0"):
        yield Member("", None, f"is damaged or cut after {number} members; copy it anew")


def _plain(found: tarfile.TarInfo) -> bool:
    return found.isreg() and not found.issparse()


def _judge(path: Path, found: tarfile.TarInfo) -> Member:
    name = found.name.removeprefix("./")
    parts = name.replace("\\", "/").split("/")
    reason = ""
    if found.issym() or found.islnk():
        reason = f"is a link to {ascii(found.linkname)[:80]}, which is not followed; store the file"
    elif found.issparse():
        reason = "is stored with holes; store the whole file"
    elif not found.isreg():
        reason = "is a device or the like, not a file; store the file"
    elif name.startswith("/") or ".." in parts or "\0" in name:
        reason = "leaves the tar by its name; store it under a plain name"
    if reason:
        return Member(found.name, None, reason)
    return Member(name, Media(path, found.offset_data, found.size))
