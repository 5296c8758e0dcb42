"""The bridge: a diffusion pinned at both ends. This page is the whole derivation.

**Reference.** Let x_t = alpha(t) (x_0 + rho(t) eps) be the reference diffusion of
`fbridge.schedule`. Between two times t < s it is Markov and Gaussian:

    x_s | x_t  ~  N( (alpha_s / alpha_t) x_t,  alpha_s^2 (rho_s^2 - rho_t^2) I ).

Dividing by alpha makes it a Brownian motion in the clock rho^2: u = x / alpha has independent
increments of variance rho_s^2 - rho_t^2.

**Pinning.** Fix the data u_0 = x_0 and the end u_s = x_s / alpha_s. A Brownian motion fixed at both
ends is a Brownian bridge: at the share w = rho_t^2 / rho_s^2 of its clock it has mean (1 - w) u_0 +
w u_s and variance rho_t^2 (1 - w). Multiplied by alpha_t this is the marginal of the bridge (DDBM,
arXiv 2309.16948; FrameBridge, arXiv 2410.15371; there by Doob's h-transform of the reference
process):

    x_t = data x_0 + prior x_s + noise eps data  = alpha_t (1 - w)         prior = (alpha_t /
    alpha_s) w         noise = alpha_t rho_t sqrt(1 - w)

with data = 1 at t = 0 and prior = 1 at t = s, where nothing else remains.

**Signal to noise.** data / noise = sqrt(1 - w) / rho_t, that is (data / noise)^2 = 1 / rho_t^2 - 1
/ rho_s^2: the bridge is at each time as clean as the reference diffusion, less what the end already
says.

**A bridge cut at s is a bridge.** Given x_0, what happens before s depends on what comes after
through x_s alone. So the formula with end = 1 and x_s = the prior is the training marginal, and the
same formula with any end = s > t is the exact step of the sampler from x_s to x_t given x_0: its
`prior` multiplies the present state, and the prior proper has no part in it. Steps compose (Chapman
and Kolmogorov): from 1 to s and on to t is from 1 to t.

**Samplers.** Any x_t = k x_s + (data_t - k data_s) x_0 + (prior_t - k prior_s) x_1 + omega eps with
k^2 noise_s^2 + omega^2 = noise_t^2 keeps the marginals. omega = eta times the posterior's noise
gives DBIM (arXiv 2405.15885): eta = 1 is the posterior above, eta = 0 the first-order solution of
the probability-flow ODE dx/dt = data' x_0 + prior' x_1 + (noise' / noise) (x - data x_0 - prior
x_1).

**The twin.** Pinned at the data only, the same reference is an ordinary diffusion: w = 0, prior =
0. Its posterior steps are those of the bridge, so `DiffusionProcess` runs under the same samplers
and losses.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from fbridge.schedule import Schedule, time_at


class Coefficients(NamedTuple):
    """Weights of x_t = data * x_0 + prior * x_1 + noise * eps. Each (B,), float64."""

    data: Tensor
    prior: Tensor
    noise: Tensor

    def over(self, x: Tensor) -> Coefficients:
        """Broadcast over x (B, ...), in x's dtype and device: the only cast."""
        return Coefficients(over(self.data, x), over(self.prior, x), over(self.noise, x))


def over(value: Tensor, x: Tensor) -> Tensor:
    """One number a video (B,) as (B, 1, ..., 1) in the dtype and device of x (B, ...)."""
    return value.reshape(-1, *(1,) * (x.ndim - 1)).to(x)


