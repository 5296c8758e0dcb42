"""Confidence intervals over the choice of clips; not over seeds or training runs."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

import torch
from torch import Tensor

from fbridge.evaluation.result import Interval

LEVEL = 0.95
_GROUPS = 20  # of clips, left out in turn; also the least number of clips a side
_REPLICATES = 2000
_FEWEST_SCORES = 8


def jackknife_interval(
    distance: Callable[[Tensor, Tensor], float], first: Tensor, second: Tensor
) -> Interval | None:
    """The interval of a distance between two sets of features, such as Fréchet's.

    Delete-a-group jackknife: the distance without each of 20 groups of clips, for each side alone;
    the variances add. A bootstrap would repeat clips, which lowers the rank of covariances and so
    *adds* to the bias of a Fréchet distance. The interval is that of the value *at this number of
    clips*, bias included; `frechet.extrapolated_distance` estimates the bias.

    Args:
        distance: of features (N, D) and (M, D).
        first: (N, D); divided into groups with a fixed seed.
        second: (M, D); likewise.

    Returns:
        None with fewer than 20 clips on a side.
    """
    if min(len(first), len(second)) < _GROUPS:
        return None
    variance = _variance(lambda some: distance(some, second), first)
    variance += _variance(lambda some: distance(first, some), second)
    half = NormalDist().inv_cdf(0.5 + LEVEL / 2) * math.sqrt(variance)
    value = distance(first, second)
    return Interval(
        value - half, value + half, LEVEL, f"jackknife over {_GROUPS} groups of clips a side"
    )


def mean_interval(scores: Tensor) -> Interval | None:
    """Percentile bootstrap of the mean of scores (N,) of clips; None with under 8 clips."""
    if len(scores) < _FEWEST_SCORES:
        return None
    rows = scores.detach().cpu().double()
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(len(rows), (_REPLICATES, len(rows)), generator=generator)
    means = rows[drawn].mean(1)
    low, high = central_quantiles(means).tolist()
    return Interval(low, high, LEVEL, f"percentile bootstrap, {_REPLICATES} replicates")


def central_quantiles(replicates: Tensor) -> Tensor:
    """(2, ...) ends of the central 95 % of replicates (N, ...)."""
    edge = (1 - LEVEL) / 2
    return torch.quantile(replicates, torch.tensor([edge, 1 - edge], dtype=torch.float64), dim=0)


def wilson_interval(successes: float, trials: float) -> Interval | None:
    """The interval of a share (Wilson 1927), within 0 and 1; None without a trial."""
    if trials <= 0:
        return None
    z = NormalDist().inv_cdf(0.5 + LEVEL / 2)
    share = successes / trials
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    root = math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    half = z / (1 + z * z / trials) * root
    # At shares of 0 and 1 an end is the share itself, and rounding may go beyond by a last bit.
    return Interval(max(centre - half, 0.0), min(centre + half, 1.0), LEVEL, "Wilson")


def _variance(of: Callable[[Tensor], float], rows: Tensor) -> float:
    """The jackknife variance of `of(rows)` over groups of rows."""
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))
    values = []
    for group in order.tensor_split(_GROUPS):
        keep = torch.ones(len(rows), dtype=torch.bool)
        keep[group] = False
        values.append(of(rows[keep]))
    mean = math.fsum(values) / _GROUPS
    return (_GROUPS - 1) / _GROUPS * math.fsum((value - mean) ** 2 for value in values)
