"""The kernel distance between two sets of features; unbiased, so usable with few clips.

The squared maximum mean discrepancy under the cubic kernel k(x, y) = (x.y / D + 1)^3 (Binkowski et
al. 2018, arXiv 1801.01401). With I3D logits this is the Kernel Video Distance, with Inception's
pooled features the Kernel Inception Distance. Between equal distributions its expectation is zero
for any number of clips, so single values may be negative.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

SUBSETS, SUBSET_ROWS = 100, 1000
"""KID is commonly reported as the mean over 100 subsets of 1,000 rows."""


@dataclass(frozen=True)
class KernelDistance:
    """An estimate of the kernel distance.

    Attributes:
        value: mean over the subsets.
        std: standard deviation over the subsets; 0 for a single one.
        subsets, rows: number of subsets, and of rows of each side in one.
    """

    value: float
    std: float
    subsets: int
    rows: int


def kernel_distance(first: Tensor, second: Tensor) -> float:
    """The unbiased estimate from all rows of (N, D) and (M, D), in float64.

    Raises:
        ValueError: the shapes do not match, or a side has under two rows.
    """
    return _estimate(*_checked(first, second))


def subset_kernel_distance(
    first: Tensor,
    second: Tensor,
    *,
    generator: torch.Generator,
    subsets: int = SUBSETS,
    rows: int = SUBSET_ROWS,
) -> KernelDistance:
    """The mean of estimates from random subsets without replacement, as KID is reported.

    With no more than `rows` rows on the smaller side all rows are one subset.

    Args:
        first: (N, D) features of one side.
        second: (M, D) of the other.
        generator: draws the subsets.
        subsets: number of subsets.
        rows: of each side in a subset.

    Raises:
        ValueError: as in `kernel_distance`.
    """
    a, b = _checked(first, second)
    if min(len(a), len(b)) <= rows:
        return KernelDistance(_estimate(a, b), 0.0, 1, min(len(a), len(b)))
    values = []
    for _ in range(subsets):
        part_a = a[torch.randperm(len(a), generator=generator)[:rows]]
        part_b = b[torch.randperm(len(b), generator=generator)[:rows]]
        values.append(_estimate(part_a, part_b))
    mean = math.fsum(values) / subsets
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / subsets)
    return KernelDistance(mean, spread, subsets, rows)


def _checked(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        shapes = f"{tuple(first.shape)} and {tuple(second.shape)}"
        raise ValueError(f"features must be (N, D) and (M, D), not {shapes}")
    if min(len(first), len(second)) < 2:
        raise ValueError("an unbiased estimate needs at least 2 rows on either side")
    return first.detach().cpu().double(), second.detach().cpu().double()


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    return (a @ b.T / a.shape[1] + 1) ** 3


def _estimate(a: Tensor, b: Tensor) -> float:
    """Means over pairs of different rows within a side, less twice that over pairs between."""
    n, m, own, other = len(a), len(b), _kernel(a, a), _kernel(b, b)
    within = (own.sum() - own.diagonal().sum()) / (n * (n - 1))
    within += (other.sum() - other.diagonal().sum()) / (m * (m - 1))
    return float(within - 2 * _kernel(a, b).mean())