class Process(Protocol):
    """What samplers, losses and parameterizations need of a bridge or its diffusion twin."""

    @property
    def schedule(self) -> Schedule:
        """The reference diffusion."""
        ...

    def coefficients(self, t: Tensor, *, end: Tensor | float = 1.0) -> Coefficients:
        """Weights at t of the process pinned at `end`; by default the training marginal."""
        ...

    def sample(self, clean: Tensor, prior: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """State at t of the training marginal, given the noise."""
        ...

    def signal_to_noise(self, t: Tensor) -> Tensor:
        """Amplitude ratio data / noise: infinite at t = 0, decreasing."""
        ...

    def time_at(self, ratio: Tensor) -> Tensor:
        """Inverse of `signal_to_noise`."""
        ...


@dataclass(frozen=True)
class BridgeProcess:
    """The reference process pinned at both ends (Doob's h-transform).

    Attributes:
        schedule: the reference diffusion.
    """

    schedule: Schedule

    def coefficients(self, t: Tensor, *, end: Tensor | float = 1.0) -> Coefficients:
        """Weights at t of the bridge pinned at `end`.

        Args:
            t: float64 times of any shape, 0 <= t <= end.
            end: time of the second pin, in (0, 1]. 1 is the training marginal; s > t, with x_s as
                the prior, is the exact posterior step x_s -> x_t given x_0: a bridge cut at s is a
                bridge.

        Returns:
            Float64 weights of the shape of t (broadcast with `end`).
        """
        if not isinstance(end, Tensor) and end == 1:
            return _pinned(self.schedule, t, *self._ends)
        return _pinned(self.schedule, t, *_ends(self.schedule, t, end))

    def sample(self, clean: Tensor, prior: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """State x_t (B, F, C, H, W) between clean and prior video.

        Deterministic: the caller owns the noise.
        """
        return _mix(self.coefficients(t), clean, prior, noise)

    def signal_to_noise(self, t: Tensor) -> Tensor:
        """Amplitude ratio data / noise, of the shape of t: infinite at t = 0, zero at t = 1."""
        rho, (_, top) = self.schedule.rho(t), self._ends
        return torch.sqrt((top - rho) * (top + rho)) / (rho * top)

    def time_at(self, ratio: Tensor) -> Tensor:
        """Times at which data / noise = ratio: the inverse of `signal_to_noise`."""
        _, top = self._ends
        return time_at(self.schedule, torch.rsqrt(ratio.square() + top**-2))

    @cached_property
    def _ends(self) -> tuple[float, float]:
        alpha, rho = _ends(self.schedule, torch.ones((), dtype=torch.float64), 1.0)
        return float(alpha), float(rho)


@dataclass(frozen=True)
class DiffusionProcess:
    """The reference process pinned at the data only: the diffusion twin, which starts from noise.

    The prior has weight 0 in every state; a network may still be shown it, which makes the twin a
    fair control.

    Attributes:
        schedule: the reference diffusion; its rho(1) should be large, since sampling starts there.
    """

    schedule: Schedule

    def coefficients(self, t: Tensor, *, end: Tensor | float | None = None) -> Coefficients:
        """Weights at t: the diffusion's marginal, or with an `end` its posterior, the bridge's."""
        if end is not None:
            return _pinned(self.schedule, t, *_ends(self.schedule, t, end))
        alpha = self.schedule.alpha(t)
        return Coefficients(alpha, torch.zeros_like(alpha), alpha * self.schedule.rho(t))

    def sample(self, clean: Tensor, prior: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """State x_t (B, F, C, H, W) = alpha (clean + rho noise); the prior does not enter."""
        return _mix(self.coefficients(t), clean, prior, noise)

    def signal_to_noise(self, t: Tensor) -> Tensor:
        """Amplitude ratio 1 / rho(t)."""
        return self.schedule.rho(t).reciprocal()

    def time_at(self, ratio: Tensor) -> Tensor:
        """Times at which 1 / rho = ratio: the inverse of `signal_to_noise`."""
        return time_at(self.schedule, ratio.reciprocal())


def _ends(schedule: Schedule, t: Tensor, end: Tensor | float) -> tuple[Tensor, Tensor]:
    if not isinstance(end, Tensor):
        if not 0 < end <= 1:
            raise ValueError(f"end is {end} but a bridge ends in (0, 1]")
        end = t.new_full((), end)
    return schedule.alpha(end), schedule.rho(end)


def _pinned(
    schedule: Schedule, t: Tensor, alpha_end: Tensor | float, rho_end: Tensor | float
) -> Coefficients:
    alpha, rho = schedule.alpha(t), schedule.rho(t)
    share = rho / rho_end
    rest = (1 - share) * (1 + share)  # 1 - share^2, without cancellation at the end
    return Coefficients(
        data=alpha * rest,
        prior=alpha / alpha_end * (share * share),
        noise=alpha * rho * torch.sqrt(rest),
    )


def _mix(weights: Coefficients, clean: Tensor, prior: Tensor, noise: Tensor) -> Tensor:
    c = weights.over(clean)
    return c.data * clean + c.prior * prior + c.noise * noise
