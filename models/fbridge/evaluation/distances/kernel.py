"""The kernel distance between two sets of features: unbiased, and so of use with few clips.

The squared maximum mean discrepancy under the cubic kernel k(x, y) = (x.y / D + 1)^3 (Binkowski et
al. 2018, arXiv 1801.01401). With I3D logits this is the Kernel Video Distance, with Inception's
pooled features the Kernel Inception Distance. Its expectation between equal distributions is zero
whatever the number of clips, so single values may be negative.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

SUBSETS, SUBSET_ROWS = 100, 1000
"""How the literature estimates a KID: the mean over so many subsets of so many rows."""


@dataclass(frozen=True)
class KernelDistance:
    """An estimate.

    Attributes:
        value: mean over the subsets.
        std: between the subsets; 0 of a single one.
        subsets, rows: how many there were, and rows of each side in them.
    """

    value: float
    std: float
    subsets: int
    rows: int


def kernel_distance(first: Tensor, second: Tensor) -> float:
    """The unbiased estimate from all rows of (N, D) and (M, D), in float64.

    Raises:
        ValueError: The sets do not fit, or have under two rows.
    """
    a, b = _checked(first, second)
    return _estimate(_kernel(a, a), _kernel(b, b), _kernel(a, b))


def subset_kernel_distance(
    first: Tensor,
    second: Tensor,
    *,
    generator: torch.Generator,
    subsets: int = SUBSETS,
    rows: int = SUBSET_ROWS,
) -> KernelDistance:
    """The mean of estimates from random subsets without replacement, as KID is reported.

    With no more than `rows` rows on the smaller side there is one subset: everything.

    Args:
        first: (N, D) features of one side.
        second: (M, D) of the other.
        generator: draws the subsets.
        subsets: how many.
        rows: of each side in a subset.

    Raises:
        ValueError: as of `kernel_distance`.
    """
    a, b = _checked(first, second)
    if min(len(a), len(b)) <= rows:
        return KernelDistance(kernel_distance(a, b), 0.0, 1, min(len(a), len(b)))
    values = []
    for _ in range(subsets):
        some = a[torch.randperm(len(a), generator=generator)[:rows]]
        others = b[torch.randperm(len(b), generator=generator)[:rows]]
        values.append(
            _estimate(_kernel(some, some), _kernel(others, others), _kernel(some, others))
        )
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


def _estimate(own: Tensor, other: Tensor, between: Tensor) -> float:
    """Means over pairs of different rows within, over all pairs between."""
    n, m = len(own), len(other)
    within = (own.sum() - own.diagonal().sum()) / (n * (n - 1))
    within += (other.sum() - other.diagonal().sum()) / (m * (m - 1))
    return float(within - 2 * between.mean())
