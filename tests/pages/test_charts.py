"""Curves over steps."""

from __future__ import annotations

import math
import re

from fbridge.pages.charts import Curve, curve_chart


def places(chart: str) -> list[list[tuple[float, float]]]:
    """Points of each line."""
    return [
        [tuple(map(float, point.split(","))) for point in text.split()]  # type: ignore[misc]
        for text in re.findall(r'<polyline class="line curve-\d" points="([^"]*)"', chart)
    ]


def test_curves_lie_where_their_values_are() -> None:
    chart = curve_chart([Curve("a<b", [(0, 1.0), (50, 3.0), (100, 2.0)]),
                         Curve("other", [(0, 2.0), (100, 2.0)]), Curve("one", [(100, 1.5)])],
                        "A & B")  # fmt: skip
    (first, other) = places(chart)
    assert [x for x, _ in first] == [46.0, 197.0, 348.0]
    tops = [y for _, y in first]
    assert tops[1] < tops[2] < tops[0]  # 3 is above 2, and 2 above 1
    assert other[0][1] == other[1][1] == tops[2]
    assert chart.count("<circle") == 1
    assert "a&lt;b" in chart
    assert "A &amp; B" in chart
    assert "step 100" in chart
    assert ">2</text>" in chart


def test_charts_of_little_are_left_out() -> None:
    assert curve_chart([], "x") == ""
    assert curve_chart([Curve("a", [(0, 1.0)]), Curve("b", [])], "x") == ""
    assert curve_chart([Curve("a", [(0, math.nan), (1, 1.0)])], "x") == ""
    assert len(places(curve_chart([Curve("a", [(0, 1.0), (1, 1.0)])], "x"))) == 1


def test_long_curves_are_averaged() -> None:
    (line,) = places(curve_chart([Curve("a", [(n, n % 2) for n in range(10_000)])], "x"))
    assert len(line) < 250
    assert len({y for _, y in line[:-1]}) == 1
