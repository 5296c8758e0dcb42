"""From a name in a list to a file that lies inside the source folder, or a reason why not.

A path is judged by where it leads once all links are followed, and the file that was judged is the
one that is opened later. Nothing outside the folder is opened or even asked about.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from fbridge.data.sources.entry import Entry, Media
from fbridge.files.atomic import shown

VIDEO_SUFFIXES = frozenset(
    {"mp4", "m4v", "mov", "mkv", "webm", "avi", "gif"}
    | {"mpg", "mpeg", "ts", "wmv", "flv", "3gp", "ogv"}
)
"""Ends of file names, in small letters, that are taken for videos."""

LARGEST_TEXT = 16 * 2**20
"""Bytes that one caption, cell or line may have."""

_LONGEST_PATH = 4096


class Place(NamedTuple):
    """Where a name leads: `media` is None when it is refused, and `refused` says why."""

    key: str
    media: Media | None
    refused: str = ""

    def entry(
        self, captions: tuple[str, ...] = (), split: tuple[str, ...] = (), label: int | None = None
    ) -> Entry:
        """The entry of this place with what the source says about it."""
        return Entry(self.key, self.media, captions, split, label, self.refused)


def is_video(name: str) -> bool:
    """Whether the name ends as a video's does."""
    stem, dot, suffix = name.rpartition(".")
    return bool(stem and dot) and suffix.lower() in VIDEO_SUFFIXES


def locate(root: str, base: str, name: str, *, line: str) -> Place:
    """The file called `name` as seen from the folder `base`, if it lies inside `root`.

    Args:
        root: The folder that nothing may leave; real, without links.
        base: The folder from which relative names count.
        name: As written in a list.
        line: The key if `name` cannot even be a name.
    """
    fault = _unspeakable(name)
    if fault:
        return Place(line, None, fault)
    if "://" in name:
        return Place(name, None, "is an address, not a file; download the videos first")
    whole = os.path.join(base, name)  # noqa: PTH118 - text that may be anything
    real = os.path.realpath(whole)
    inside = relative(root, real)
    if inside is None:
        return Place(
            name,
            None,
            f"leaves the source folder {shown(root)}; copy the file into it, "
            "or name a folder that holds both",
        )
    key = (relative(root, os.path.normpath(whole)) or inside).replace(os.sep, "/")
    refused = _not_a_file(real)
    return Place(key, None if refused else Media(Path(real)), refused)


def videos_below(root: str, top: str = "") -> Iterator[Place]:
    """The videos in `root/top` by name, then those of each folder in it.

    Hidden names are left out. A link to a folder is not followed: one that leads out of `root` is
    refused, of one that stays inside the videos are met where they are. Only the names of the
    folders between `root` and the present one are held.
    """
    waiting = [iter([top])]
    while waiting:
        key = next(waiting[-1], None)
        if key is None:
            waiting.pop()
            continue
        folder = str(Path(root, key))
        try:
            found = sorted(os.scandir(folder), key=lambda item: item.name)
        except OSError as error:
            yield Place(key, None, f"cannot be read ({error.strerror})")
            continue
        yield from _level(root, key, found, waiting)


def _level(
    root: str, key: str, found: list[os.DirEntry[str]], waiting: list[Iterator[str]]
) -> Iterator[Place]:
    folders = []
    for item in found:
        name = f"{key}/{item.name}" if key else item.name
        if item.name.startswith("."):
            continue
        if item.is_dir(follow_symlinks=False):
            folders.append(name)
        elif item.is_symlink() and os.path.isdir(item.path):  # noqa: PTH112 - never raises
            place = locate(root, root, name, line=name)
            if place.refused.startswith("leaves"):
                yield place
        elif is_video(item.name):
            plain = item.is_file(follow_symlinks=False)
            yield (
                Place(name, Media(Path(item.path)))
                if plain
                else locate(root, root, name, line=name)
            )
    waiting.append(iter(folders))


def _unspeakable(name: str) -> str:
    start = ascii(name[:60])
    if not name:
        return "has no path"
    if "\0" in name:
        return f"path {start} holds a NUL byte; mend the list"
    if len(name) > _LONGEST_PATH:
        return f"path {start}... has {len(name)} characters; mend the list"
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return f"path {start} cannot be the name of a file; mend the list"
    return ""


def relative(root: str, path: str) -> str | None:
    """`path` as seen from `root`, None when it lies elsewhere."""
    if path == root:
        return "."
    start = root if root.endswith(os.sep) else root + os.sep
    return path[len(start) :] if path.startswith(start) else None


def _not_a_file(path: str) -> str:
    try:
        mode = Path(path).stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "missing: there is no such file"
    except (OSError, ValueError) as error:
        return f"cannot be read ({getattr(error, 'strerror', None) or error})"
    return "" if stat.S_ISREG(mode) else "is not a regular file"
