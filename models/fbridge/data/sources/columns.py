"""Which column of a row has the video and which the caption.

There may be several columns of one kind if their values agree; empty ones do not count. Two that
differ are an error.
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Mapping

VIDEO_ID = ("video_id",)
"""Names of files without suffix, as in MSR-VTT's tables."""
VIDEO = ("video", "video_path", "file_name", "media_path", "path", "file")
CAPTION = ("caption", "captions", "text", "prompt", "cap", "sentence")
SPLIT = ("split",)
LABEL = ("label",)

Cells = Mapping[str, object]
"""Values by column: text in a csv, any JSON or Arrow value otherwise."""


class BadRow(ValueError):
    """Why one row cannot be used."""


class Clash(BadRow):
    """Two columns of one kind with different values."""


def plain_names(cells: Mapping[str, object]) -> Cells:
    """The cells with their columns in lower case and without whitespace around them.

    Raises:
        Clash: two columns of one name have different values.
    """
    found: dict[str, object] = {}
    for name, value in cells.items():
        plain = name.strip().lower()
        if plain in found and found[plain] != value:
            raise Clash(f"column {plain!r} is there twice with different values; rename one")
        found[plain] = value
    return found


def pick(cells: Cells, aliases: tuple[str, ...]) -> object:
    """The value of the columns `aliases`; None if all are empty.

    Raises:
        Clash: two have different values.
    """
    chosen, value = "", None
    for name in aliases:
        cell = cells.get(name)
        if cell is None or (other := _plain(cell)) is None:
            continue
        if chosen and other != value:
            raise Clash(f"columns {chosen!r} and {name!r} differ; remove or rename one")
        if not chosen:
            chosen, value = name, other
    return value


def video_of(cells: Cells, aliases: tuple[str, ...] = VIDEO) -> str:
    """The path as written.

    Raises:
        BadRow: there is none.
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
        BadRow: one is not text.
    """
    value = pick(cells, CAPTION)
    several = value if isinstance(value, list) else _listed(value)
    return tuple(text for one in several if one is not None for text in clean_caption(one))


def _listed(value: object) -> list[object]:
    """The texts of a cell such as "['one', 'two']", which is how Python prints a list."""
    if not isinstance(value, str) or not (value.startswith(("['", '["')) and value.endswith("]")):
        return [value]
    try:
        found = ast.literal_eval(value)
        tokens = list(tokenize.generate_tokens(io.StringIO(value).readline))
    except (ValueError, SyntaxError, MemoryError, RecursionError, tokenize.TokenError):
        return [value]
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        return [value]
    # numpy prints no commas, and Python joins texts without a comma between them.
    texts = [token.string for token in tokens if token.type == tokenize.STRING]
    return found if len(texts) == len(found) else [ast.literal_eval(text) for text in texts]


def clean_caption(text: object) -> tuple[str, ...]:
    """The caption without whitespace around it, as a tuple of one; none when nothing is left.

    Raises:
        BadRow: it is not text that UTF-8 can hold.
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
    """The class number; None for a label that is no whole number."""
    value = pick(cells, LABEL)
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 10:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _plain(value: object) -> object:
    """A value in a form in which equal ones compare equal; None for an empty one."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, str):
        return value.strip() or None
    return None if value == [] else value
