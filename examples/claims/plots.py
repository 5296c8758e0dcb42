"""Plots as SVG text that is read on light and on dark pages: the reader's scheme is asked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _LINE = 640, 26
_LEFT, _RIGHT, _TOP, _BOTTOM = 150, 24, 34, 34
_TALL = 300
_STYLE = """<style>
text { font: 12px system-ui, sans-serif; fill: #444; }
.axis, .grid { stroke: #ccc; } .end { stroke: #888; stroke-dasharray: 3 3; }
.c0 { --c: #1f6feb; } .c1 { --c: #d1495b; } .c2 { --c: #2a9d5c; } .c3 { --c: #b26a00; }
.c4 { --c: #7b4fc9; } .c5 { --c: #0f8b8d; }
.line { stroke: var(--c); fill: none; stroke-width: 2; } .dashed { stroke-dasharray: 6 4; }
.band { fill: var(--c); opacity: 0.15; } .dot { fill: var(--c); } .seed { fill: var(--c); opacity: 0.5; }
@media (prefers-color-scheme: dark) {
text { fill: #c9d1d9; } .axis, .grid { stroke: #3d444d; } .end { stroke: #9198a1; }
.c0 { --c: #6cb0ff; } .c1 { --c: #ff8a97; } .c2 { --c: #6fd08f; } .c3 { --c: #f0b45a; }
.c4 { --c: #c3a2ff; } .c5 { --c: #5fd3d5; }
}
</style>"""  # noqa: E501
_COLOURS = 6


@dataclass(frozen=True)
class Dots:
    """A line of a dot plot: a name, its mean, its values of the seeds."""

    name: str
    mean: float
    seeds: Sequence[float]


@dataclass(frozen=True)
class Line:
    """A curve: points (x, y), and for a band (x, low, high); colour by number."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: int
    dashed: bool = False
    band: Sequence[tuple[float, float, float]] = ()


def dot_plot(title: str, lines: Sequence[Dots], ends: Sequence[tuple[str, float]]) -> str:
    """Means and seeds by arm, with two named ends of the scale."""
    values = [value for line in lines for value in (*line.seeds, line.mean)]
    values += [value for _, value in ends]
    low, high = _padded(min(values), max(values))
    bottom = _TOP + _LINE * len(lines) + 8

    def x(value: float) -> float:
        return _LEFT + (value - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    shapes = [
        f'<line class="grid" x1="{x(v):.1f}" x2="{x(v):.1f}" y1="{_TOP}" y2="{bottom}"/>'
        f'<text x="{x(v):.1f}" y="{bottom + 16}" text-anchor="middle">{v:.3g}</text>'
        for v in _ticks(low, high)
    ]
    for name, value in ends:
        shapes.append(
            f'<line class="end" x1="{x(value):.1f}" x2="{x(value):.1f}" y1="{_TOP}" y2="{bottom}"/>'
            f'<text x="{x(value):.1f}" y="{_TOP - 4}" text-anchor="middle">{escape(name)}</text>'
        )
    for number, line in enumerate(lines):
        y = _TOP + _LINE * (number + 0.7)
        shapes.append(f'<text x="{_LEFT - 10}" y="{y + 4:.1f}" text-anchor="end">'
                      f"{escape(line.name)}</text>")  # fmt: skip
        shapes += [f'<circle class="seed c0" cx="{x(v):.1f}" cy="{y:.1f}" r="3"/>'
                   for v in line.seeds]  # fmt: skip
        shapes.append(f'<circle class="dot c0" cx="{x(line.mean):.1f}" cy="{y:.1f}" r="5"/>')
    return _svg(title, shapes, bottom + _BOTTOM)


def line_plot(
    title: str,
    lines: Sequence[Line],
    x_label: str,
    *,
    log: bool = False,
    names: Sequence[str] = (),
    ends: Sequence[tuple[str, float]] = (),
) -> str:
    """Curves over one axis.

    Args:
        title: above it.
        lines: curves; those of one colour and dash have one name.
        x_label: below the axis.
        log: of the base 2, along x.
        names: of x = 0, 1, ... in place of numbers.
        ends: named levels.
    """
    left = 56
    values = [y for line in lines for _, y in line.points]
    values += [y for line in lines for _, low, high in line.band for y in (low, high)]
    low, high = _padded(min(values), max(values))
    shown = [(name, value) for name, value in ends if low < value < high]
    places = sorted({x for line in lines for x, _ in line.points})
    first, last = _along(places[0], log), _along(places[-1], log)
    right = _WIDTH - 150

    def x(value: float) -> float:
        return left + (_along(value, log) - first) / ((last - first) or 1) * (right - left)

    def y(value: float) -> float:
        return _TOP + (high - value) / (high - low) * (_TALL - _TOP - 44)

    shapes = [
        f'<line class="grid" x1="{left}" x2="{right}" y1="{y(v):.1f}" y2="{y(v):.1f}"/>'
        f'<text x="{left - 8}" y="{y(v) + 4:.1f}" text-anchor="end">{v:.3g}</text>'
        for v in _ticks(low, high)
    ]
    shapes += [
        f'<text x="{x(v):.1f}" y="{_TALL - 26}" text-anchor="middle">'
        f"{escape(names[int(v)]) if names else f'{v:g}'}</text>"
        for v in places
    ]
    shapes.append(f'<text x="{(left + right) / 2:.0f}" y="{_TALL - 8}" text-anchor="middle">'
                  f"{escape(x_label)}</text>")  # fmt: skip
    for name, value in shown:
        shapes.append(
            f'<line class="end" x1="{left}" x2="{right}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
            f'<text x="{left + 4}" y="{y(value) - 4:.1f}">{escape(name)}</text>'
        )
    for line in lines:
        if line.band:
            up = [f"{x(at):.1f},{y(top):.1f}" for at, _, top in line.band]
            down = [f"{x(at):.1f},{y(bottom):.1f}" for at, bottom, _ in reversed(line.band)]
            shapes.append(f'<polygon class="band c{line.colour % _COLOURS}" '
                          f'points="{" ".join(up + down)}"/>')  # fmt: skip
        points = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in line.points)
        dash = " dashed" if line.dashed else ""
        shapes.append(f'<polyline class="line c{line.colour % _COLOURS}{dash}" '
                      f'points="{points}"/>')  # fmt: skip
    for number, line in enumerate(lines):
        at = _TOP + 8 + 18 * number
        dash = " dashed" if line.dashed else ""
        shapes.append(
            f'<line class="line c{line.colour % _COLOURS}{dash}" x1="{right + 12}" '
            f'x2="{right + 34}" y1="{at}" y2="{at}"/>'
            f'<text x="{right + 40}" y="{at + 4}">{escape(line.name)}</text>'
        )
    return _svg(title, shapes, max(_TALL, _TOP + 18 * len(lines) + 20))


def _svg(title: str, shapes: Sequence[str], tall: float) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {tall:.0f}" '
        f'width="{_WIDTH}" role="img" aria-label="{escape(title)}">\n{_STYLE}\n'
        f'<text x="8" y="16" font-weight="bold">{escape(title)}</text>\n'
        + "\n".join(shapes)
        + "\n</svg>\n"
    )


def _along(value: float, log: bool) -> float:
    return math.log2(value) if log else value


def _padded(low: float, high: float) -> tuple[float, float]:
    room = 0.05 * (high - low) or 0.1 * abs(high) or 1.0
    return low - room, high + room


def _ticks(low: float, high: float) -> list[float]:
    """Three to seven round numbers in an interval."""
    size = 10 ** math.floor(math.log10((high - low) / 3))
    size *= next(times for times in (5, 2, 1) if times * size <= (high - low) / 3)
    return [n * size for n in range(math.ceil(low / size), math.floor(high / size) + 1)]
