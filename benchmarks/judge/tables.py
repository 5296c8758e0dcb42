"""Markdown tables of measured videos, with Wilson intervals of 95 %."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from statistics import median
from typing import Any

from benchmarks.judge.verdicts import faults
from fbridge.evaluation.intervals import wilson_interval

Row = Mapping[str, Any]

_NUMBERS = {
    "most": ("motion (heights)", 2),
    "rigid": ("rigid", 2),
    "bg_dragged": ("ground dragged", 2),
    "ghost": ("ghost", 2),
    "bg_psnr": ("ground (dB)", 1),
    "first": ("first frame (levels)", 0),
    "pixel_flicker": ("flicker (levels)", 2),
}
"""Measured numbers with their titles and decimals; tables show medians."""
_SHARES = {"as asked": "right", "hardly": "hardly", "wrong way": "wrong"}


def tables(rows: Sequence[Row]) -> Iterator[str]:
    """All lines of the report on one run."""
    by_group = {
        group: [row for row in rows if row["group"] == group]
        for group in ("object", "camera", "unseen", "free")
    }
    for title, group, key in (
        ("Verbs of a thing", "object", "label"),
        ("Verbs of a thing, by kind of picture", "object", "kind"),
        ("Camera", "camera", "label"),
        ("Unseen wordings", "unseen", "label"),
    ):
        yield from _table(title, by_group[group], key)
    yield from _table_of_faults(by_group["object"])
    yield from _free(by_group["free"])
    differing = sorted({row["name"] for row in rows if row["first"]})
    yield (
        "\nThe first frame is the picture in every video."
        if not differing
        else (f"\nThe first frame is not the picture: {', '.join(differing)}.")
    )


def comparison(one: Sequence[Row], other: Sequence[Row], names: tuple[str, str]) -> Iterator[str]:
    """What became of the videos that two runs share."""
    first, second = ({tuple(row[k] for k in _KEY): row for row in rows} for rows in (one, other))
    pairs = [(first[key], second[key]) for key in first if key in second]
    judged = [pair for pair in pairs if pair[0]["verdict"]]
    yield f"| {len(pairs)} videos in both | {names[0]} | {names[1]} | |"
    yield "|---|---|---|---|"
    for title, group in (("as asked", judged), ("clean", [p for p in judged if _has_thing(p[0])])):
        good = _is_right if title == "as asked" else _is_clean
        found = [(good(a), good(b)) for a, b in group]
        gained, lost = found.count((False, True)), found.count((True, False))
        cells = [share(sum(side), len(found)) for side in zip(*found, strict=True)] or ["", ""]
        yield f"| {title} | {' | '.join(cells)} | gained {gained}, lost {lost} |"
    for key, (title, digits) in _NUMBERS.items():
        known = [(a[key], b[key]) for a, b in pairs if None not in (a[key], b[key])]
        if known:
            cells = [f"{median(side):.{digits}f}" for side in zip(*known, strict=True)]
            yield f"| median {title} | {' | '.join(cells)} | of {len(known)} |"


_KEY = ("name", "prompt", "seed")


def share(count: int, total: int) -> str:
    """A share in per cent with its interval."""
    interval = wilson_interval(count, total)
    if interval is None:
        return ""
    low, high = (100 * min(max(end, 0.0), 1.0) for end in (interval.low, interval.high))
    return f"{100 * count / total:.0f} % ({low:.0f} to {high:.0f})"


def _table(title: str, rows: Sequence[Row], key: str) -> Iterator[str]:
    if not rows:
        return
    cells = [title, "videos", *_SHARES, "clean", *(name for name, _ in _NUMBERS.values())]
    yield from ("", _line(cells), _line(["---"] * len(cells)))
    for value in dict.fromkeys(row[key] for row in rows):
        yield _line([value, *_cells([row for row in rows if row[key] == value])])
    yield _line(["all", *_cells(rows)])


def _cells(rows: Sequence[Row]) -> list[str]:
    total = len(rows)
    counts = Counter(row["verdict"] for row in rows)
    shares = [share(counts[verdict], total) for verdict in _SHARES.values()]
    things = [row for row in rows if _has_thing(row)]
    clean = share(sum(map(_is_clean, things)), len(things))
    numbers = []
    for key, (_, digits) in _NUMBERS.items():
        known = [row[key] for row in rows if row[key] is not None]
        numbers.append(f"{median(known):.{digits}f}" if known else "")
    return [str(total), *shares, clean, *numbers]


def _table_of_faults(rows: Sequence[Row]) -> Iterator[str]:
    """How many of the videos of things that are not clean have each fault; some have two."""
    found = [faults(row) for row in rows]
    unclean = [fault for fault in found if fault]
    if not unclean:
        return
    yield from ("", _line([f"Of {len(unclean)} videos that are not clean", ""]), "|---|---|")
    for fault, count in Counter(chain.from_iterable(unclean)).most_common():
        yield _line([fault, share(count, len(unclean))])


def _free(rows: Sequence[Row]) -> Iterator[str]:
    """Free prompts, which a person judges by the strips, and the lines they are answered with."""
    if not rows:
        return
    answered = sum(bool(row["notes"]) for row in rows)
    yield from ("", f"Free prompts answered with a line: {share(answered, len(rows))}", "")
    cells = ["Free prompts", "prompt", "pixels changed", "answer"]
    yield from (_line(cells), _line(["---"] * len(cells)))
    for row in rows:
        changed = f"{100 * row['changed']:.0f} %"
        yield _line([row["name"], row["prompt"], changed, "; ".join(row["notes"])])


def _has_thing(row: Row) -> bool:
    """Whether it is a thing that should move, and not the camera."""
    return bool(row["thing"])


def _is_right(row: Row) -> bool:
    return bool(row["verdict"] == "right")


def _is_clean(row: Row) -> bool:
    return not faults(row)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
