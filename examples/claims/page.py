"""docs/claims.md and its plots, from stored results alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from examples.claims import figures
from examples.claims.analysis import (
    ROW_OF_MOTION,
    Judged,
    by_quarter,
    compared,
    has_quarters,
    judge_all,
    scores,
    skill,
)
from examples.claims.plan import BY_MOTION, Arm, Comparison, Plan, Row, read_plan
from examples.claims.results import read
from examples.claims.statistics import MARGIN, detectable
from fbridge.files.atomic import write_text

DOCS = Path(__file__).parents[2] / "docs"
FRAME = Path(__file__).with_name("frame.md")
"""The page's fixed text, the analysis among it, with places for what is computed."""
MOTION_HEADING = f"Row {ROW_OF_MOTION}: By motion in the scene"
PILOT = (2, ("aligned", "unaligned"))
"""The row and the arms whose seeds say what these sizes can tell."""


def write(results: Path, docs: Path) -> None:
    """Write `claims.md` and the plots in `claims/`."""
    for name, text in pages(results).items():
        write_text(docs / name, text)


def pages(results: Path) -> dict[str, str]:
    """Text of each file by its path in the docs."""
    plan, rows = read_plan("full"), read(results)
    judged = judge_all(plan, rows)
    parts: dict[int, str] = {}
    plots: dict[str, str] = {}
    for row in plan.rows:
        if row.number in rows:
            drawn = figures.of_row(row, rows[row.number])
            plots |= {f"claims/{name}.svg": text for name, text in drawn.items()}
            parts[row.number] = _row(row, rows[row.number], judged, list(drawn))
    text, drawn = _by_motion(rows, judged)
    if text:
        parts[ROW_OF_MOTION] = text
        plots |= drawn
    page = FRAME.read_text(encoding="utf-8").format(
        answers=_verdicts(judged, plan, rows) if judged else "",
        family=plan.family,
        margin=f"{100 * MARGIN:g} %",
        power=_power(rows),
        rows="\n".join(parts[number] for number in sorted(parts)),
    )
    return {"claims.md": page, **plots}


