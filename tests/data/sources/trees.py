"""Small trees of files that look like data sets; nothing in them can be decoded."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

from fbridge.data.sources import Entry, Layout, find_layout

Facts = tuple[str, tuple[str, ...], str]


def plant(root: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write `files` below `root`."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = content.encode() if isinstance(content, str) else content
        path.write_bytes(data)
    return root


def pack(path: Path, members: list[tuple[str, bytes] | tarfile.TarInfo]) -> Path:
    """Write a tar."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                tar.addfile(info, io.BytesIO(member[1]))
    return path


def facts(layout: Layout) -> list[Facts]:
    """Key, captions and first words of the refusal of every entry; all usable ones opened."""
    return [
        (entry.key, entry.captions, " ".join(entry.refused.split()[:2]))
        for entry in map(opened, layout.entries())
    ]


def opened(entry: Entry) -> Entry:
    """The entry, after its bytes were read if it has any."""
    assert (entry.media is None) == bool(entry.refused)
    if entry.media:
        with entry.media.open() as file:
            assert len(file.read()) == entry.media.stat()[0]
    return entry


def entries(source: Path, name: str | None = None, media_root: Path | None = None) -> list[Entry]:
    """All entries of a source."""
    return list(map(opened, find_layout(source, name, media_root=media_root).entries()))


def by_key(source: Path, name: str | None = None) -> dict[str, Entry]:
    """The entries of a source, which must differ in key."""
    found = entries(source, name)
    keyed = {entry.key: entry for entry in found}
    assert len(keyed) == len(found)
    return keyed
