"""A plain folder: videos with a `.txt` of the same name beside them.

The caption of `clip.mp4` is the whole of `clip.txt`, else of `clip.caption` (kohya's), in any case
of the suffix; that of `videos/clip.mp4` may be in `labels/clip.txt` (CogVideoX's). Videos that
differ only in their suffix share it. A video whose caption is not UTF-8 is refused, so that no
caption is lost unnoticed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from fbridge.data.sources.columns import BadRow, clean_caption
from fbridge.data.sources.entry import Entry, Media
from fbridge.data.sources.layout import Layout, Sought
from fbridge.data.sources.paths import LARGEST_TEXT, locate, not_videos, videos_below
from fbridge.files.atomic import shown

SUFFIXES = ("txt", "caption")
VIDEOS, LABELS = "videos", "labels"


def find(sought: Sought) -> Layout | None:
    """The layout of any folder."""
    if sought.file:
        return None
    root = sought.folder
    summary = f"folder: videos below {shown(root.name or root)}, captions from the .txt beside each"
    summary += not_videos(str(root))
    return Layout("folder", summary, root, partial(_entries, str(root)))


def read_text(media: Media, name: str) -> str:
    """The text of a file or member, called `name` in messages.

    Raises:
        BadRow: it cannot be read as UTF-8.
    """
    try:
        if media.stat()[0] > LARGEST_TEXT:
            raise BadRow(f"{shown(name)}: is larger than {LARGEST_TEXT >> 20} MB for one caption")
        with media.open() as file:
            return file.read().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadRow(f"{shown(name)}: is not UTF-8; save the caption as UTF-8") from None
    except OSError as error:
        raise BadRow(f"{shown(name)}: cannot be read ({error.strerror})") from None


def _entries(root: str) -> Iterator[Entry]:
    folder: str | None = None
    texts: dict[str, list[str]] = {}
    for place in videos_below(root):
        if place.refused:
            yield place
            continue
        above, slash, name = place.key.rpartition("/")
        if above != folder:
            folder, texts = above, _texts(Path(root, above))
        stem = name.rpartition(".")[0]
        try:
            beside = _beside(texts.get(stem, []))
            if beside:
                captions = _sidecar(root, above + slash + beside)
            elif place.key.startswith(f"{VIDEOS}/"):
                inner = (above + slash).removeprefix(f"{VIDEOS}/")
                captions = _sidecar(root, f"{LABELS}/{inner}{stem}.txt")
            else:
                captions = ()
            yield replace(place, captions=captions)
        except BadRow as fault:
            yield Entry(place.key, None, refused=str(fault))


def _texts(folder: Path) -> dict[str, list[str]]:
    """The names of a folder's texts by their stems, whatever the case of the suffix."""
    found: dict[str, list[str]] = {}
    for name in os.listdir(folder):  # noqa: PTH208 - names alone
        stem, dot, suffix = name.rpartition(".")
        if dot and suffix.lower() in SUFFIXES:
            found.setdefault(stem, []).append(name)
    return found


def _beside(names: list[str]) -> str:
    """The one of several texts that is meant: the first kind, in small letters or the only one."""
    for suffix in SUFFIXES:
        kind = sorted(name for name in names if name.lower().endswith(f".{suffix}"))
        plain = [name for name in kind if name.endswith(f".{suffix}")]
        if len(kind) > 1 and not plain:
            raise BadRow(f"{' and '.join(map(shown, kind))} may be its caption; keep one")
        if kind:
            return (plain or kind)[0]
    return ""


def _sidecar(root: str, name: str) -> tuple[str, ...]:
    beside = locate(root, root, name, line=name)
    if beside.media:
        return clean_caption(read_text(beside.media, name))
    if beside.refused.startswith("missing"):  # removed since, or a link to nothing
        return ()
    raise BadRow(f"{shown(name)}: {beside.refused}")
