"""WebDataset: tar files whose members `000123.mp4`, `000123.txt` and `000123.json` are a sample.

The key of a sample is the name up to the first dot after the last "/". As in WebDataset itself, the
members of a sample must follow one another: a caption apart from its video is refused, and the
video has none. `.txt`, `.caption` and `.text` have priority over the caption of the `.json` (under
one of `fbridge.data.sources.columns.CAPTION`). A sample of video2dataset whose download failed has
texts but no video anywhere in the tar: it is missing, not damaged. Videos are read in place; links,
devices and names that leave the tar are refused, and a damaged or truncated tar is refused after
its readable members.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from itertools import groupby
from pathlib import Path

from fbridge.data.sources.columns import BadRow, captions_of, clean_caption, plain_names
from fbridge.data.sources.entry import Entry, Media
from fbridge.data.sources.folder import read_text
from fbridge.data.sources.layout import Layout, Sought, listed
from fbridge.data.sources.members import UNPACK, members
from fbridge.data.sources.paths import is_video, locate
from fbridge.errors import ConfigError, DataError
from fbridge.files.atomic import shown

PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
TEXTS = ("txt", "caption", "text", "json")
MISSING = "missing: the tar has no video of this sample"
APART = "no video stands beside this caption; the members of a sample must follow one another"


def find(sought: Sought) -> Layout | None:
    """The layout of a tar, or of a folder with some.

    Raises:
        ConfigError: a folder has loose videos too.
        DataError: the tar is compressed.
    """
    root = sought.folder
    names = [path.name for path in sought.files(".tar", *PACKED)]
    plain = [name for name in names if name.lower().endswith(".tar")]
    if names and not plain and (sought.file or sought.forced):
        raise DataError(f"{shown(root / names[0])}: is compressed: {UNPACK}")
    if not plain:
        return None
    if sought.names.videos and not sought.forced:
        raise ConfigError(
            f"{shown(root)}: holds tar files and videos; say --layout webdataset or --layout folder"
        )
    summary = f"webdataset: {listed(names)}, caption from the .txt or .json of the same key"
    shards = tuple(names)
    return Layout("webdataset", summary, root, partial(_entries, str(root), shards), shards)


def _entries(root: str, names: tuple[str, ...]) -> Iterator[Entry]:
    for name in names:
        place = locate(root, root, name, line=name)
        if place.media is None:
            yield place
        else:
            yield from _samples(place.media.path, place.key)


def _samples(path: Path, shard: str) -> Iterator[Entry]:
    found = (member for member in members(path) if member.refused or _matters(member))
    alone: dict[str, list[str]] = {}
    for key, group in groupby(found, key=_key):
        sample = list(group)
        if any(member.refused or is_video(member.key) for member in sample):
            yield from _sample(sample, shard)
        else:
            alone.setdefault(key, []).extend(member.key for member in sample)
    if alone:
        yield from _without_video(path, shard, alone)


def _without_video(path: Path, shard: str, alone: dict[str, list[str]]) -> Iterator[Entry]:
    """Entries of texts by their key, each without a video next to them in the tar."""
    videos = (member for member in members(path) if is_video(member.key))
    apart = {key for key in map(_key, videos) if key in alone}
    for key, texts in alone.items():
        if key in apart:
            yield from (Entry(f"{shard}/{text}", None, refused=APART) for text in texts)
        else:
            yield Entry(f"{shard}/{key}", None, refused=MISSING, missing=True)


def _matters(member: Entry) -> bool:
    return bool(_key(member)) and (is_video(member.key) or _suffix(member) in TEXTS)


def _key(member: Entry) -> str:
    """The key of its sample; "" if it belongs to none."""
    folder, slash, name = member.key.rpartition("/")
    stem, dot, _ = name.partition(".")
    return folder + slash + stem if stem and dot else ""


def _sample(group: list[Entry], shard: str) -> Iterator[Entry]:
    captions: tuple[str, ...] = ()
    fault = ""
    try:
        captions = _captions([member for member in group if member.media])
    except BadRow as error:
        fault = str(error)
    for member in group:
        key = f"{shard}/{member.key}" if member.key else shard
        if member.refused:
            yield Entry(key, None, refused=member.refused)
        elif is_video(member.key):
            yield Entry(key, None if fault else member.media, captions, refused=fault)


def _suffix(member: Entry) -> str:
    return member.key.rpartition(".")[2].lower()


def _captions(group: list[Entry]) -> tuple[str, ...]:
    """The caption of the first kind of text that has one: `1.txt`, or else `1.words.txt`."""
    for suffix in TEXTS:
        kind = [member for member in group if _suffix(member) == suffix]
        exact = [member for member in kind if member.key == f"{_key(member)}.{suffix}"]
        if len(kind) > 1 and not exact:
            names = " and ".join(shown(member.key) for member in kind)
            raise BadRow(f"{names} may be its caption; keep one")
        for member in (exact or kind)[:1]:
            assert member.media is not None
            read = _of_json if suffix == "json" else _of_text
            if captions := read(member.media, member.key):
                return captions
    return ()


def _of_text(media: Media, name: str) -> tuple[str, ...]:
    return clean_caption(read_text(media, name))


def _of_json(media: Media, name: str) -> tuple[str, ...]:
    text = read_text(media, name)
    try:
        cells = json.loads(text)
        return captions_of(plain_names(cells)) if isinstance(cells, dict) else ()
    except BadRow as fault:
        raise BadRow(f"{shown(name)}: {fault}") from None
    except (ValueError, RecursionError) as error:
        raise BadRow(f"{shown(name)}: is no JSON: {getattr(error, 'msg', error)}") from None
