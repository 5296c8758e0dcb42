"""A source and the layout found in it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from fbridge.data.sources.entry import Entry
from fbridge.data.sources.paths import is_video, relative
from fbridge.errors import DataError
from fbridge.files.atomic import shown

MANY_JSON = 8
"""A folder with more .json files than this has metadata of single videos, not an index."""

PROMPTS = ("prompts.txt", "captions.txt", "prompt.txt", "caption.txt")
"""Lists of captions, in any case; the singular ones are those of finetrainers' example."""

UNREAD = (".arrow", ".pkl", ".xlsx", ".yaml", ".yml")
"""Suffixes of what may be a table of videos in a form that is not read."""

_LISTS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".txt")
_KEPT = (*UNREAD, *_LISTS, ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst")


@dataclass(frozen=True)
class Layout:
    """A source with the layout that it has.

    Attributes:
        name: one of `LAYOUTS`.
        summary: a line for the user: the files that were found and the columns that were chosen.
        root: the folder that no path may leave.
        reader: makes `entries`.
        read: names of the lists in the folder of the source that are read.
    """

    name: str
    summary: str
    root: Path
    reader: Callable[[], Iterator[Entry]] = field(repr=False)
    read: tuple[str, ...] = ()

    def entries(self) -> Iterator[Entry]:
        """All videos, one by one and always in the same order.

        Raises:
            DataError: an index file can no longer be read.
        """
        return self.reader()


@dataclass(frozen=True)
class Names:
    """The sorted names in a folder that may identify a layout, without hidden ones.

    Attributes:
        files: tables, lists and tars.
        folders: all of them.
        videos: whether there is a video.
        texts: the .txt and .caption that are neither lists nor captions of a video beside them.
    """

    files: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    videos: bool = False
    texts: tuple[str, ...] = ()

    def ending(self, *suffixes: str) -> list[str]:
        """The files whose names end in one of `suffixes`, ignoring case."""
        return [name for name in self.files if name.lower().endswith(suffixes)]


@dataclass(frozen=True)
class Sought:
    """A source as the user gave it, with the folder of its videos and a forced layout, if any."""

    source: Path
    media_root: Path | None = None
    forced: bool = False

    @cached_property
    def folder(self) -> Path:
        """The source if it is a folder, else the folder of the source; without symbolic links."""
        real = Path(os.path.realpath(self.source))
        return real if real.is_dir() else real.parent

    @cached_property
    def file(self) -> Path | None:
        """The source if it is a file."""
        return None if self.source.is_dir() else Path(os.path.realpath(self.source))

    @cached_property
    def root(self) -> Path:
        """The folder that relative paths of an index start from and that they may not leave."""
        return Path(os.path.realpath(self.media_root)) if self.media_root else self.folder

    def files(self, *suffixes: str) -> list[Path]:
        """The source, or the files in it, whose names end in one of `suffixes`, ignoring case."""
        if self.file:
            name = self.file.name.lower()[1:]  # a file called .csv has no suffix
            return [self.file] if name.endswith(suffixes) else []
        return [self.folder / name for name in self.names.ending(*suffixes)]

    @cached_property
    def names(self) -> Names:
        """The names in the folder; none if the source is a file."""
        return Names() if self.file else look(self.folder)


def look(folder: Path) -> Names:
    """The names in a folder that may identify a layout, without links that leave it.

    Raises:
        DataError: it cannot be read.
    """
    files: list[str] = []
    notes: list[str] = []
    folders: list[str] = []
    texts: list[str] = []
    stems: set[str] = set()
    try:
        with os.scandir(folder) as found:
            for item in found:
                if item.name.startswith(".") or (item.is_symlink() and _leaves(item)):
                    continue
                if item.is_dir():
                    folders.append(item.name)
                elif item.name.lower().endswith(".json"):
                    own = is_video(item.name[: -len(".json")])  # a record of fbridge generate
                    notes += [item.name] if not own and len(notes) <= MANY_JSON else []
                elif item.name.lower().endswith(_KEPT):
                    (texts if _is_caption(item.name) else files).append(item.name)
                elif item.name.lower().endswith(".caption"):
                    texts.append(item.name)
                elif is_video(item.name):
                    stems.add(item.name.rpartition(".")[0])
    except OSError as error:
        raise DataError(f"{shown(folder)}: cannot be read ({error.strerror})") from None
    alone = sorted(name for name in texts if name.rpartition(".")[0] not in stems)
    return Names(tuple(sorted(files + notes)), tuple(sorted(folders)), bool(stems), tuple(alone))


def listed(names: Iterable[str]) -> str:
    """Names for a line of text: the first three and how many more."""
    first = [shown(name) for name in names]
    more = f" and {len(first) - 3} more" if len(first) > 3 else ""
    return ", ".join(first[:3]) + more


def _leaves(item: os.DirEntry[str]) -> bool:
    real = os.path.realpath(item.path)
    there = os.path.exists(real)  # noqa: PTH110 - never raises
    return not there or relative(os.path.realpath(Path(item.path).parent), real) is None


def _is_caption(name: str) -> bool:
    """Whether a file is a .txt that is not an index of any layout."""
    known = ("videos.txt", "classind.txt")
    small = name.lower()
    return (
        small.endswith(".txt")
        and small not in known
        and small not in PROMPTS
        and not small.startswith(("trainlist", "testlist"))
    )
