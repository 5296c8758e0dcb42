"""Scores of draws against what happened, one number a scene."""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor


def distance(first: Tensor, second: Tensor) -> Tensor:
    """(N,) root-mean-square difference of two (N, ...)."""
    return (first - second).double().flatten(1).square().mean(1).sqrt()


def spread(draws: Tensor) -> Tensor:
    """(N,) mean distance of two draws of (m, N, ...), m at least 2."""
    pairs = [distance(draws[a], draws[b]) for a, b in combinations(range(len(draws)), 2)]
    return torch.stack(pairs).mean(0)


def energy_score(draws: Tensor, true: Tensor) -> Tensor:
    """(N,) energy score of draws (m, N, ...) against what happened (N, ...); lower is better.

        E|X - y| - 1/2 E|X - X'|

    with the root-mean-square distance, which is a Euclidean one but for a constant, so the score is
    strictly proper (Gneiting and Raftery 2007): in expectation only the true distribution has the
    lowest one. A model that gives the mean, one of several outcomes, or outcomes that are too wide
    scores worse, which distances to the one true clip do not see. Means over pairs of *different*
    draws estimate the second term, so the score has no bias at any m from 2 on, and models may
    be compared at small m.
    """
    apart = torch.stack([distance(draw, true) for draw in draws]).mean(0)
    return apart - spread(draws) / 2


def motion(frames: Tensor) -> Tensor:
    """(N,) mean absolute difference of consecutive frames (N, F, H, W, 3), in levels of 255."""
    return frames.float().diff(dim=1).abs().flatten(1).mean(1)


def decibels(found: Tensor, true: Tensor) -> Tensor:
    """(N,) of the mean squared error of pixels (N, ...) in levels of 255."""
    error = (found.float() - true.float()).square().flatten(1).mean(1)
    return 10 * torch.log10(255**2 / error.clamp_min(1e-2))
