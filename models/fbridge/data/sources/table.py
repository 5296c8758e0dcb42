"""One csv, tsv, jsonl, json or parquet whose rows name a video and its caption.

It is the source itself, or the only table in a folder with a column for the video. A damaged row is
a refused entry with the key "<file>:<line>". Labels that are no whole numbers are ignored. Videos
that are not where the table says may be in `videos/` or `video/`, as in FastVideo's and OpenVid's
sets. Without another column, `video_id` names `<video_id>.mp4`, as in MSR-VTT's tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from fbridge.data.sources.columns import (
    CAPTION,
    LABEL,
    SPLIT,
    VIDEO,
    VIDEO_ID,
    BadRow,
    Clash,
    captions_of,
    label_of,
    pick,
    split_of,
    video_of,
)
from fbridge.data.sources.entry import Entry
from fbridge.data.sources.layout import Layout, Sought, listed
from fbridge.data.sources.paths import is_video, locate
from fbridge.data.sources.rows import SAMPLE, SUFFIXES, Row, columns, rows
from fbridge.errors import ConfigError, DataError
from fbridge.files.atomic import shown

_INNER = ("videos", "video")


@dataclass(frozen=True)
class Index:
    """One table of videos.

    Attributes:
        path: the table.
        name: its name in messages and in the keys of damaged rows.
        root: the folder that no path may leave.
        base: the folder that its relative paths start from.
        video: the columns that may have the path.
        split: tags of all its videos.
    """

    path: Path
    name: str
    root: str
    base: str
    video: tuple[str, ...] = VIDEO
    split: tuple[str, ...] = ()

    def check(self) -> str:
        """The chosen columns, as a text for the user.

        Raises:
            ConfigError: there is none for the video, or two that differ.
            DataError: the file cannot be read.
        """
        there = columns(self.path)
        if not has_video(there, self.video):
            self._explain(there)
        for row in islice(rows(self.path), SAMPLE):
            for aliases in (self.video, CAPTION, SPLIT, LABEL):
                try:
                    pick(row.cells, aliases)
                except Clash as clash:
                    raise ConfigError(f"{shown(self.path)}:{row.line}: {clash}") from None
        kinds = {"video": self.video, "caption": CAPTION, "split": SPLIT, "label": LABEL}
        found = {kind: [name for name in names if name in there] for kind, names in kinds.items()}
        chosen = [f"{kind} from {_columns(names)}" for kind, names in found.items() if names]
        return ", ".join(chosen) + ("" if found["caption"] else ", no captions")

    def entries(self) -> Iterator[Entry]:
        """The videos in the order of the rows."""
        for row in rows(self.path):
            line = f"{self.name}:{row.line}"
            try:
                yield self._entry(row, line)
            except BadRow as fault:
                yield Entry(line, None, refused=str(fault))

    def _entry(self, row: Row, line: str) -> Entry:
        if row.fault:
            raise BadRow(row.fault)
        captions = captions_of(row.cells)
        found = self._locate(video_of(row.cells, self.video), line)
        split, label = self.split + split_of(row.cells), label_of(row.cells)
        # dataclasses.replace takes an eighth of the time of a row.
        return Entry(
            found.key, found.media, captions, split, label, found.refused, found.missing, found.url
        )

    def _locate(self, name: str, line: str) -> Entry:
        by_id = self.video == VIDEO_ID
        name = f"{name}.mp4" if by_id and not is_video(name) else name
        place = locate(self.root, self.base, name, line=line)
        if not place.refused.startswith("missing"):
            return place
        deeper = (locate(self.root, self.base, f"{inner}/{name}", line=line) for inner in _INNER)
        return next((found for found in deeper if found.media), replace(place, missing=by_id))

    def _explain(self, there: tuple[str, ...]) -> None:
        first = None if there else next(rows(self.path), None)
        if first is None and not there:
            raise DataError(f"{shown(self.path)}: holds no row; name another file")
        if first and first.fault:
            raise DataError(f"{shown(self.path)}:{first.line}: {first.fault}")
        raise ConfigError(
            f"{shown(self.path)}: no column for the video among "
            f"{ascii(', '.join(there))[:200]}; call it {' or '.join(map(repr, self.video))}"
        )


def has_video(there: tuple[str, ...], aliases: tuple[str, ...] = VIDEO) -> bool:
    """Whether one of the columns may have the path of the video."""
    return any(name in there for name in aliases)


def find(sought: Sought) -> Layout | None:
    """The layout of one table of videos.

    Raises:
        ConfigError: there are several tables, or several columns that differ.
    """
    tables = {path: _columns_of(path, sought) for path in sought.files(*SUFFIXES)}
    paths = [path for path, there in tables.items() if sought.file or _video_columns(there)]
    if len(paths) > 1:
        raise ConfigError(
            f"{shown(sought.folder)}: holds several tables ({listed(p.name for p in paths)}); "
            "name one of them as SOURCE"
        )
    if not paths:
        return None
    path = paths[0]
    video = _video_columns(tables[path]) or VIDEO
    index = Index(path, path.name, str(sought.root), str(sought.root), video)
    summary = f"table: {shown(path.name)}, {index.check()}"
    return Layout("table", summary, sought.root, index.entries, read=(path.name,))


def _columns_of(path: Path, sought: Sought) -> tuple[str, ...]:
    try:
        return columns(path)
    except DataError:
        if sought.file or path.suffix.lower() != ".json":
            raise
        return ()  # any program may have left a .json in a folder


def _video_columns(there: tuple[str, ...]) -> tuple[str, ...]:
    """The columns that name the video; none if the table has none."""
    return next((names for names in (VIDEO, VIDEO_ID) if has_video(there, names)), ())


def _columns(names: list[str]) -> str:
    if len(names) == 1:
        return f"column {names[0]!r}"
    return f"columns {' or '.join(map(repr, names))}"
