"""Curves over steps as SVG text; the page's style sheet gives the colours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 360, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 10, 24
_MOST = 240
"""Points of a curve; a longer one is averaged over neighbours."""


@dataclass(frozen=True)
class Curve:
    """Values over steps.

    Attributes:
        name: in the chart's legend.
        points: steps and values, by rising step.
    """

    name: str
    points: Sequence[tuple[float, float]]


def figure(viewport: tuple[int, int], shapes: str, name: str, caption: str) -> str:
    """A figure around the shapes of an SVG.

    Args:
        viewport: width and height of the shapes' coordinates.
        shapes: as SVG.
        name: for screen readers, as text.
        caption: as HTML.
    """
    width, height = viewport
    return (
        f'<figure><svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(name)}">'
        f"{shapes}</svg><figcaption>{caption}</figcaption></figure>"
    )


def curve_chart(curves: Sequence[Curve], title: str) -> str:
    """Curves over one axis of steps, with a legend; "" without two points of any of them.

    Values that are not finite are left out.
    """
    shown = [Curve(curve.name, _thinned(curve.points)) for curve in curves]
    shown = [curve for curve in shown if curve.points]
    if not any(len(curve.points) > 1 for curve in shown):
        return ""
    values = [value for curve in shown for _, value in curve.points]
    low, high = _padded(min(values), max(values))
    last = max(step for curve in shown for step, _ in curve.points) or 1.0
    across, down = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def x(step: float) -> float:
        return _LEFT + step / last * across

    def y(value: float) -> float:
        return _TOP + (high - value) / (high - low) * down

    ticks = "".join(
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(v):.1f}" y2="{y(v):.1f}"/>'
        f'<text class="tick last" x="{_LEFT - 6}" y="{y(v) + 4:.1f}">{v:.4g}</text>'
        for v in _ticks(low, high)
    )
    ends = (
        f'<text class="tick first" x="{_LEFT}" y="{_HEIGHT - 6}">0</text>'
        f'<text class="tick last" x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 6}">step {last:.0f}</text>'
    )
    lines = "".join(
        _line([(x(step), y(value)) for step, value in curve.points], number)
        for number, curve in enumerate(shown)
    )
    keys = "".join(
        f'<span class="key curve-{number}">{escape(curve.name, quote=False)}</span>'
        for number, curve in enumerate(shown)
    )
    caption = f"<b>{escape(title, quote=False)}</b>{keys}"
    return figure((_WIDTH, _HEIGHT), f"{ticks}{ends}{lines}", title, caption)


def _line(points: Sequence[tuple[float, float]], number: int) -> str:
    if len(points) == 1:
        (x, y), *_ = points
        return f'<circle class="point curve-{number}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>'
    text = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline class="line curve-{number}" points="{text}"/>'


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    known = [(step, value) for step, value in points if math.isfinite(value)]
    size = -(-len(known) // _MOST)
    groups = [known[n : n + size] for n in range(0, len(known), size or 1)]
    return [
        (sum(step for step, _ in group) / len(group), sum(v for _, v in group) / len(group))
        for group in groups
    ]


def _padded(low: float, high: float) -> tuple[float, float]:
    room = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
    return low - room, high + room


def _ticks(low: float, high: float) -> list[float]:
    """Two to six round numbers in an interval."""
    size = 10 ** math.floor(math.log10((high - low) / 2))
    size *= next(times for times in (5, 2, 1) if times * size <= (high - low) / 2)
    first, last = math.ceil(low / size), math.floor(high / size)
    return [n * size for n in range(first, last + 1)]
