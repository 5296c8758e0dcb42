"""From a name in a list to a file inside the source folder, or the reason why there is none.

A path is checked after all symbolic links are resolved, and the resolved file is the one that is
opened later. Nothing outside the folder is opened, nor its existence checked.
"""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from fbridge.checks import is_url
from fbridge.data.sources.entry import Entry, Media
from fbridge.data.stores.url import plain_url
from fbridge.files.atomic import shown

VIDEO_SUFFIXES = frozenset(
    {"mp4", "m4v", "mov", "f4v", "3gp", "3g2", "mkv", "webm", "avi", "divx", "gif", "flv"}
    | {"mpg", "mpeg", "mpe", "m1v", "m2v", "vob", "ts", "mts", "m2t", "m2ts"}
    | {"wmv", "asf", "ogv", "ogm"}
)
"""Lower-case suffixes of file names that are taken for videos."""

LARGEST_TEXT = 16 * 2**20
"""Maximum bytes of a caption, cell or line."""

UNREAD_URL = "is behind a URL, which is not read here; copy the video to a folder"

_LONGEST_PATH = 4096
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")


def is_video(name: str) -> bool:
    """Whether a file name has a suffix of `VIDEO_SUFFIXES`."""
    stem, dot, suffix = name.rpartition(".")
    return bool(stem and dot) and suffix.lower() in VIDEO_SUFFIXES


def locate(root: str, base: str, name: str, *, line: str) -> Entry:
    """The video file `name` relative to the folder `base`, refused unless it lies inside `root`.

    A URL is an entry with `Entry.url`, whatever the root.

    Args:
        root: the folder that paths may not leave, without symbolic links.
        base: the folder that relative names start from.
        name: as written in a list, with the separators of Windows too.
        line: the entry's key if `name` is no possible file name.
    """
    fault = _impossible(name)
    if fault:
        return Entry(line, None, refused=fault)
    if is_url(name):
        return _behind_url(name, line)
    place = _inside(root, base, name)
    if place.media is None and "\\" in name:
        if _DRIVE.match(name):
            refused = "is a path of a Windows drive; write it relative to the list"
            return Entry(name, None, refused=refused)
        return _inside(root, base, name.replace("\\", "/"))
    return place


def _behind_url(name: str, line: str) -> Entry:
    url, fault = plain_url(name)
    if fault:
        return Entry(line, None, refused=f"its URL {fault}")
    return Entry(url, None, refused=UNREAD_URL, url=url)


def _inside(root: str, base: str, name: str) -> Entry:
    whole = os.path.join(base, name)  # noqa: PTH118 - text that may be anything
    real = os.path.realpath(whole)
    inside = relative(root, real)
    if inside is None:
        return Entry(
            name,
            None,
            refused=f"leaves the source folder {shown(root)}; copy the file into it, "
            "or name a folder that holds both",
        )
    key = (relative(root, os.path.normpath(whole)) or inside).replace(os.sep, "/")
    refused = _not_a_file(real)
    return Entry(key, None if refused else Media(real), refused=refused)


def videos_below(root: str, top: str = "") -> Iterator[Entry]:
    """The videos in `root/top` by name, then those of each folder in it, depth first.

    Hidden names are skipped. Links to folders are not followed; those that leave `root` are refused
    entries. Only the names of the folders on the current path are held in memory.
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
            yield Entry(key, None, refused=f"cannot be read ({error.strerror})")
            continue
        yield from _level(root, key, found, waiting)


def not_videos(root: str) -> str:
    """How many files below `root` are left out, to end a layout's summary; "" for none.

    They are no videos by their suffix, nor captions. Hidden names are not counted.
    """
    counts: Counter[str] = Counter()
    for _, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 - names may be anything
            if suffix != ".txt" and not name.startswith(".") and not is_video(name):
                counts[suffix or "without suffix"] += 1
    if not counts:
        return ""
    most = [f"{number} {shown(suffix)}" for suffix, number in counts.most_common(5)]
    more = f" and {len(counts) - 5} more kinds" if len(counts) > 5 else ""
    return f"; not videos by their names: {', '.join(most)}{more}"


def _level(
    root: str, key: str, found: list[os.DirEntry[str]], waiting: list[Iterator[str]]
) -> Iterator[Entry]:
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
            here = Entry(name, Media(item.path))
            yield here if plain else locate(root, root, name, line=name)
    waiting.append(iter(folders))


def _impossible(name: str) -> str:
    """Why a text is no possible file name; "" if it is one."""
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
    """`path` relative to `root`; None if it is outside."""
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
