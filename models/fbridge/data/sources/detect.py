"""Finds the layout of a source."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from fbridge.checks import check_choice
from fbridge.choices import LAYOUTS
from fbridge.data.sources import (
    folder,
    lists,
    msrvtt,
    table,
    ucf101,
    videofolder,
    webdataset,
    webvid,
)
from fbridge.data.sources.layout import MANY_JSON, UNREAD, Layout, Names, Sought, listed, look
from fbridge.data.sources.paths import is_video
from fbridge.data.sources.rows import SUFFIXES
from fbridge.errors import ConfigError, DataError
from fbridge.files.atomic import shown

ORDER: dict[str, Callable[[Sought], Layout | None]] = {
    "webvid": webvid.find,
    "videofolder": videofolder.find,
    "lists": lists.find,
    "ucf101": ucf101.find,
    "msrvtt": msrvtt.find,
    "webdataset": webdataset.find,
    "table": table.find,
    "folder": folder.find,
}
"""The layouts in the order in which they are tried."""

_NEEDS = {
    "folder": "a folder, not a file",
    "videofolder": "metadata.csv, .jsonl or .parquet with a column file_name",
    "lists": "videos.txt and prompts.txt",
    "table": "one .csv, .tsv, .jsonl, .json or .parquet with a column for the video",
    "webvid": "results_*.csv with the columns videoid, name and page_dir",
    "ucf101": "a folder for each class",
    "msrvtt": "a .json with 'videos' and 'sentences'",
    "webdataset": ".tar files",
}
_LOOKED_INTO = 100
"""Folders of a source in which tables and lists are looked for that are not read."""
_LISTING = ("lists", "table", "webvid", "msrvtt")


def find_layout(source: Path, name: str | None = None, *, media_root: Path | None = None) -> Layout:
    """The layout of `source`: the one called `name`, or the first that fits.

    Args:
        source: a folder, or a file that is a table, an MSR-VTT json or a tar.
        name: one of `LAYOUTS`.
        media_root: the folder that the paths of a list are relative to and that they may not leave;
            None is the list's own folder.

    Raises:
        ConfigError: the layout is unknown, does not fit, or is ambiguous.
        DataError: the source is missing, unreadable or has no video.
        DependencyError: it is parquet and pyarrow is not installed.
    """
    if name is not None:
        check_choice("--layout", shown(name), LAYOUTS)
    if not os.path.exists(source):  # noqa: PTH110 - never raises
        raise DataError(
            f"{shown(source)}: does not exist; name a folder of videos, a list or a tar"
        )
    if media_root is not None and not media_root.is_dir():
        raise ConfigError(f"media root {shown(media_root)}: is no folder; name that of the videos")
    layout = _forced(source, name, media_root) if name else _found(source, media_root)
    if media_root is not None and layout.name not in _LISTING:
        raise ConfigError(
            f"media root {shown(media_root)}: layout {layout.name} has its videos in "
            f"{shown(source)}; leave it out, or use --layout {', '.join(_LISTING)}"
        )
    if next(layout.entries(), None) is None:
        raise DataError(f"{shown(source)}: holds no video as {layout.name}; {_hint(source)}")
    unread = () if source.is_file() else tuple(_unread(source, layout))
    more = f"; not read: {listed(unread)}" if unread else ""
    return replace(layout, summary=layout.summary + more)


def _unread(source: Path, layout: Layout) -> Iterator[str]:
    """Tables and lists in the source that the layout does not read, so that none goes unsaid."""
    names = Sought(source).names
    yield from (name for name in _lists(names) if name not in layout.read)
    for inner in names.folders[:_LOOKED_INTO] if layout.name == "folder" else ():
        try:
            there = look(source / inner)
        except DataError:
            continue
        if inner == folder.LABELS and folder.VIDEOS in names.folders:
            there = replace(there, texts=())
        yield from (f"{inner}/{name}" for name in _lists(there))


def _lists(names: Names) -> Iterator[str]:
    """The names of what may hold captions; video2dataset's logs beside a tar do not."""
    logs = tuple(name.rpartition(".")[0] for name in names.ending(".tar"))
    notes = names.ending(".json")
    found = [*names.ending(*SUFFIXES, *UNREAD, ".txt"), *names.texts]
    if len(notes) > MANY_JSON:
        found = ["*.json", *(name for name in found if name not in notes)]
    for name in sorted(found):
        stem = name.rpartition(".")[0]
        known = stem.lower().startswith(("readme", "license", "licence", "requirements"))
        if not known and stem.removesuffix("_stats") not in logs:
            yield name


def _forced(source: Path, name: str, media_root: Path | None) -> Layout:
    layout = ORDER[name](Sought(source, media_root, forced=True))
    if layout is None:
        raise ConfigError(
            f"--layout {name}: needs {_NEEDS[name]}, which {shown(source)} has not; "
            "name another SOURCE or leave --layout out"
        )
    return layout


def _found(source: Path, media_root: Path | None) -> Layout:
    sought = Sought(source, media_root)
    for find in ORDER.values():
        layout = find(sought)
        if layout is not None:
            return layout
    kind = "is one video; name its folder" if is_video(source.name) else "is no list and no tar"
    raise DataError(f"{shown(source)}: {kind}, or a .csv, .tsv, .jsonl, .parquet, .json or .tar")


def _hint(source: Path) -> str:
    packed = Sought(source).names.ending(*webdataset.PACKED)
    if packed:
        return f"decompress {shown(packed[0])} and its like first"
    return "name another SOURCE, or say its --layout"
