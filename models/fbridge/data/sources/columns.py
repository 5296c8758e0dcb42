"""Which column of a row is the video and which the caption.

Several columns of one kind may stand beside each other as long as they agree; empty ones do not
count. Where two differ there is no right choice, so none is made.
"""

from __future__ import annotations

from collections.abc import Mapping

VIDEO = ("video", "video_path", "file_name", "media_path", "path", "file")
CAPTION = ("caption", "captions", "text", "prompt")
SPLIT = ("split",)
LABEL = ("label",)

Cells = Mapping[str, object]
"""Column to value: text in a csv, anything in a jsonl or parquet."""


class BadRow(ValueError):
    """Why one row, and only this one, cannot be used."""


class Clash(BadRow):
    """Two columns of one kind with different values."""


def pick(cells: Cells, aliases: tuple[str, ...]) -> object:
    """The value under whichever of `aliases` is filled; None when none is.

    Raises:
        Clash: when two are filled differently.
    """
    chosen, value = "", None
    for name in aliases:
        other = _plain(cells.get(name))
        if other is None:
            continue
        if chosen and other != value:
            raise Clash(f"columns {chosen!r} and {name!r} differ; remove or rename one")
        if not chosen:
            chosen, value = name, other
    return value


def video_of(cells: Cells, aliases: tuple[str, ...] = VIDEO) -> str:
    """The path as written.

    Raises:
        BadRow: when there is none.
    """
    value = pick(cells, aliases)
    if value is None:
        raise BadRow(f"has no path; fill column {' or '.join(map(repr, aliases))}")
    if not isinstance(value, str):
        raise BadRow(f"the path is {ascii(value)[:60]}, not text; mend the list")
    return value


def captions_of(cells: Cells) -> tuple[str, ...]:
    """All captions of a row.

    Raises:
        BadRow: when one is not text.
    """
    value = pick(cells, CAPTION)
    several = value if isinstance(value, list) else [value]
    return tuple(text for one in several if one is not None for text in clean_caption(one))


def clean_caption(text: object) -> tuple[str, ...]:
    """The caption without whitespace around it, as a tuple of one; none when nothing is left.

    Raises:
        BadRow: when it is not text that UTF-8 can hold.
    """
    if not isinstance(text, str):
        raise BadRow(f"the caption is {ascii(text)[:60]}, not text; mend it")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise BadRow("the caption is not UTF-8; save it as UTF-8") from None
    bare = text.strip()
    return (bare,) if bare else ()


def split_of(cells: Cells) -> tuple[str, ...]:
    """The tags in the split column."""
    value = pick(cells, SPLIT)
    several = value if isinstance(value, list) else [value]
    return tuple(tag.strip() for tag in several if isinstance(tag, str) and tag.strip())


def label_of(cells: Cells) -> int | None:
    """The class number; a label that is no whole number is none."""
    value = pick(cells, LABEL)
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 10:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _plain(value: object) -> object:
    """A value so that equal ones compare equal; None for an empty one."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, str):
        return value.strip() or None
    return None if value == [] else value
