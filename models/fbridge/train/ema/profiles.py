"""Profiles of power-function averages, and how to combine averages into another one.

Karras et al., "Analyzing and Improving the Training Dynamics of Diffusion Models",
arXiv 2312.02696, section 3. A profile of exponent `gamma` that ends at step `end` weighs step
`t` by (gamma + 1) t^gamma / end^(gamma + 1) for 0 < t <= end. Its relative length is the standard
deviation of that density, as a share of `end`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

LONGEST = math.sqrt(1 / 12)
"""Relative length of the plain mean over all steps (gamma = 0)."""


def exponent(length: float) -> float:
    """Exponent `gamma` of a relative length.

    The density's variance is (gamma + 1) / ((gamma + 2)^2 (gamma + 3)) (their equation 123);
    `gamma` is the largest root of that as a cubic.
    """
    if not 0 < length < LONGEST:
        raise ValueError(f"a relative length is above 0 and below {LONGEST:.4f}, not {length}")
    inverse = length**-2
    return float(np.roots([1.0, 7.0, 16.0 - inverse, 12.0 - inverse]).real.max())


def decay(length: float, step: int) -> float:
    """Share of the average that is kept at step `step`, counted from 1 (their equation 127)."""
    return float((1 - 1 / step) ** (exponent(length) + 1))


def products(first: Tensor, second: Tensor) -> Tensor:
    """Integrals over time of the products of all pairs of profiles.

    For exponents a, b that end at s, t with s <= t:

        int_0^s (a + 1) x^a / s^(a + 1)  (b + 1) x^b / t^(b + 1) dx
            = (a + 1) (b + 1) / (a + b + 1) (s / t)^b / t,

    in which the only power is of a number in (0, 1].

    Args:
        first: exponent and end, float64, (N, 2).
        second: likewise, (M, 2).

    Returns:
        float64, (N, M).
    """
    a, s = first[:, None].unbind(-1)  # (N, 1)
    b, t = second[None].unbind(-1)  # (1, M)
    later = torch.where(s > t, a, b)
    end, shared = torch.maximum(s, t), torch.minimum(s, t)
    return (a + 1) * (b + 1) / (a + b + 1) * (shared / end) ** later / end


def coefficients(known: Sequence[tuple[float, int]], wanted: tuple[float, int]) -> Tensor:
    """Factors (N,), float64, of the known averages whose sum approximates the wanted one.

    Least squares on the profiles (their equation 138), under the condition that the result's total
    weight is 1. The paper does not have this condition; without it long averages are too small.

    Args:
        known: relative length and last step of every known average.
        wanted: the same of the wanted one.
    """
    if wanted in known:
        only = torch.zeros(len(known), dtype=torch.float64)
        only[known.index(wanted)] = 1.0
        return only
    basis, target = _as_tensor(known), _as_tensor([wanted])
    gram, right = products(basis, basis), products(basis, target)[:, 0]
    norm = gram.diagonal().rsqrt()  # (N,)
    share = norm / norm.max()
    number = len(known)
    system = torch.zeros(number + 1, number + 1, dtype=torch.float64)
    system[:number, :number] = norm[:, None] * gram * norm
    system[:number, number] = system[number, :number] = share
    right = torch.cat([norm * right, 1 / norm.max().reshape(1)])
    return torch.linalg.solve(system, right)[:number] * norm


def _as_tensor(profiles: Sequence[tuple[float, int]]) -> Tensor:
    exact = {length: exponent(length) for length, _ in profiles}
    return torch.tensor([[exact[n], float(end)] for n, end in profiles], dtype=torch.float64)