def _verdicts(judged: Sequence[Judged], plan: Plan, rows: Mapping[int, Any]) -> str:
    headings = {ROW_OF_MOTION: MOTION_HEADING} | {row.number: _heading(row) for row in plan.rows}
    anchors = {number: _anchor(heading) for number, heading in headings.items()}
    missing = [f"{row.number}" for row in plan.rows if row.number not in rows]
    lines = [
        "## Answers", "",
        "Differences are of the energy score, arm less control, in percent of the control's; below "
        "0 the arm is better.", "",
        "| row | claim | difference | 95 % interval | over seeds alone | p after Holm | answer |",
        "|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for one in judged:
        low, high = one.found.interval
        cells = [
            f"[{one.row}](#{anchors[one.row]})", one.comparison.claim,
            _percent(one.found.value, one),
            _range(low, high, one), _range(*one.found.seeds, one), _p(one.adjusted),
            f"**{one.verdict}**",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", f"{len(judged)} of {plan.family} comparisons have results."]
    if missing:
        lines[-1] += f" Rows without any yet: {', '.join(sorted(missing))}."
    return "\n".join(lines) + "\n"


def _heading(row: Row) -> str:
    return f"Row {row.number}: {row.title}"


def _anchor(heading: str) -> str:
    """As GitHub names a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _power(rows: Mapping[int, Any]) -> str:
    """What the pilot promises."""
    number, arms = PILOT
    if number not in rows or not set(arms) <= rows[number]["arms"].keys():
        return ""
    row = rows[number]
    settings = row["settings"]
    told = f"energy score, {settings['scenes']} scenes, {settings['draws']} draws"
    series = [(told, [scores(row, arm) for arm in arms], 3)]
    if all("fvd" in row["arms"][arm] for arm in arms):
        values = [[[one["value"]] for one in row["arms"][arm]["fvd"]] for arm in arms]
        clips = row["arms"][arms[0]]["fvd"][0]["clips"]
        series.append((f"FVD, {clips} clips, one draw", [np.asarray(one) for one in values], 0))
    lines = [
        "## What can be seen: the pilot", "",
        f"{' and '.join(arms).capitalize()}, {len(settings['seeds'])} seeds each, as shares of the "
        "arm's mean: standard deviation between seeds, standard error over scenes of the "
        "difference of two seeds of one arm, and the difference between two arms which is found "
        "in 8 of 10 cases with as many seeds (t test, two-sided, 5 %, before Holm), if it is "
        "alike in all scenes.", "",
        f"| score | {' | '.join(f'{arm}, by seed' for arm in arms)} "
        "| between seeds | over scenes | difference seen |",
        "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for name, values_of, digits in series:
        found = detectable(values_of)
        each = [", ".join(f"{mean:.{digits}f}" for mean in one.mean(1)) for one in values_of]
        parts = [f"{100 * share:.1f} %" if share else ""
                 for share in (found.seeds, found.scenes, found.seen)]  # fmt: skip
        lines.append(f"| {' | '.join([name, *each, *parts])} |")
    found_of, control = compared(row, Comparison("", *arms, "lower"))
    half = 100 * (found_of.interval[1] - found_of.value) / control
    lines += ["", f"Arms that differ in kind do not differ alike in all scenes, which widens the "
              f"interval: {arms[0]} less {arms[1]} is known to ±{half:.1f} %. It narrows with the "
              "root of the number of scenes."]  # fmt: skip
    return "\n".join(lines) + "\n"


def _row(row: Row, held: Mapping[str, Any], judged: Sequence[Judged], plots: Sequence[str]) -> str:
    settings = held["settings"]
    told = (
        f"{settings['scenes']} scenes, {settings['draws']} draws of each, "
        f"{_seeds(held)}; {settings['steps']} training steps"
    )
    told += "." if row.plot == "steps" else f", {settings['calls']} steps of the sampler."
    lines = [
        f"## {_heading(row)}", "",
        f"{row.text} {told}", "",
    ]  # fmt: skip
    lines += [f"- {_sentence(one)}" for one in judged if one.row == row.number]
    lines += ["", *(f"![{name}](claims/{name}.svg)" for name in plots), ""]
    lines += figures.grid_table(held) if row.plot == "steps" else _arms(row, held)
    commits = ", ".join(held["commits"])
    lines += ["", f"Made on {held['machine']}, at {commits}."]
    return "\n".join(lines) + "\n"


def _seeds(held: Mapping[str, Any]) -> str:
    """Those of most arms first."""
    each = Counter(tuple(arm["seeds"]) for arm in held["arms"].values())
    told = [("seeds " if len(s) > 1 else "seed ") + ", ".join(map(str, s))
            for s, _ in each.most_common()]  # fmt: skip
    return ", of some arms ".join(told)


def _sentence(one: Judged) -> str:
    """A comparison in words."""
    low, high = one.found.interval
    told = f"{_percent(one.found.value, one)} (95 % interval {_range(low, high, one)})"
    if not one.found.freedom:
        told = f"{_percent(one.found.value, one)} with one seed, so without an interval"
    if one.found.freedom and -one.control * MARGIN < low <= high < one.control * MARGIN:
        told += f", so the two are equal within {100 * MARGIN:g} %"
    c = one.comparison
    return f'"{c.claim}" {one.verdict.capitalize()}: {c.arm} less {c.control} is {told}.'


def _arms(row: Row, held: Mapping[str, Any]) -> list[str]:
    """The table of a row's arms, after the two ends of the scale."""
    known = list(held["arms"].values())
    columns = [
        name
        for name, key in _COLUMNS.items()
        if (all if key == "seconds_per_draw" else any)(key in arm for arm in known)
    ]
    names = ["", "energy score (seeds)", "skill", *columns]
    lines = [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]
    for told in [
        *_ends(held),
        *(_of_arm(arm, held) for arm in row.arms if arm.name in held["arms"]),
    ]:
        lines.append(f"| {' | '.join(told.get(name, '') for name in names)} |".replace("%", " %"))
    return lines


_COLUMNS = {
    "spread": "spread", "kept": "kept", "moved as captioned": "moved", "dB": "decibels",
    "motion": "motion", "FVD": "fvd", "seconds a draw": "seconds_per_draw",
}  # fmt: skip
"""By the name of what is stored; a column of which nothing is stored is left out, and so are
seconds unless all arms have them."""


def _ends(held: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Cells of what is no model's: of draws from the truth the score is half their spread."""
    scenes = held["scenes"]
    truth, motion = float(np.mean(scenes["take"])), f"{np.mean(scenes['motion']):.2f}"
    yield _scored("the repeated picture", held, "still") | {"spread": "0", "motion": "0"}
    if "prior" in scenes:
        yield _scored("the neural prior alone", held, "prior") | {"spread": "0"}
    yield _scored("other takes (the truth)", held, "take") | {
        "spread": f"{2 * truth:.3f}", "motion": motion,
    }  # fmt: skip


def _scored(name: str, held: Mapping[str, Any], key: str) -> dict[str, str]:
    score = float(np.mean(held["scenes"][key]))
    return {"": name, "energy score (seeds)": f"{score:.3f}", "skill": f"{skill(held, score):.2f}"}


def _of_arm(arm: Arm, held: Mapping[str, Any]) -> dict[str, str]:
    """Cells of an arm, of what is stored."""
    one, energy = held["arms"][arm.name], scores(held, arm.name)
    seeds = ", ".join(f"{value:.3f}" for value in energy.mean(1))
    cells = {
        "": arm.name,
        "energy score (seeds)": f"{energy.mean():.3f} ({seeds})",
        "skill": f"{skill(held, float(energy.mean())):.2f}",
    }
    for name, key in _COLUMNS.items():
        if key in ("kept", "moved") and key in one:
            cells[name] = f"{np.sum(one[key]) / (sum(held['scenes']['things']) * len(energy)):.0%}"
        elif key == "fvd" and key in one:
            cells[name] = f"{np.mean([score['value'] for score in one[key]]):.0f}"
        elif key in one:
            cells[name] = f"{np.mean(one[key]):.{_DIGITS.get(key, 2)}f}"
    return cells


_DIGITS = {"spread": 3, "decibels": 1}


def _by_motion(rows: Mapping[int, Any], judged: Sequence[Judged]) -> tuple[str, dict[str, str]]:
    """Row 6: text and plots, from the rows that are stored."""
    lines: list[str] = []
    plots: dict[str, str] = {}
    for number, one in BY_MOTION:
        if number not in rows or not has_quarters(rows[number], one):
            continue
        held = rows[number]
        name = f"row-6-{one.arm}-{one.control}"
        plots[f"claims/{name}.svg"] = figures.quarters_plot(held, (one.arm, one.control))
        lines += [f"- {_sentence(j)}" for j in judged if j.comparison.claim == one.claim]
        lines += ["", f"![{name}](claims/{name}.svg)", ""]
        lines += ["| quarter of motion | 1 (least) | 2 | 3 | 4 (most) |", "|---|---|---|---|---|"]
        motion = np.asarray(held["scenes"]["motion"])[None]
        table = [("motion of the scene", by_quarter(held, motion), ".2f")]
        for arm in (one.arm, one.control):
            table.append((f"energy score, {arm}", by_quarter(held, scores(held, arm)), ".3f"))
            table.append((f"motion, {arm}", by_quarter(held, scores(held, arm, "motion")), ".2f"))
            kept = scores(held, arm, "kept") / np.asarray(held["scenes"]["things"])
            table.append((f"kept, {arm}", by_quarter(held, kept), ".0%"))
        for told, values, form in table:
            each = " | ".join(format(value, form) for value in values)
            lines.append(f"| {told} | {each} |".replace("%", " %"))
        lines.append("")
    if not lines:
        return "", {}
    head = [
        f"## {MOTION_HEADING}", "",
        "Quarters of the scenes by the motion of the true clip. The difference told is that in the "
        "most moving quarter less that in the least moving one.", "",
    ]  # fmt: skip
    return "\n".join([*head, *lines]).rstrip() + "\n", plots


def _percent(value: float, one: Judged) -> str:
    if not np.isfinite(value):
        return ""
    return f"{100 * value / one.control:+.1f} %"


def _range(low: float, high: float, one: Judged) -> str:
    if not np.isfinite(low):
        return ""
    return f"{_percent(low, one)} to {_percent(high, one)}"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
