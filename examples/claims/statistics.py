"""From paired differences to a verdict.

Two things are drawn at random in these experiments: the seeds of training and sampling, and the
held-out scenes. An interval over scenes alone says what these very trainings would show on other
scenes, one over seeds alone what other trainings would show on these very scenes; a claim about a
method is about other trainings *and* other scenes. So the interval that decides has the sum of both
variances, of the means of seeds and of the means of scenes. What is left when both are taken out
is in either of them, so the sum counts it twice and errs on the side of "not decided". Its degrees
of freedom are Satterthwaite's, between those of the seeds (two, of three seeds, whose t quantile
is 4.3) and those of the scenes. With few seeds a bootstrap of them would be far too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]
Verdict = Literal["holds", "does not hold", "not decided at this scale"]
LEVEL = 0.95
MARGIN = 0.05
"""Differences below this share of the control's score are of no use to anybody."""


@dataclass(frozen=True)
class Estimate:
    """A mean difference and what is known of it.

    Attributes:
        value: mean over seeds and scenes.
        error: its standard error, over seeds and scenes.
        freedom: degrees of freedom of that; 0 of one seed, which has no interval.
        seeds: (low, high) over seeds alone; of one seed infinite.
        scenes: (low, high) over scenes alone.
    """

    value: float
    error: float
    freedom: float
    seeds: tuple[float, float]
    scenes: tuple[float, float]

    @property
    def interval(self) -> tuple[float, float]:
        """(low, high) over both, which decides."""
        return _around(self.value, self.error, self.freedom)

    @property
    def p_different(self) -> float:
        """Two-sided p-value of no difference."""
        if not self.freedom:
            return 1.0
        if not self.error:
            return 0.0 if self.value else 1.0
        return 2 * _below(-abs(self.value) / self.error, self.freedom)

    def p_equal(self, margin: float) -> float:
        """The larger p-value of the two one-sided tests that the difference is beyond a margin."""
        if not self.freedom:
            return 1.0
        if not self.error:
            return float(abs(self.value) >= margin)
        return _below((abs(self.value) - margin) / self.error, self.freedom)


def estimate(differences: Array) -> Estimate:
    """Of paired differences (seeds, scenes), at least two scenes."""
    seeds, scenes = differences.shape
    value = float(differences.mean())
    of_scenes = _variance(differences.mean(0))
    over_scenes = _around(value, math.sqrt(of_scenes), scenes - 1)
    if seeds == 1:
        return Estimate(value, math.inf, 0, (-math.inf, math.inf), over_scenes)
    of_seeds = _variance(differences.mean(1))
    both = of_seeds + of_scenes
    freedom = _satterthwaite((of_seeds, of_scenes), (seeds - 1, scenes - 1))
    over_seeds = _around(value, math.sqrt(of_seeds), seeds - 1)
    return Estimate(value, math.sqrt(both), freedom, over_seeds, over_scenes)


def quarters(motion: Array) -> NDArray[np.int64]:
    """(N,) the quarter of each scene, from 0, least motion, to 3."""
    ranks = motion.argsort(kind="stable").argsort(kind="stable")
    return ranks * 4 // len(motion)


def most_less_least(differences: Array, motion: Array) -> Array:
    """(seeds, scenes) whose mean is the differences' mean in the last quarter less in the first.

    The mean of all is taken off before, which changes nothing of that and keeps what all scenes
    have in common out of the spread of the scenes.
    """
    centred = differences - differences.mean(1, keepdims=True)
    quarter, count = quarters(motion), len(motion)
    weights = np.zeros(count)
    for number, sign in ((0, -1.0), (3, 1.0)):
        weights[quarter == number] = sign * count / (quarter == number).sum()
    return centred * weights


def holm(p_values: Mapping[str, float], family: int) -> dict[str, float]:
    """Adjusted p-values (Holm 1979) in a family of which some were not tested yet.

    Those count as the largest, so what is missing makes nothing significant.
    """
    adjusted, largest = {}, 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda one: p_values[one])):
        largest = max(largest, min(1.0, (family - rank) * p_values[name]))
        adjusted[name] = largest
    return adjusted


def verdict(found: Estimate, control: float, expects: str, adjusted: float) -> Verdict:
    """What a comparison says of its claim.

    Args:
        found: arm less control.
        control: mean score of the control, of which `MARGIN` is a share.
        expects: "lower" or "equal".
        adjusted: p-value after Holm, of `p_different` or `p_equal`.
    """
    margin = MARGIN * control
    low, high = found.interval
    if adjusted < 1 - LEVEL and (expects == "equal" or found.value < 0):
        return "holds"
    if expects == "lower" and low > -margin:
        return "does not hold"
    if expects == "equal" and (low > margin or high < -margin):
        return "does not hold"
    return "not decided at this scale"


@dataclass(frozen=True)
class Promise:
    """What a pilot says of comparisons of its size; all are shares of an arm's mean.

    Attributes:
        seeds: standard deviation of the mean over scenes, between seeds of one arm.
        scenes: standard error, over scenes, of the mean difference of two seeds of one arm; 0 of
            a score that has no scenes.
        seen: the difference between two arms that differ alike in all scenes which is found in 8
            of 10 cases (t test, two-sided, 5 %).
    """

    seeds: float
    scenes: float
    seen: float


def detectable(arms: Sequence[Array]) -> Promise:
    """Of the arms of a pilot, each (seeds, scenes); differences within arms are of nothing."""
    shares = [arm / arm.mean() for arm in arms]
    squares = sum(float(((arm.mean(1) - 1) ** 2).sum()) for arm in shares)
    between = squares / sum(len(arm) - 1 for arm in shares)
    within = [
        _variance(arm[a] - arm[b])
        for arm in shares
        for a, b in combinations(range(len(arm)), 2)
        if arm.shape[1] > 1
    ]
    over_scenes = float(np.mean(within)) if within else 0.0
    count, scenes = min(len(arm) for arm in shares), min(arm.shape[1] for arm in shares)
    parts = 2 * between / count, over_scenes / count
    freedom = _satterthwaite(parts, (count - 1, max(1, scenes - 1)))
    reach = _quantile(0.975, freedom) + _quantile(0.8, freedom)
    return Promise(math.sqrt(between), math.sqrt(over_scenes), reach * math.sqrt(sum(parts)))


def _below(t: float, freedom: float) -> float:
    """Of Student's t distribution, the probability of less."""
    return float(stats.t.cdf(t, freedom))


def _quantile(share: float, freedom: float) -> float:
    return float(stats.t.ppf(share, freedom))


def _around(value: float, error: float, freedom: float) -> tuple[float, float]:
    if not freedom:
        return -math.inf, math.inf
    half = _quantile(0.5 + LEVEL / 2, freedom) * error
    return value - half, value + half


def _satterthwaite(variances: tuple[float, float], freedoms: tuple[int, int]) -> float:
    """Degrees of freedom of a sum of variances."""
    parts = sum(own**2 / freedom for own, freedom in zip(variances, freedoms, strict=True))
    return sum(variances) ** 2 / parts if parts else float(freedoms[0])


def _variance(means: Array) -> float:
    return float(means.var(ddof=1)) / len(means)
