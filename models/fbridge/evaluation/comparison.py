"""Compare two evaluations, with a paired test where a metric scores single clips."""

from __future__ import annotations

import itertools
import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from fbridge.errors import DataError
from fbridge.evaluation.intervals import mean_interval
from fbridge.evaluation.metrics.catalogue import METRICS
from fbridge.evaluation.result import Evaluation, Interval, Score

_EXACT = 14  # most pairs for which all assignments of signs are tried
_DRAWS = 10_000


@dataclass(frozen=True)
class Comparison:
    """One metric of two systems.

    Attributes:
        metric, label: name and printed name.
        first, second: the values.
        difference: second minus first, over the clips that both have.
        interval: of the difference; None for a distance between sets, and for few clips.
        p_value: of a paired sign-flip test; None for a distance between sets.
        pairs: number of clips that both have.
    """

    metric: str
    label: str
    first: float
    second: float
    difference: float
    interval: Interval | None
    p_value: float | None
    pairs: int

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def compare_results(first: Evaluation, second: Evaluation) -> list[Comparison]:
    """Compare all metrics that both have.

    Raises:
        DataError: there is none, or protocols, real clips or, for a distance between sets, numbers
            of clips differ.
    """
    others = {score.metric: score for score in second.scores}
    both = [(score, others[score.metric]) for score in first.scores if score.metric in others]
    if not both:
        raise DataError(f"{first.title} and {second.title} have no metric in common")
    for one, other in both:
        _check(one, other)
    if first.reference and second.reference and first.reference.hash != second.reference.hash:
        raise DataError(
            f"the real clips differ: {first.reference.name} ({first.reference.clips}) and "
            f"{second.reference.name} ({second.reference.clips}); evaluate against the same"
        )
    return [_compare(one, other) for one, other in both]


def sign_flip_p(differences: Tensor) -> float:
    """p-value of a mean difference of zero: share of random signs with a mean as far from zero.

    All assignments of signs are tried for up to 14 pairs, else 10,000 are drawn with a fixed seed.

    Args:
        differences: (N,) of pairs.
    """
    rows = differences.double()
    exact = len(rows) <= _EXACT
    if exact:
        signs = torch.tensor(list(itertools.product((1.0, -1.0), repeat=len(rows)))).double()
    else:
        generator = torch.Generator().manual_seed(0)
        signs = torch.randint(0, 2, (_DRAWS, len(rows)), generator=generator).double() * 2 - 1
    means = (signs @ rows).abs() / len(rows)
    beyond = int((means >= abs(float(rows.mean())) * (1 - 1e-12)).sum())
    return beyond / len(means) if exact else (beyond + 1) / (_DRAWS + 1)


def _check(one: Score, other: Score) -> None:
    if one.protocol != other.protocol:
        raise DataError(
            f"{one.label} was measured by different protocols and cannot be compared: "
            f"{one.protocol} and {other.protocol}"
        )
    if not one.clips and (one.generated, one.reference) != (other.generated, other.reference):
        raise DataError(
            f"{one.label} is over {one.generated} and {other.generated} clips; a distance between "
            "sets depends on their number, so take equally many: --clips"
        )


def _compare(one: Score, other: Score) -> Comparison:
    rows = _differences(one, other)
    difference = other.value - one.value
    interval = p_value = None
    if len(rows):
        difference, interval, p_value = float(rows.mean()), mean_interval(rows), sign_flip_p(rows)
    return Comparison(
        metric=one.metric,
        label=one.label,
        first=one.value,
        second=other.value,
        difference=difference,
        interval=interval,
        p_value=p_value,
        pairs=len(rows),
    )


def _differences(one: Score, other: Score) -> Tensor:
    """(N,) second minus first of the clips that both have, where it is finite."""
    ceiling = getattr(METRICS.get(one.metric), "ceiling", math.inf)
    rows = [
        min(other.clips[key], ceiling) - min(value, ceiling)
        for key, value in one.clips.items()
        if key in other.clips
    ]
    found = torch.tensor(rows, dtype=torch.float64)
    return found[found.isfinite()]
