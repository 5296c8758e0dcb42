"""A plain folder: videos with a `.txt` of the same name beside them.

The caption of `clip.mp4` is the whole of `clip.txt`. Videos that differ only in their suffix share
it. A video whose caption is not UTF-8 is refused, so that no caption is lost unnoticed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from fbridge.data.sources.columns import BadRow, clean_caption
from fbridge.data.sources.entry import Entry, Media
from fbridge.data.sources.layout import Layout, Sought
from fbridge.data.sources.paths import LARGEST_TEXT, locate, videos_below
from fbridge.files.atomic import shown


def find(sought: Sought) -> Layout | None:
    """The layout of any folder."""
    if sought.file:
        return None
    root = sought.folder
    summary = f"folder: videos below {shown(root.name or root)}, captions from the .txt beside each"
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
    for place in videos_below(root):
        if place.refused:
            yield place
            continue
        name = place.key.rpartition(".")[0] + ".txt"
        beside = locate(root, root, name, line=name)
        try:
            yield replace(place, captions=_sidecar(beside.media, name, beside.refused))
        except BadRow as fault:
            yield Entry(place.key, None, refused=str(fault))


def _sidecar(media: Media | None, name: str, refused: str) -> tuple[str, ...]:
    if media:
        return clean_caption(read_text(media, name))
    if refused.startswith("missing"):
        return ()
    raise BadRow(f"{shown(name)}: {refused}")
