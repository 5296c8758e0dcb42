"""Folders whose pictures are the frames of a video: their order, by the numbers in their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path

from fbridge.files.atomic import shown

_DIGITS = re.compile(r"([0-9]+)")
_TIME = re.compile(r"[0-9]+(\.[0-9]+)?")


def sort_frames(paths: Iterable[Path]) -> list[Path]:
    """Frames in the order of the numbers in their names: frame2.png before frame10.png.

    Names that are times, such as 0.5.png and 0.25.png, are decimal numbers. Case is ignored.
    """
    frames = list(paths)
    times = _are_times(frames)
    return sorted(frames, key=lambda path: (_parts(path, times=times), path.name))


def order_fault(frames: Sequence[Path]) -> str:
    """Why the names give no order, such as two names for one number; "" if they do."""
    times = _are_times(frames)
    first: dict[tuple[object, ...], Path] = {}
    for path in frames:
        parts = _parts(path, times=times)
        numbers = parts[1::2]
        if numbers and first.setdefault(numbers, path) is not path:
            return (
                f"frames {shown(first[numbers].name)} and {shown(path.name)} have one number; "
                "keep one of them"
            )
    series = {_parts(path, times=times)[::2]: path for path in reversed(frames)}
    if len(series) > 1 and first:
        one, other = list(series.values())[:2]
        return (
            f"frames {shown(one.name)} and {shown(other.name)} are named differently; "
            "keep one series of frames in a folder"
        )
    return ""


def _are_times(frames: Sequence[Path]) -> bool:
    return any("." in path.stem for path in frames) and all(
        _TIME.fullmatch(path.stem) for path in frames
    )


def _parts(path: Path, *, times: bool) -> tuple[object, ...]:
    """The name without suffix as text, number, text, ..., text."""
    if times:
        return "", Decimal(path.stem), ""
    pieces: list[str] = _DIGITS.split(path.stem.casefold())
    return tuple(int(piece) if place % 2 else piece for place, piece in enumerate(pieces))
