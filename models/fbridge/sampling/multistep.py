"""Samplers that take one call of the denoiser a step: SDE, ODE, DBIM of orders 1 to 3, SDE-2M.

All of them are linear in what is known: the state, the prior, the present and the last clean
estimates, and noise. So a sampler here is a list of `Move`s, computed for the whole grid at once in
float64, and one loop runs them all.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from fbridge.denoiser import Denoiser
from fbridge.process import Process
from fbridge.sampling.noise import NoiseSource
from fbridge.sampling.run import OnStep, Problem, Start, Step
from fbridge.types import Condition


class Move(NamedTuple):
    """Weights of one step: x_t = state x_s + prior x_1 + sum of clean[i] estimate[i] + noise eps.

    `clean` begins with the present estimate and goes back in time.
    """

    state: float
    prior: float
    clean: tuple[float, ...]
    noise: float


class Moves(NamedTuple):
    """Weights of all steps but the last, each (N - 1,) float64; `clean` is (N - 1, order)."""

    state: Tensor
    prior: Tensor
    clean: Tensor
    noise: Tensor

    def as_list(self) -> list[Move]:
        """One `Move` a step; the step to t = 0 is the clean estimate itself."""
        rows = zip(
            self.state.tolist(),
            self.prior.tolist(),
            self.clean.tolist(),
            self.noise.tolist(),
            strict=True,
        )
        return [*(Move(k, p, tuple(c), n) for k, p, c, n in rows), Move(0.0, 0.0, (1.0,), 0.0)]


def sample_sde(  # noqa: PLR0913 (a sampler's whole contract)
    denoiser: Denoiser,
    process: Process,
    prior: Tensor,
    times: Tensor,
    condition: Condition,
    *,
    noise: NoiseSource,
    temperature: float = 1.0,
    start: Start = "noised",
    on_step: OnStep | None = None,
) -> Tensor:
    """First-order reverse SDE, FrameBridge's sampler (arXiv 2410.15371).

    Each step draws from the posterior given the clean estimate. The prior has no part in a step; it
    is where the first one starts.

    Args:
        denoiser: the estimate of the clean video.
        process: the bridge.
        prior: (B, F, C, H, W) where the bridge starts.
        times: (N + 1,) from `time_grid`; N calls of the denoiser.
        condition: words and picture.
        noise: source of standard normal noise.
        temperature: each step's noise is divided by its root (Bridge-TTS, arXiv 2312.03491); 1 is
            exact.
        start: how to begin, see `Start`.
        on_step: called after each step.

    Returns:
        The clean video (B, F, C, H, W).
    """
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature} but must be positive")
    problem = Problem(denoiser, process, prior, times, condition, noise)
    moves = _first_order(process, times, eta=1.0)
    return _run(problem, moves._replace(noise=moves.noise / temperature**0.5), start, on_step)


def sample_ode(
    denoiser: Denoiser,
    process: Process,
    prior: Tensor,
    times: Tensor,
    condition: Condition,
    *,
    noise: NoiseSource,
    start: Start = "noised",
    on_step: OnStep | None = None,
) -> Tensor:
    """First-order probability-flow ODE: `sample_dbim` with eta = 0; its only noise is the start's.

    Arguments and result are those of `sample_dbim`.
    """
    return sample_dbim(
        denoiser,
        process,
        prior,
        times,
        condition,
        noise=noise,
        eta=0.0,
        start=start,
        on_step=on_step,
    )


def sample_dbim(  # noqa: PLR0913 (a sampler's whole contract)
    denoiser: Denoiser,
    process: Process,
    prior: Tensor,
    times: Tensor,
    condition: Condition,
    *,
    noise: NoiseSource,
    eta: float = 0.0,
    order: int = 1,
    start: Start = "noised",
    on_step: OnStep | None = None,
) -> Tensor:
    """Diffusion-bridge implicit sampler: keeps the bridge's marginals for any eta.

    DBIM, arXiv 2405.15885.

    Args:
        denoiser: the estimate of the clean video.
        process: the bridge.
        prior: (B, F, C, H, W) where the bridge starts.
        times: (N + 1,) from `time_grid`; N calls of the denoiser.
        condition: words and picture.
        noise: source of standard normal noise.
        eta: share of the posterior's noise, in [0, 1]: 1 is the reverse SDE, 0 the ODE.
        order: 1, or with eta = 0 also 2 and 3: a multistep method over the last estimates, in
            log-SNR.
        start: how to begin, see `Start`.
        on_step: called after each step.

    Returns:
        The clean video (B, F, C, H, W).
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"eta is {eta} but must lie in [0, 1]")
    if order not in (1, 2, 3):
        raise ValueError(f"order is {order} but must be 1, 2 or 3")
    if order > 1 and eta > 0:
        raise ValueError(
            f"order {order} needs eta = 0 but eta is {eta}; sample_sde2m is the SDE of second order"
        )
    problem = Problem(denoiser, process, prior, times, condition, noise)
    moves = _first_order(process, times, eta)
    if order > 1:
        c = process.coefficients(times[:-1])
        gain, clock = c.data[1:], torch.log(c.data / c.noise)
        moves = moves._replace(clean=_extrapolated(moves.clean, gain, clock, order))
    return _run(problem, moves, start, on_step)


