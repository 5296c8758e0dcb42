"""The stored rows of an experiment, their comparisons and verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from examples.claims.plan import BY_MOTION, Comparison, Plan
from examples.claims.statistics import (
    MARGIN,
    Array,
    Estimate,
    Verdict,
    estimate,
    holm,
    most_less_least,
    quarters,
    verdict,
)

ROW_OF_MOTION = 6
FEWEST_SCENES = 8


@dataclass(frozen=True)
class Judged:
    """A comparison with its answer.

    Attributes:
        row: its number.
        comparison: the claim.
        found: difference of arm and control.
        control: the control's mean score.
        p: as tested.
        adjusted: after Holm.
        verdict: in words.
    """

    row: int
    comparison: Comparison
    found: Estimate
    control: float
    p: float
    adjusted: float
    verdict: Verdict


def scores(row: Mapping[str, Any], arm: str, name: str = "energy") -> Array:
    """(seeds, scenes) of an arm of a stored row."""
    return np.asarray(row["arms"][arm][name], dtype=np.float64)


def judge_all(plan: Plan, rows: Mapping[int, Mapping[str, Any]]) -> list[Judged]:
    """Every primary comparison whose arms are stored, in the page's order of rows."""
    pairs = [
        (row.number, row.number, one, False)
        for row in sorted(plan.rows, key=lambda row: row.number)
        for one in row.comparisons
    ]
    pairs += [(ROW_OF_MOTION, number, one, True) for number, one in BY_MOTION]
    known: list[tuple[int, Comparison, Estimate, float]] = []
    for shown, number, one, by_motion in sorted(pairs, key=lambda pair: pair[0]):
        has = has_quarters if by_motion else has_both
        if number in rows and has(rows[number], one):
            found, control = compared(rows[number], one, by_motion=by_motion)
            known.append((shown, one, found, control))
    tested = {
        one.claim: found.p_equal(MARGIN * control) if one.expects == "equal" else found.p_different
        for _, one, found, control in known
    }
    adjusted = holm(tested, plan.family)
    return [
        Judged(number, one, found, control, tested[one.claim], adjusted[one.claim],
               verdict(found, control, one.expects, adjusted[one.claim]))
        for number, one, found, control in known
    ]  # fmt: skip


def has_both(row: Mapping[str, Any], one: Comparison) -> bool:
    """Whether arm and control are stored."""
    return {one.arm, one.control} <= row["arms"].keys()


def has_quarters(row: Mapping[str, Any], one: Comparison) -> bool:
    """Whether they are, of two scenes in each quarter at least."""
    return has_both(row, one) and len(row["scenes"]["motion"]) >= FEWEST_SCENES


def compared(
    row: Mapping[str, Any], one: Comparison, *, by_motion: bool = False
) -> tuple[Estimate, float]:
    """The difference of arm and control, and the control's mean score."""
    arm, control = scores(row, one.arm), scores(row, one.control)
    difference = arm - control  # a control of one seed is held against each of the arm's
    if by_motion:
        difference = most_less_least(difference, np.asarray(row["scenes"]["motion"]))
    return estimate(difference), float(control.mean())


def skill(row: Mapping[str, Any], score: float) -> float:
    """Share of the way from the repeated picture to other takes of the truth."""
    still, take = (float(np.mean(row["scenes"][name])) for name in ("still", "take"))
    return (still - score) / (still - take)


def by_quarter(row: Mapping[str, Any], values: Array) -> Sequence[float]:
    """Means of (seeds, scenes) in the quarters of the scenes' motion, least first."""
    quarter = quarters(np.asarray(row["scenes"]["motion"]))
    return [float(values[:, quarter == number].mean()) for number in range(4)]
