"""Samplers that take one call of the denoiser a step: SDE, ODE, DBIM of orders 1 to 3, SDE-2M.

All of them are linear in what is known: the state, the prior, the present and the last clean
estimates, and noise. So a sampler here is a table of weights, computed for the whole grid at once
in float64, and one loop runs them all.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from fbridge.sampling.run import Problem, sampler


class Weights(NamedTuple):
    """Weights of all steps but the last, whose result is the clean estimate itself.

        x_t = state x_s + prior x_1 + sum of clean[i] estimate[i] + noise eps

    Each is (N - 1,) float64; `clean` is (N - 1, order), the present estimate first.
    """

    state: Tensor
    prior: Tensor
    clean: Tensor
    noise: Tensor


@sampler
def sample_sde(problem: Problem, *, temperature: float = 1.0) -> Tensor:
    """First-order reverse SDE, FrameBridge's sampler (arXiv 2410.15371).

    Each step draws from the posterior given the clean estimate. The prior has no part in a step; it
    is where the first one starts. Each step's noise is divided by the root of `temperature`
    (Bridge-TTS, arXiv 2312.03491); 1 is exact.
    """
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature} but must be positive")
    weights = _first_order(problem, eta=1.0)
    return _run(problem, weights._replace(noise=weights.noise / temperature**0.5))


@sampler
def sample_ode(problem: Problem) -> Tensor:
    """First-order probability-flow ODE, `sample_dbim` with eta = 0: only its start has noise."""
    return _run(problem, _first_order(problem, eta=0.0))


@sampler
def sample_dbim(problem: Problem, *, eta: float = 0.0, order: int = 1) -> Tensor:
    """Diffusion-bridge implicit sampler: keeps the bridge's marginals for any eta.

    DBIM, arXiv 2405.15885. `eta` is the share of the posterior's noise, in [0, 1]: 1 is the reverse
    SDE, 0 the ODE. `order` is 1, or with eta = 0 also 2 and 3: a multistep method over the last
    estimates, in log-SNR.
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"eta is {eta} but must lie in [0, 1]")
    if order not in (1, 2, 3):
        raise ValueError(f"order is {order} but must be 1, 2 or 3")
    if order > 1 and eta > 0:
        raise ValueError(
            f"order {order} needs eta = 0 but eta is {eta}; sample_sde2m is the SDE of second order"
        )
    weights = _first_order(problem, eta)
    if order > 1:
        c = problem.process.coefficients(problem.times[:-1])
        gain, clock = c.data[1:], torch.log(c.data / c.noise)
        weights = weights._replace(
            clean=_extrapolated(problem.starts, weights.clean, gain, clock, order)
        )
    return _run(problem, weights)


@sampler
def sample_sde2m(problem: Problem) -> Tensor:
    """Second-order multistep reverse SDE.

    `sample_sde` with the clean estimate extrapolated along log(1 / rho). It overshoots below about
    30 steps.
    """
    weights = _first_order(problem, eta=1.0)
    schedule, inner = problem.process.schedule, problem.times[:-1]
    # The estimate is integrated against d(rho^-2), so the clock is that of an ODE with h doubled.
    gain, clock = schedule.alpha(inner[1:]), -2 * schedule.rho(inner).log()
    clean = _extrapolated(problem.starts, weights.clean, gain, clock, 2)
    return _run(problem, weights._replace(clean=clean))


def _first_order(problem: Problem, eta: float) -> Weights:
    """DBIM's weights: `eta` of the posterior's noise, the other variance from the state.

    The weight k of the state has a form without cancellation, `posterior` pinned at s:

        k = sqrt(noise_t^2 - omega^2) / noise_s
        k = sqrt((1 - eta^2) (noise_t / noise_s)^2 + eta^2 posterior.prior^2)

    At t = 1 there is no noise to keep: that step is the SDE's.
    """
    process, s, t = problem.process, problem.times[:-2], problem.times[1:-1]
    here, there = process.coefficients(s), process.coefficients(t)
    posterior = process.coefficients(t, end=s)
    share = torch.full_like(s, eta).where(here.noise > 0, 1.0)
    ratio = there.noise / here.noise.where(here.noise > 0, torch.inf)
    state = torch.sqrt((1 - share**2) * ratio**2 + share**2 * posterior.prior**2)
    exact = share == 1  # there the prior cancels and the posterior's own weights are sharper
    return Weights(
        state=state,
        prior=torch.where(exact, 0.0, there.prior - state * here.prior),
        clean=torch.where(exact, posterior.data, there.data - state * here.data)[:, None],
        noise=share * posterior.noise,
    )


def _extrapolated(
    starts: list[int], first: Tensor, gain: Tensor, clock: Tensor, order: int
) -> Tensor:
    """The weights of `_polynomial`, begun anew where another network begins to answer."""
    ends = [*starts[1:], len(first)]
    return torch.cat([
        _polynomial(first[a:b], gain[a:b], clock[a : b + 1], order)
        for a, b in zip(starts, ends, strict=True)
    ])  # fmt: skip


def _polynomial(first: Tensor, gain: Tensor, clock: Tensor, order: int) -> Tensor:
    """Weights (N - 1, order) on the last estimates, from those of first order (N - 1, 1).

    The estimate is taken as the polynomial in the clock through the last `order` values (fewer at
    the beginning) and integrated exactly against the exponential; DBIM's appendix and DPM-Solver++
    have the same weights.

    Args:
        first: (N - 1, 1) weight on the present estimate at first order.
        gain: (N - 1,) factor of the integral at the step's end.
        clock: (N,) the variable in which the estimate is smooth.
        order: 2 or 3.
    """
    weights = torch.cat([first, first.new_zeros(len(first), order - 1)], dim=1)
    h = clock.diff()
    linear = gain * (torch.expm1(-h) + h)
    change = linear[1:] / h[:-1]
    weights[1:, 0] += change
    weights[1:, 1] -= change
    if order == 3:
        now, h1, h2 = h[2:], h[1:-1], h[:-2]
        linear = linear[2:]
        square = gain[2:] * (now**2 / 2 - now - torch.expm1(-now))
        both = 1 / (h1 + h2)
        near = (linear * (1 + h1 * both) + 2 * square * both) / h1
        far = (linear * h1 + 2 * square) * both / h2
        weights[2:] = torch.stack([first[2:, 0] + near, -near - far, far], dim=1)
    return weights


def _run(problem: Problem, weights: Weights) -> Tensor:
    x = problem.first_state()
    *before, last = problem.batched(problem.times[:-1])
    history: tuple[Tensor, ...] = ()
    starts = problem.starts
    steps = zip(before, *(weight.tolist() for weight in weights), strict=True)
    for number, (t, state, prior, clean, noise) in enumerate(steps, start=1):
        history = () if number - 1 in starts else history
        history = (problem.estimate(x, t), *history)[: len(clean)]
        x = x * state
        for weight, estimate in zip(clean, history, strict=False):
            x.add_(estimate, alpha=weight)
        if prior != 0:
            x.add_(problem.prior, alpha=prior)
        if noise != 0:
            x.add_(problem.draw(), alpha=noise)
        problem.report(number, x, history[0])
    x = problem.estimate(x, last)
    problem.report(len(before) + 1, x, x)
    return x
