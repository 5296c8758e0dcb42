"""The plots of the page's rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from examples.claims.analysis import by_quarter, scores
from examples.claims.plan import Row
from examples.claims.plots import Dots, Line, dot_plot, line_plot


def of_row(row: Row, held: Mapping[str, Any]) -> dict[str, str]:
    """SVG by name."""
    ends = [
        ("still", float(np.mean(held["scenes"]["still"]))),
        ("truth", float(np.mean(held["scenes"]["take"]))),
    ]
    if row.plot == "steps":
        # Other times of the steps are told by the table alone.
        names = dict.fromkeys(name.rpartition(" ")[0] for name in held["arms"] if "+" not in name)
        models = list(dict.fromkeys(name.split()[0] for name in names))
        samplers = list(dict.fromkeys(name.split()[1] for name in names))
        lines = [
            Line(name, _steps(held, name), samplers.index(name.split()[1]),
                 dashed=models.index(name.split()[0]) > 0)
            for name in names
        ]  # fmt: skip
        title = "Energy score by steps of the sampler (lower is better)"
        return {f"row-{row.number}": line_plot(title, lines, "steps", log=True, ends=ends)}
    dots = [
        Dots(arm.name, float(scores(held, arm.name).mean()),
             scores(held, arm.name).mean(1).tolist())
        for arm in row.arms if arm.name in held["arms"]
    ]  # fmt: skip
    title = "Energy score: mean and seeds (lower is better)"
    drawn = {f"row-{row.number}": dot_plot(title, dots, ends)}
    curves = _curves(row, held)
    if row.number == 2 and curves:
        title = "Squared error of the clean video on held-out clips, range of the seeds"
        drawn["row-2-training"] = line_plot(title, curves, "training steps")
    return drawn


def grid_table(held: Mapping[str, Any]) -> list[str]:
    """Energy scores by model and sampler (down) and steps (across)."""
    names = dict.fromkeys(name.rpartition(" ")[0] for name in held["arms"])
    steps = sorted({int(name.split()[2]) for name in held["arms"]})
    lines = [f"| energy score, steps | {' | '.join(map(str, steps))} |", "|---" * (len(steps) + 1)]
    lines[1] += "|"
    for name in names:
        found = dict(_steps(held, name))
        cells = [f"{found[step]:.3f}" if step in found else "" for step in steps]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def quarters_plot(held: Mapping[str, Any], arms: tuple[str, str]) -> str:
    """Energy score by quarter of motion; bands are the range of the seeds."""
    lines = []
    for number, arm in enumerate(arms):
        energy = scores(held, arm)
        each = [by_quarter(held, row[None]) for row in energy]
        band = [(n, min(values), max(values)) for n, values in enumerate(zip(*each, strict=True))]
        points = list(enumerate(by_quarter(held, energy)))
        lines.append(Line(arm, points, number, band=band))
    names = ("1 (least)", "2", "3", "4 (most)")
    return line_plot("Energy score by motion (lower is better)", lines, "quarter", names=names)


def _steps(held: Mapping[str, Any], name: str) -> list[tuple[float, float]]:
    found = [
        (int(arm.rpartition(" ")[2]), float(scores(held, arm)[0].mean()))
        for arm in held["arms"]
        if arm.rpartition(" ")[0] == name
    ]
    return sorted(found)


def _curves(row: Row, held: Mapping[str, Any]) -> list[Line]:
    """Of the arms that predict at the bridge's own times, which a twin does not."""
    lines: list[Line] = []
    for arm in row.arms:
        told = held["arms"].get(arm.name, {}).get("curve")
        if arm.name not in ("aligned", "unaligned", "scratch") or not told:
            continue
        # An unaligned network starts at an error of 33, beside which nothing else is seen.
        steps = [step for step, _ in told[0] if step > 0]
        by_seed = [dict(map(tuple, one)) for one in told]
        values = [[one[step] for one in by_seed] for step in steps]
        points = [(s, float(np.mean(v))) for s, v in zip(steps, values, strict=True)]
        band = [(s, min(v), max(v)) for s, v in zip(steps, values, strict=True)]
        lines.append(Line(arm.name, points, len(lines), band=band))
    return lines
