"""Two lists: line i of `prompts.txt`, or of another of `PROMPTS`, is of line i of `videos.txt`.

Lists of different length and blank lines among the videos are errors, since captions are joined by
line number. A blank prompt is a missing caption. Only line feeds end a line.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from fbridge.data.sources.columns import BadRow, clean_caption
from fbridge.data.sources.entry import Entry
from fbridge.data.sources.layout import PROMPTS, Layout, Sought
from fbridge.data.sources.paths import locate
from fbridge.errors import ConfigError, DataError
from fbridge.files.atomic import shown

VIDEOS = "videos.txt"


def find(sought: Sought) -> Layout | None:
    """The layout of a folder with both lists.

    Raises:
        ConfigError: there are two lists of captions.
        DataError: the lists differ in length, or a video is blank.
    """
    named = {name.lower(): name for name in sought.names.files}
    prompts = [named[name] for name in PROMPTS if name in named]
    if VIDEOS not in named or not prompts:
        return None
    if len(prompts) > 1:
        raise ConfigError(f"{shown(sought.folder)}: holds {' and '.join(prompts)}; keep one")
    videos, texts = sought.folder / named[VIDEOS], sought.folder / prompts[0]
    numbers = _count(videos, blank=False), _count(texts, blank=True)
    if numbers[0] != numbers[1]:
        raise DataError(
            f"{shown(texts)}: has {numbers[1]} lines for the {numbers[0]} of {VIDEOS}; "
            "give each video its line, a blank one if it has no caption"
        )
    summary = f"lists: {VIDEOS}, caption from the same line of {prompts[0]}"
    reader = partial(_entries, str(sought.root), videos, texts)
    return Layout("lists", summary, sought.root, reader, read=(videos.name, texts.name))


def _count(path: Path, *, blank: bool) -> int:
    number = 0
    for number, line in enumerate(_lines(path), start=1):
        if not blank and not line.strip():
            raise DataError(f"{shown(path)}:{number}: is blank; remove the line in both lists")
    return number


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file):
                yield line.removeprefix(b"\xef\xbb\xbf") if number == 0 else line
    except OSError as error:
        raise DataError(f"{shown(path)}: cannot be read ({error.strerror})") from None


def _entries(root: str, videos: Path, texts: Path) -> Iterator[Entry]:
    try:
        for number, (name, text) in enumerate(zip(_lines(videos), _lines(texts), strict=True), 1):
            path = name.decode("utf-8", errors="surrogateescape").strip()
            place = locate(root, root, path, line=f"{VIDEOS}:{number}")
            try:
                caption = clean_caption(text.decode("utf-8", errors="surrogateescape"))
                yield replace(place, captions=caption)
            except BadRow as fault:
                yield Entry(place.key, None, refused=f"{texts.name}:{number}: {fault}")
    except ValueError:
        raise DataError(
            f"{shown(texts)}: changed while it was read; leave the lists alone and try again"
        ) from None
