"""The members of a tar, listed from their headers without extracting anything."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from fbridge.data.sources.entry import Entry, Media

BLOCK = tarfile.BLOCKSIZE

_PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_DAMAGE = (tarfile.TarError, ValueError, OverflowError, EOFError, RecursionError, IndexError)


def members(path: Path) -> Iterator[Entry]:
    """The files of a tar in order, keyed by name; a refused entry "" last if it is damaged."""
    try:
        with path.open("rb") as file:
            yield from tar_members(path, file)
    except OSError as error:
        yield Entry("", None, refused=f"cannot be read ({error.strerror or error})")


def tar_members(path: Path, file: BinaryIO) -> Iterator[Entry]:
    """The same of an open file, as parts of the file `path`.

    Raises:
        OSError: it cannot be read.
    """
    packed = packing(file)
    if packed:
        yield Entry("", None, refused=f"is compressed ({packed}): {UNPACK}")
    else:
        yield from _plain_members(path, file)


UNPACK = "videos cannot be reached at random in it; decompress it first"


def packing(file: BinaryIO) -> str:
    """The compression of an open file; "" for none."""
    start = file.read(BLOCK)
    file.seek(0)
    if start[257:262] == b"ustar":  # the first member may be called BZh.mp4
        return ""
    return next((name for magic, name in _PACKED.items() if start.startswith(magic)), "")


def _plain_members(path: Path, file: BinaryIO) -> Iterator[Entry]:
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
                yield Entry(
                    "", None, refused=f"is truncated within {ascii(found.name)[:80]}; copy it anew"
                )
                return
            number += 1
            if not found.isdir():
                yield _judge(path, found)
        file.seek(tar.offset)
        mark = file.read(BLOCK)
    except _DAMAGE as error:
        yield Entry("", None, refused=f"is damaged after {number} members ({error}); copy it anew")
        return
    if len(mark) < BLOCK or mark.strip(b"\0"):
        yield Entry("", None, refused=f"is damaged or cut after {number} members; copy it anew")


def _plain(found: tarfile.TarInfo) -> bool:
    return found.isreg() and not found.issparse()


def _judge(path: Path, found: tarfile.TarInfo) -> Entry:
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
        return Entry(found.name, None, refused=reason)
    return Entry(name, Media(str(path), found.offset_data, found.size))
