"""The diffusion bridge x_t between a clean video x_0 and a prior x_s, and its derivation.

The bridge of FrameBridge (arXiv 2410.15371) and DDBM (arXiv 2309.16948), for 0 <= t <= s:

    x_t = data x_0 + prior x_s + noise eps

    data = alpha_t (1 - w)
    prior = (alpha_t / alpha_s) w
    noise = alpha_t rho_t sqrt(1 - w)
    w = rho_t^2 / rho_s^2

`BridgeProcess.coefficients` computes the three weights. In training s = 1 and x_1 is the prior
video; in a sampler s is the present time and x_s the present state. At t = 0 only x_0 remains, at
t = s only x_s. alpha and rho belong to the reference diffusion, a `fbridge.schedule.Schedule`.

**Reference diffusion.** At each time, and from each t to each s > t, it is

    x_t = alpha_t (x_0 + rho_t eps)
    x_s = (alpha_s / alpha_t) x_t + alpha_s sqrt(rho_s^2 - rho_t^2) eps

with independent standard normal eps. So u = x / alpha is a Brownian motion whose clock is rho^2.

**Pinning both ends.** Fix u_0 = x_0 and u_s = x_s / alpha_s. A Brownian motion with both ends fixed
is a Brownian bridge. At the share w of its clock it has

    mean = (1 - w) u_0 + w u_s
    variance = rho_t^2 (1 - w)

and x_t = alpha_t u_t gives the weights above. (The papers derive them by Doob's h-transform.)

**Signal to noise.** The weights of data and noise, which decide what an aligned network sees
(`fbridge.alignment`), have the ratio

    data / noise = sqrt(1 - w) / rho_t
    (data / noise)^2 = 1 / rho_t^2 - 1 / rho_s^2

that is the reference's signal-to-noise ratio at t, less its value at s.

**Posterior.** Given x_0, what happens before s depends on later times through x_s alone. So the
same formula with any end s > t is the exact distribution of x_t given x_s and x_0; the prior video
does not enter. Steps compose (Chapman-Kolmogorov): from 1 to s and from s to t is from 1 to t.

**Samplers.** With the training marginals at t and s, a step

    x_t = k x_s + (data_t - k data_s) x_0 + (prior_t - k prior_s) x_1 + omega eps
    k = sqrt(noise_t^2 - omega^2) / noise_s

keeps the marginals for every omega up to noise_t. DBIM (arXiv 2405.15885) takes omega as eta times
the posterior's noise: eta = 1 is the posterior, eta = 0 the first-order solution of the
probability-flow ODE

    dx / dt = data' x_0 + prior' x_1 + (noise' / noise) (x - data x_0 - prior x_1)

where a prime is the derivative in t.

**Diffusion baseline.** Pinned at x_0 only, the reference is an ordinary diffusion, w = 0:

    data = alpha_t
    prior = 0
    noise = alpha_t rho_t

Its posterior is the bridge's, so `DiffusionProcess` runs under the same samplers and losses.
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
    """What samplers, losses and parameterizations need of a bridge or of the diffusion baseline."""

    @property
    def schedule(self) -> Schedule:
        """The reference diffusion."""

    def coefficients(self, t: Tensor, *, end: Tensor | float = 1.0) -> Coefficients:
        """Weights at t of the process pinned at `end`; by default the training marginal."""

    def sample(self, clean: Tensor, prior: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """State at t of the training marginal, from standard normal noise."""

    def signal_to_noise(self, t: Tensor) -> Tensor:
        """Amplitude ratio data / noise: infinite at t = 0, decreasing."""

    def time_at(self, ratio: Tensor) -> Tensor:
        """Inverse of `signal_to_noise`."""


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
    """The diffusion baseline: the reference process from noise to data.

    It is pinned at the data only, so the prior has weight 0 in every state. The network is still
    given the prior, so that bridge and baseline differ in the process alone.

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