def sample_sde2m(
    denoiser: Denoiser,
    process: Process,
    prior: Tensor,
    times: Tensor,
    condition: Condition,
    *,
    noise: NoiseSource,
    start: Start = "noised",
    on_step: OnStep | None = None,
) -> Tensor:
    """Second-order multistep reverse SDE.

    `sample_sde` with the clean estimate extrapolated along log(1 / rho). It overshoots below about
    30 steps. Arguments and result are those of `sample_sde`.
    """
    problem = Problem(denoiser, process, prior, times, condition, noise)
    moves = _first_order(process, times, eta=1.0)
    inner = times[:-1]
    # The estimate is integrated against d(rho^-2), so the clock is that of an ODE with h doubled.
    gain, clock = process.schedule.alpha(inner[1:]), -2 * process.schedule.rho(inner).log()
    return _run(
        problem, moves._replace(clean=_extrapolated(moves.clean, gain, clock, 2)), start, on_step
    )


def _first_order(process: Process, times: Tensor, eta: float) -> Moves:
    """DBIM's weights: `eta` of the posterior's noise, the other variance from the state.

    The weight k of the state has a form without cancellation, `posterior` pinned at s:

        k = sqrt(noise_t^2 - omega^2) / noise_s
        k = sqrt((1 - eta^2) (noise_t / noise_s)^2 + eta^2 posterior.prior^2)

    At t = 1 there is no noise to keep: that step is the SDE's.
    """
    s, t = times[:-2], times[1:-1]
    here, there = process.coefficients(s), process.coefficients(t)
    posterior = process.coefficients(t, end=s)
    share = torch.full_like(s, eta).where(here.noise > 0, 1.0)
    ratio = there.noise / here.noise.where(here.noise > 0, torch.inf)
    state = torch.sqrt((1 - share**2) * ratio**2 + share**2 * posterior.prior**2)
    exact = share == 1  # there the prior cancels and the posterior's own weights are sharper
    return Moves(
        state=state,
        prior=torch.where(exact, 0.0, there.prior - state * here.prior),
        clean=torch.where(exact, posterior.data, there.data - state * here.data)[:, None],
        noise=share * posterior.noise,
    )


def _extrapolated(first: Tensor, gain: Tensor, clock: Tensor, order: int) -> Tensor:
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


@torch.no_grad()
def _run(problem: Problem, moves: Moves, start: Start, on_step: OnStep | None) -> Tensor:
    x = problem.start(start)
    plan = moves.as_list()
    reached = problem.times.tolist()
    history: tuple[Tensor, ...] = ()
    for number, (move, t) in enumerate(
        zip(plan, problem.batched(problem.times[:-1]), strict=True), start=1
    ):
        clean = problem.estimate(x, t)
        history = (clean, *history)[: moves.clean.shape[1]]
        if number == len(plan):
            x = clean
        else:
            x = x * move.state
            for weight, estimate in zip(move.clean, history, strict=False):
                x.add_(estimate, alpha=weight)
            if move.prior != 0:
                x.add_(problem.prior, alpha=move.prior)
            if move.noise != 0:
                x.add_(problem.draw(), alpha=move.noise)
        if on_step is not None:
            on_step(Step(number, len(plan), reached[number], x, clean))
    return x
