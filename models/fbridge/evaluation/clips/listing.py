"""List the videos of one side: videos in any layout, folders of frames, or prepared data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from fbridge.checks import is_url
from fbridge.data.frame_folders import order_fault, sort_frames
from fbridge.data.latents import LatentDataset
from fbridge.data.latents.format import INDEX
from fbridge.data.pictures import SUFFIXES
from fbridge.data.sources import Entry, Media, find_layout
from fbridge.data.sources.paths import is_video
from fbridge.data.stores import StoreUrl
from fbridge.errors import DataError
from fbridge.files.atomic import shown

Locate = Callable[[Entry], Media]
"""The local file of an entry that names a URL."""


@dataclass(frozen=True)
class ListedVideo:
    """One video of a side, not yet opened.

    Attributes:
        key: the path below the source without its suffix, or the name of a URL; equal keys of the
            two sides are a pair.
        path: the file, or the folder of frames.
        media: its bytes; None for a folder of frames.
        frames: the pictures of a folder of frames, in order.
        captions: from the source.
        pts: presentation times of its frames where a prepared data set has chosen them, else empty.
        refused: why it cannot be used; empty when it can.
        name: of a member of a tar, the key without the name of the tar; else empty.
    """

    key: str
    path: Path
    media: Media | None = None
    frames: tuple[Path, ...] = ()
    captions: tuple[str, ...] = ()
    pts: tuple[int, ...] = ()
    refused: str = ""
    name: str = ""


@dataclass(frozen=True)
class Listing:
    """The videos of a side.

    Attributes:
        source: as given, or the local place of a URL.
        description: the layout that was recognised, in a line.
        found: its videos, sorted by key.
    """

    source: Path | StoreUrl
    description: str
    found: tuple[ListedVideo, ...]


def list_clips(
    source: Path, rows: frozenset[str] | None = None, locate: Locate | None = None
) -> Listing:
    """List a side; no video is opened.

    Args:
        source: a folder that `fbridge prepare` wrote; a folder of frames or of such folders; or
            any source of `fbridge prepare`: videos, a table or list of them, tars.
        rows: of a prepared data set, only rows with these ids.
        locate: the local file of a row that names a URL; None refuses such rows.

    Raises:
        ConfigError, DataError, DependencyError: as in `fbridge.data.sources.find_layout`, or two
            videos have one key.
    """
    if (source / INDEX).is_file():
        description, found = "prepared data set", list(_rows(source, rows))
    elif folders := _frame_folders(source):
        description = (
            f"{len(folders)} folders of frames" if folders[0] != source else "a folder of frames"
        )
        found = [_framed(source, folder) for folder in folders]
    else:
        layout = find_layout(source)
        description, found = (
            layout.summary,
            [_entered(entry, source, locate) for entry in layout.entries()],
        )
        if layout.name == "webdataset":
            found = [replace(one, name=one.key.partition("/")[2]) for one in found]
    seen: dict[str, Path] = {}
    for one in found:
        if one.key in seen:
            raise DataError(
                f"{shown(source)}: {shown(one.path)} and {shown(seen[one.key])} have one key, "
                f"{one.key!r}; rename one of them"
            )
        seen[one.key] = one.path
    return Listing(source, description, tuple(sorted(found, key=lambda one: one.key)))


def pictures_in(folder: Path) -> tuple[Path, ...]:
    """The pictures of a folder in the order of their numbers; none if it also holds a video."""
    files = [path for path in folder.iterdir() if not path.name.startswith(".")]
    if any(is_video(path.name) and path.suffix.lower() not in SUFFIXES for path in files):
        return ()
    return tuple(sort_frames(p for p in files if p.suffix.lower() in SUFFIXES - {".gif"}))


def _frame_folders(source: Path) -> list[Path]:
    """The folders below `source` that hold the frames of a video, or `source` itself."""
    if not source.is_dir():
        return []
    below = sorted(path for path in source.iterdir() if path.is_dir() and path.name[0] != ".")
    framed = [folder for folder in below if len(pictures_in(folder)) > 1]
    if framed and len(framed) == len(below):
        return framed
    return [source] if not below and len(pictures_in(source)) > 1 else []


def _framed(source: Path, folder: Path) -> ListedVideo:
    key = folder.name if folder == source else folder.relative_to(source).as_posix()
    frames = pictures_in(folder)
    return ListedVideo(key, folder, frames=frames, refused=order_fault(frames))


def _entered(entry: Entry, source: Path, locate: Locate | None) -> ListedVideo:
    if entry.url and locate is not None:
        media, key = locate(entry), _stem(entry.url.rpartition("/")[2])
        return ListedVideo(key, media.path, media, captions=entry.captions)
    inside = source.is_file() and entry.key.partition("/")[0] == source.name  # of one tar
    named = (source.parent if inside else source) / entry.key
    path = named if entry.media is None else entry.media.path
    return ListedVideo(
        _stem(entry.key), path, entry.media, captions=entry.captions, refused=entry.refused
    )


def _rows(source: Path, rows: frozenset[str] | None) -> Iterator[ListedVideo]:
    """The rows of a prepared data set: the same frames of its source videos."""
    data = LatentDataset(source)
    where = data.index["source"]["media_root"] or data.index["source"]["path"]
    if is_url(where):
        raise DataError(
            f"{shown(source)}: was prepared of {where}, and the frames of its clips are read of a "
            "folder alone; copy the videos to one and prepare them from there"
        )
    root = Path(where)
    root = root if root.is_dir() else root.parent
    for number in range(len(data)):
        record = data.record(number)
        if rows is not None and record["id"] not in rows:
            continue
        path, offset, size = record["media"]
        media = Media(str(root / path), offset, size)
        start = f"@{record['times'][0]:g}" if record["times"][0] else ""
        missing = "" if media.path.is_file() else "its source video is gone; restore it"
        yield ListedVideo(
            f"{_stem(record['key'])}{start}",
            media.path,
            media,
            captions=tuple(data.captions(number)),
            pts=tuple(record["pts"]),
            refused=missing,
        )


def _stem(key: str) -> str:
    return key.rpartition(".")[0] if is_video(key) else key
