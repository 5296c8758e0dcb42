"""A result as a table: cells, CSV, Markdown, LaTeX, JSON, and VBench's own format."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fbridge.evaluation.result import Evaluation, Score

_ARROWS = {"lower": "\u2193", "higher": "\u2191", "neither": ""}
HEADINGS = ("metric", "value", "95 % interval", "n", "baselines", "by motion, least to most")


def rows(evaluation: Evaluation) -> list[list[str]]:
    """A row of cells for each score, under `HEADINGS`."""
    return [_row(score) for score in evaluation.scores]


def _row(score: Score) -> list[str]:
    value = number(score.value)
    if score.warning:
        value += f" ({score.warning})"
    interval = "" if score.interval is None else _interval(score)
    count = str(score.generated) + (f" / {score.reference}" if score.reference else "")
    baselines = "; ".join(f"{name} {number(value)}" for name, value in score.baselines.items())
    quarters = ", ".join(number(value) for value in score.quartiles)
    label = f"{score.label} {_ARROWS[score.better]}".strip()
    return [label, value, interval, count, baselines, quarters]


def _interval(score: Score) -> str:
    assert score.interval is not None
    return f"{number(score.interval.low)} to {number(score.interval.high)}"


def number(value: float) -> str:
    """A number with four digits; "none" for NaN, "infinite" for an infinity."""
    if not math.isfinite(value):
        return "none" if math.isnan(value) else "infinite"
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:.1f}"


def as_csv(evaluation: Evaluation) -> str:
    """A row for each metric, with all digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["metric", "value", "low", "high", "generated", "reference", "protocol"])
    for score in evaluation.scores:
        ends = ("", "") if score.interval is None else (score.interval.low, score.interval.high)
        writer.writerow(
            [score.metric, score.value, *ends, score.generated, score.reference, score.protocol]
        )
    return text.getvalue()


def as_markdown(evaluation: Evaluation) -> str:
    """A table with its protocols below."""
    rows = [HEADINGS, ["---"] * len(HEADINGS), *(_row(score) for score in evaluation.scores)]
    lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    ids = [f"- `{score.protocol}`" for score in evaluation.scores]
    return "\n".join([*lines, "", *ids, ""])


def as_latex(evaluation: Evaluation) -> str:
    """Rows of a tabular: metric, value, interval, clips."""
    lines = ["% metric & value & 95% interval & n"]
    for score in evaluation.scores:
        label, value, interval, count = _row(score)[:4]
        label = label.replace("\u2193", r"$\downarrow$").replace("\u2191", r"$\uparrow$")
        cells = [label, value, interval, count]
        lines.append(" & ".join(_escaped(cell) for cell in cells) + r" \\")
    ids = [f"% {score.protocol}" for score in evaluation.scores]
    return "\n".join([*lines, *ids, ""])


def as_json(evaluation: Evaluation) -> str:
    """The whole result."""
    return json.dumps(evaluation.to_json(), indent=2) + "\n"


def vbench(evaluation: Evaluation) -> str:
    """The VBench-I2V dimensions that were measured, as VBench writes its results."""
    from fbridge.evaluation.metrics.vbench import I2V_WEIGHTS, QUALITY_WEIGHTS, result_file

    paths = {pair.key: pair.generated for pair in evaluation.pairs}
    measured = {score.metric.replace("-", "_"): score for score in evaluation.scores}
    found = {
        dimension: [(paths[key], value) for key, value in measured[dimension].clips.items()]
        for dimension in (*I2V_WEIGHTS, *QUALITY_WEIGHTS)
        if dimension in measured
    }
    return json.dumps(result_file(found), indent=4) + "\n"


def _escaped(text: str) -> str:
    return text.replace("%", r"\%").replace("&", r"\&").replace("_", r"\_")


FORMS: dict[str, Callable[[Evaluation], str]] = {
    ".csv": as_csv,
    ".md": as_markdown,
    ".tex": as_latex,
    ".json": as_json,
}
"""By the suffix of a file."""
