"""DDBM's hybrid sampler (arXiv 2309.16948): a stretch of reverse SDE, then Heun's step of the ODE.

It integrates in t and so needs many more calls than the samplers of `fbridge.sampling.multistep`;
it is the reference that those are compared with.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from fbridge.process import Process
from fbridge.sampling.run import Problem, sampler


class Velocity(NamedTuple):
    """dx/dt = state x + clean x_0 + prior x_1 at one time, and the diffusion coefficient there."""

    state: float
    clean: float
    prior: float
    diffusion: float

    def of(self, x: Tensor, clean: Tensor, prior: Tensor) -> Tensor:
        """The velocity (B, F, C, H, W) of the state x."""
        return (x * self.state).add_(clean, alpha=self.clean).add_(prior, alpha=self.prior)


@sampler
def sample_heun(problem: Problem, *, churn: float = 0.33) -> Tensor:
    """DDBM's sampler: the share `churn` of each interval by the SDE, the rest by Heun's ODE step.

    It takes 3 N - 1 calls of the denoiser for N intervals, 2 N - 1 without churn, and suits grids
    of kind "karras". `churn`, in [0, 1), is that share. The step from one network of a pair into
    the other's times is Euler's: the slopes of two networks are not averaged.
    """
    if not 0 <= churn < 1:
        raise ValueError(f"churn is {churn} but must lie in [0, 1)")
    process, prior, times = problem.process, problem.prior, problem.times
    if float(times[0]) == 1:
        raise ValueError("times begin at 1, where the ODE is singular; begin below")
    grid, middles = times[:-1], torch.lerp(times[:-1], times[1:], churn)
    sde, ode = _velocities(process, grid, 1.0), _velocities(process, middles, 0.0)
    ends = _velocities(process, grid, 0.0)[1:]
    at_grid, at_middle = problem.batched(grid), problem.batched(middles)
    first, second = (middles - grid).tolist(), (times[1:] - middles).tolist()
    x = problem.first_state()
    for n in range(len(grid)):
        if churn > 0:
            clean = problem.estimate(x, at_grid[n])
            x = x + first[n] * sde[n].of(x, clean, prior)
            x.add_(problem.draw(), alpha=sde[n].diffusion * (-first[n]) ** 0.5)
        clean = problem.estimate(x, at_middle[n])
        slope = ode[n].of(x, clean, prior)
        ahead = x + second[n] * slope
        if n + 1 < len(grid) and problem.alike(middles[n], grid[n + 1]):
            clean = problem.estimate(ahead, at_grid[n + 1])
            ahead = x + (second[n] / 2) * (slope + ends[n].of(ahead, clean, prior))
        x = ahead
        problem.report(n + 1, x, clean)
    return x


def _velocities(process: Process, t: Tensor, noisiness: float) -> list[Velocity]:
    """Velocities at times (N,): of the flow ODE at noisiness 0, of the reverse SDE at 1.

    The ODE moves a state along its marginal; the SDE adds -g^2 / 2 times the score:

        ode = data' x_0 + prior' x_1 + (noise' / noise) (x - data x_0 - prior x_1)
        score = -(x - data x_0 - prior x_1) / noise^2
        sde = ode - g^2 / 2 score

    Derivatives are exact.
    """
    with torch.enable_grad():
        t = t.detach().clone().requires_grad_()
        c = process.coefficients(t)
        slopes = [_derivative(value, t) for value in c]
        growth = _derivative(process.schedule.rho(t).square(), t)
    data, prior, noise = (value.detach() for value in c)
    diffusion_squared = process.schedule.alpha(t.detach()).square() * growth
    pull = slopes[2] / noise + noisiness * diffusion_squared / (2 * noise.square())
    columns = (pull, slopes[0] - pull * data, slopes[1] - pull * prior, diffusion_squared.sqrt())
    return [Velocity(*row) for row in torch.stack(columns, dim=1).tolist()]


def _derivative(values: Tensor, t: Tensor) -> Tensor:
    if not values.requires_grad:
        return torch.zeros_like(t)
    (slope,) = torch.autograd.grad(values.sum(), t, retain_graph=True)
    return slope
