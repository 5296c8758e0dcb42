"""Small charts as SVG text; the page's style sheet gives the colours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from fbridge.evaluation.result import Score
from fbridge.pages.charts import figure

_WIDTH, _HEIGHT = 320, 120
_PAD = 8


def baseline_chart(score: Score, text: Mapping[str, str]) -> str:
    """A score and its baselines as marks on a line; "" if there is nothing to compare.

    Args:
        score: with baselines.
        text: the baselines' values as text, by name.
    """
    marks = {name: value for name, value in score.baselines.items() if math.isfinite(value)}
    if not marks or not math.isfinite(score.value):
        return ""
    low, high = min([score.value, *marks.values()]), max([score.value, *marks.values()])
    if low == high:
        return ""

    def place(value: float) -> float:
        return _PAD + (value - low) / (high - low) * (_WIDTH - 2 * _PAD)

    dots = [
        f'<circle class="base" cx="{place(value):.1f}" cy="14" r="4">'
        f"<title>{escape(name)} {escape(text[name])}</title></circle>"
        for name, value in marks.items()
    ]
    return (
        f'<svg class="between" viewBox="0 0 {_WIDTH} 28" role="img" '
        f'aria-label="{escape(score.label)} among its baselines">'
        f'<line class="axis" x1="{_PAD}" x2="{_WIDTH - _PAD}" y1="14" y2="14"/>{"".join(dots)}'
        f'<path class="value" d="M{place(score.value):.1f} 4v20"/></svg>'
    )


def quartile_chart(values: Sequence[float], label: str) -> str:
    """The values of the quarters from least to most motion as a line; "" without them."""
    known = [value for value in values if math.isfinite(value)]
    if len(known) < len(values) or len(values) < 2:
        return ""
    low, high = min(known), max(known)
    room = (high - low) or 1.0
    step = (_WIDTH - 6 * _PAD) / (len(values) - 1)
    points = [
        (3 * _PAD + n * step, _HEIGHT - 3 * _PAD - (value - low) / room * (_HEIGHT - 6 * _PAD))
        for n, value in enumerate(values)
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = "".join(
        f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>'
        f'<text class="tick" x="{x:.1f}" y="{y - 8:.1f}">{value:.4g}</text>'
        for (x, y), value in zip(points, values, strict=True)
    )
    return figure(
        (_WIDTH, _HEIGHT),
        f'<polyline class="line" points="{line}"/>{dots}',
        f"{label} by motion",
        escape(f"{label} by the real clips' motion, least to most", quote=False),
    )


def histogram(values: Sequence[float], label: str, bins: int = 24) -> str:
    """Histogram of the scores of clips; "" with under 8 of them or equal ones."""
    known = sorted(value for value in values if math.isfinite(value))
    if len(known) < 8 or known[0] == known[-1]:
        return ""
    low, high = known[0], known[-1]
    counts = [0] * bins
    for value in known:
        counts[min(bins - 1, int((value - low) / (high - low) * bins))] += 1
    width = (_WIDTH - 2 * _PAD) / bins
    tall = _HEIGHT - 4 * _PAD
    bars = "".join(
        f'<rect class="bar" x="{_PAD + n * width:.1f}" width="{max(1.0, width - 1.5):.1f}" '
        f'y="{_PAD + tall * (1 - count / max(counts)):.1f}" '
        f'height="{tall * count / max(counts):.1f}"/>'
        for n, count in enumerate(counts)
    )
    ends = (
        f'<text class="tick first" x="{_PAD}" y="{_HEIGHT - 6}">{low:.4g}</text>'
        f'<text class="tick last" x="{_WIDTH - _PAD}" y="{_HEIGHT - 6}">{high:.4g}</text>'
    )
    caption = escape(f"{label} of {len(known)} clips", quote=False)
    return figure((_WIDTH, _HEIGHT), f"{bars}{ends}", f"{label} of the clips", caption)
