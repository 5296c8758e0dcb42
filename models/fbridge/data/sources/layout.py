"""What is looked for in a source, and what was found there."""

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
"""With more .json files than this in a folder, they are notes beside videos, not an index."""

_KEPT = (".csv", ".jsonl", ".parquet", ".txt", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst")


@dataclass(frozen=True)
class Layout:
    """A source whose order is understood.

    Attributes:
        name: One of `LAYOUTS`.
        told: One line for the user: what was found and which columns were chosen.
        root: The folder that no path may leave.
    """

    name: str
    told: str
    root: Path
    reader: Callable[[], Iterator[Entry]] = field(repr=False)

    def entries(self) -> Iterator[Entry]:
        """All videos, one after the other and each time in the same order; none is kept.

        Raises:
            DataError: when an index file can no longer be read.
        """
        return self.reader()


@dataclass(frozen=True)
class Names:
    """The names directly in a folder that could mean a layout, sorted; hidden ones left out."""

    files: tuple[str, ...]
    folders: tuple[str, ...]
    videos: bool

    def ending(self, *suffixes: str) -> list[str]:
        """The files whose names end in one of `suffixes`, whatever the case."""
        return [name for name in self.files if name.lower().endswith(suffixes)]


@dataclass(frozen=True)
class Sought:
    """What a user names: the source, where its videos lie, whether the layout is forced."""

    source: Path
    media_root: Path | None = None
    forced: bool = False

    @cached_property
    def folder(self) -> Path:
        """The source, or the folder of the file that is the source; without links."""
        real = Path(os.path.realpath(self.source))
        return real if real.is_dir() else real.parent

    @cached_property
    def file(self) -> Path | None:
        """The source when it is a file."""
        return None if self.source.is_dir() else Path(os.path.realpath(self.source))

    @cached_property
    def root(self) -> Path:
        """The folder that no path of an index may leave and from which relative ones count."""
        return Path(os.path.realpath(self.media_root)) if self.media_root else self.folder

    @cached_property
    def names(self) -> Names:
        """What lies in the folder; nothing when the source is a file."""
        return Names((), (), False) if self.file else look(self.folder)


def look(folder: Path) -> Names:
    """The telling names of one folder; a link out of it tells nothing.

    Raises:
        DataError: when it cannot be read.
    """
    files: list[str] = []
    notes: list[str] = []
    folders: list[str] = []
    videos = False
    try:
        with os.scandir(folder) as found:
            for item in found:
                if item.name.startswith(".") or (item.is_symlink() and _leaves(item)):
                    continue
                if item.is_dir():
                    folders.append(item.name)
                elif item.name.lower().endswith(".json"):
                    notes += [item.name] if len(notes) <= MANY_JSON else []
                elif item.name.lower().endswith(_KEPT) and not _is_caption(item.name):
                    files.append(item.name)
                videos = videos or is_video(item.name)
    except OSError as error:
        raise DataError(f"{shown(folder)}: cannot be read ({error.strerror})") from None
    return Names(tuple(sorted(files + notes)), tuple(sorted(folders)), videos)


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
    """Whether a .txt is no index of any layout."""
    known = ("videos.txt", "prompts.txt", "captions.txt", "classind.txt")
    small = name.lower()
    return (
        small.endswith(".txt")
        and small not in known
        and not small.startswith(("trainlist", "testlist"))
    )
