"""WebVid: `results_*.csv` with the columns videoid, name and page_dir.

The video is `<root>/<page_dir>/<videoid>.mp4` or `<root>/videos/<page_dir>/<videoid>.mp4`. The
last word of `results_2M_train.csv` is the split.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from fbridge.data.sources.columns import BadRow, clean_caption, video_of
from fbridge.data.sources.entry import Entry
from fbridge.data.sources.layout import Layout, Sought, listed
from fbridge.data.sources.paths import locate
from fbridge.data.sources.rows import Row, columns, rows

COLUMNS = {"videoid", "name", "page_dir"}
SPLITS = ("train", "val", "validation", "test")


def find(sought: Sought) -> Layout | None:
    """The layout of a folder with such tables, or of one such table."""
    paths = [
        p for p in sought.files(".csv", ".tsv") if sought.file or p.name.startswith("results_")
    ]
    tables = tuple(path for path in paths if set(columns(path)) >= COLUMNS)
    if not tables:
        return None
    names = listed(path.name for path in tables)
    summary = f"webvid: {names}, video from columns 'page_dir' and 'videoid', caption from 'name'"
    read = tuple(path.name for path in tables)
    return Layout("webvid", summary, sought.root, partial(_entries, str(sought.root), tables), read)


def _entries(root: str, tables: tuple[Path, ...]) -> Iterator[Entry]:
    for path in tables:
        word = path.stem.rpartition("_")[2].lower()
        split = (word,) if word in SPLITS else ()
        for row in rows(path):
            line = f"{path.name}:{row.line}"
            try:
                captions = () if row.fault else clean_caption(row.cells.get("name", ""))
                yield replace(_locate(root, row, line), captions=captions, split=split)
            except BadRow as fault:
                yield Entry(line, None, split=split, refused=str(fault))


def _locate(root: str, row: Row, line: str) -> Entry:
    if row.fault:
        raise BadRow(row.fault)
    folder = video_of(row.cells, ("page_dir",))
    name = f"{folder}/{video_of(row.cells, ('videoid',))}.mp4"
    place = locate(root, root, name, line=line)
    if place.refused.startswith("missing"):
        deeper = locate(root, root, f"videos/{name}", line=line)
        return deeper if deeper.media else replace(place, missing=True)
    return place
