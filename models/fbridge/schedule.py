"""Noise schedules of the reference diffusion x_t = alpha(t) (x_0 + rho(t) eps), t in [0, 1].

`fbridge.process` makes a bridge of one by pinning it at both ends. Everything is float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Schedule(Protocol):
    """Reference diffusion x_t = alpha(t) (x_0 + rho(t) eps), t in [0, 1].

    `rho` is the noise-to-signal ratio: rho(0) = 0, strictly increasing. Both map float64 times of
    any shape to float64 of the same shape.
    """

    def alpha(self, t: Tensor) -> Tensor:
        """Factor on the whole of x_0 + rho eps: 1 at t = 0."""

    def rho(self, t: Tensor) -> Tensor:
        """Noise-to-signal ratio: 0 at t = 0."""


@dataclass(frozen=True)
class GmaxSchedule:
    """Linearly growing diffusion without drift.

    FrameBridge's (arXiv 2410.15371) and Bridge-TTS's (arXiv 2312.03491):

        alpha = 1
        rho^2 = beta_0 t + (beta_1 - beta_0) t^2 / 2

    so the noise of the bridge peaks late (t = 0.71).

    Attributes:
        beta_0: squared diffusion coefficient at the data.
        beta_1: squared diffusion coefficient at the prior; the bridge's largest noise is about
            sqrt(beta_1 / 8).
    """

    beta_0: float = 0.01
    beta_1: float = 50.0

    def __post_init__(self) -> None:
        _require(
            math.isfinite(self.beta_0) and self.beta_0 >= 0, "beta_0", self.beta_0, "at least 0"
        )
        _require(math.isfinite(self.beta_1) and self.beta_1 > 0, "beta_1", self.beta_1, "positive")

    def alpha(self, t: Tensor) -> Tensor:
        """One everywhere: there is no drift."""
        return torch.ones_like(t)

    def rho(self, t: Tensor) -> Tensor:
        """Root of the integrated squared diffusion coefficient."""
        return torch.sqrt(t * (self.beta_0 + (self.beta_1 - self.beta_0) / 2 * t))


@dataclass(frozen=True)
class VPSchedule:
    """Variance-preserving diffusion with a linear rate.

    As in DDBM (arXiv 2309.16948) and DBIM (arXiv 2405.15885):

        alpha = exp(-B / 2)
        rho^2 = exp(B) - 1
        B = beta_min t + beta_d t^2 / 2

    Attributes:
        beta_min: rate at the data.
        beta_d: growth of the rate from data to prior.
    """

    beta_min: float = 0.1
    beta_d: float = 2.0

    def __post_init__(self) -> None:
        finite = math.isfinite(self.beta_min) and math.isfinite(self.beta_d)
        _require(finite and self.beta_min >= 0, "beta_min", self.beta_min, "at least 0")
        _require(finite and self.beta_d >= 0, "beta_d", self.beta_d, "at least 0")
        _require(
            self.beta_min + self.beta_d > 0, "beta_d", self.beta_d, "positive where beta_min is 0"
        )

    def alpha(self, t: Tensor) -> Tensor:
        """exp(-B(t) / 2)."""
        return torch.exp(-0.5 * self._integral(t))

    def rho(self, t: Tensor) -> Tensor:
        """sqrt(exp(B(t)) - 1)."""
        return torch.sqrt(torch.expm1(self._integral(t)))

    def _integral(self, t: Tensor) -> Tensor:
        return t * (self.beta_min + self.beta_d / 2 * t)


@dataclass(frozen=True)
class BrownianSchedule:
    """Plain Brownian motion.

        alpha = 1
        rho^2 = scale^2 t

    The noise of the bridge peaks at t = 1/2 with scale / 2.

    Attributes:
        scale: standard deviation of the motion at t = 1.
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        _require(math.isfinite(self.scale) and self.scale > 0, "scale", self.scale, "positive")

    def alpha(self, t: Tensor) -> Tensor:
        """One everywhere: there is no drift."""
        return torch.ones_like(t)

    def rho(self, t: Tensor) -> Tensor:
        """The ratio scale * sqrt(t)."""
        return self.scale * torch.sqrt(t)


def time_at(schedule: Schedule, rho: Tensor) -> Tensor:
    """Times at which the schedule's noise-to-signal ratio is `rho`, by bisection.

    Args:
        schedule: any strictly increasing schedule.
        rho: ratios of any shape; what lies outside [rho(0), rho(1)] gives 0 or 1.

    Returns:
        Float64 times of the same shape, exact to about 1e-16.
    """
    ratio = rho.to(torch.float64)
    low, high = torch.zeros_like(ratio), torch.ones_like(ratio)
    for _ in range(64):
        middle = 0.5 * (low + high)
        above = schedule.rho(middle) > ratio
        low, high = torch.where(above, low, middle), torch.where(above, middle, high)
    return 0.5 * (low + high)


def _require(holds: bool, name: str, value: float, rule: str) -> None:
    if not holds:
        raise ValueError(f"{name} is {value} but must be finite and {rule}")
