"""Denoisers whose answers are known, and samplers' exact moments under them.

For Gaussian data the best denoiser is affine in the state, so every sampler is affine in its
noises: one batch holds the response to no noise and to each draw of noise alone, and the sampler
itself gives mean and variance exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fbridge.alignment import NoiseSchedule, SNRAlignment
from fbridge.parameterization import PREDICTIONS, Parameterization
from fbridge.process import BridgeProcess, Process, over
from fbridge.schedule import BrownianSchedule, GmaxSchedule, VPSchedule
from fbridge.types import Condition

BRIDGES = {
    "gmax": BridgeProcess(GmaxSchedule()),
    "vp": BridgeProcess(VPSchedule()),
    "const": BridgeProcess(BrownianSchedule()),
}


def predicts(name: str, process: Process, base: NoiseSchedule | None = None) -> Parameterization:
    """A named prediction on a process, over a base if it is an aligned one."""
    alignment = None if base is None else SNRAlignment(process, base)
    return Parameterization(process, PREDICTIONS[name], alignment)


def blank_condition(videos: int = 1) -> Condition:
    """No words, no picture."""
    return Condition(
        prompt_embeds=torch.zeros(videos, 1, 2),
        prompt_mask=torch.zeros(videos, 1, dtype=torch.bool),
        image_latents=torch.zeros(videos, 1, 1, 1),
    )


@dataclass(frozen=True)
class GaussianOracle:
    """E[x_0 | x_t, prior] where x_0 ~ N(mean, std^2) whatever the prior."""

    process: Process
    mean: float = 0.3
    std: float = 0.5

    def __call__(self, x: Tensor, t: Tensor, prior: Tensor, _condition: Condition, /) -> Tensor:
        c = self.process.coefficients(t)
        variance = self.std**2
        gain = over(c.data * variance / (c.data**2 * variance + c.noise**2), x)
        c = c.over(x)
        return self.mean + gain * (x - c.data * self.mean - c.prior * prior)


@dataclass(frozen=True)
class KnownVideo:
    """The denoiser of a data set of one video."""

    clean: Tensor

    def __call__(self, x: Tensor, _t: Tensor, _prior: Tensor, _condition: Condition, /) -> Tensor:
        return self.clean.expand_as(x)


class Impulses:
    """Noise for `rows` videos: none for the first, for video n a unit at the n-th draw alone."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.draws = 0

    def __call__(self, shape: torch.Size) -> Tensor:
        noise = torch.zeros(shape, dtype=torch.float64)
        self.draws += 1
        assert self.draws < self.rows, "more draws than impulses"
        noise[self.draws] = 1
        return noise


def mean_and_std(responses: Tensor) -> tuple[float, float]:
    """Moments of a state (rows, ...) of one number a video under `Impulses`."""
    flat = responses.flatten()
    return float(flat[0]), math.sqrt(float((flat[1:] - flat[0]).square().sum()))


def moments(
    sample: Callable[..., Tensor],
    process: Process,
    times: Tensor,
    *,
    prior: float = 1.0,
    **options: Any,
) -> tuple[float, float]:
    """Exact mean and standard deviation of what a sampler returns under the Gaussian oracle."""
    rows = len(times) + 1
    start = torch.full((rows, 1, 1, 1, 1), prior, dtype=torch.float64)
    noise = Impulses(rows)
    result = sample(
        GaussianOracle(process),
        process,
        start,
        times,
        blank_condition(rows),
        noise=noise,
        **options,
    )
    return mean_and_std(result)
