"""Samplers by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from fbridge.errors import ConfigError
from fbridge.sampling.heun import sample_heun
from fbridge.sampling.multistep import sample_dbim, sample_ode, sample_sde, sample_sde2m
from fbridge.sampling.run import SampleFunction


@dataclass(frozen=True)
class Sampler:
    """A sampler by name.

    Attributes:
        name: on a command line and in a configuration.
        summary: one line for a help text.
        sample: the function.
        defaults: the numbers that may be set, with their defaults.
        nfe: calls of the denoiser for a number of steps; the start "booted" needs one more.
    """

    name: str
    summary: str
    sample: SampleFunction
    defaults: Mapping[str, float] = field(default_factory=dict)
    nfe: Callable[[int], int] = lambda steps: steps


SAMPLERS: dict[str, Sampler] = {
    sampler.name: sampler
    for sampler in (
        Sampler("sde", "reverse SDE, first order (FrameBridge)", sample_sde, {"temperature": 1.0}),
        Sampler("ode", "probability-flow ODE, first order", sample_ode),
        Sampler(
            "dbim", "between ODE (eta 0) and SDE (eta 1), first order", sample_dbim, {"eta": 0.0}
        ),
        Sampler("dbim2", "ODE of second order", partial(sample_dbim, order=2)),
        Sampler("dbim3", "ODE of third order", partial(sample_dbim, order=3)),
        Sampler("sde2m", "reverse SDE, second order; from 30 steps on", sample_sde2m),
        Sampler("heun", "DDBM's hybrid", sample_heun, {"churn": 0.33}, lambda steps: 3 * steps - 1),
    )
}


def build_sampler(name: str, **numbers: float) -> Sampler:
    """Sampler by name, with its numbers set.

    Args:
        name: a key of `SAMPLERS`.
        **numbers: those of the sampler's `defaults` to set otherwise.

    Raises:
        ConfigError: if there is no such sampler, it has no such number, or the number is not
            finite.
    """
    if name not in SAMPLERS:
        raise ConfigError(f"sampler {name!r} is unknown; known are {', '.join(SAMPLERS)}")
    sampler = SAMPLERS[name]
    for key, value in numbers.items():
        if key not in sampler.defaults:
            known = ", ".join(sampler.defaults) or "none"
            raise ConfigError(f"sampler {name!r} has no number {key!r}; it has {known}")
        if not math.isfinite(value):
            raise ConfigError(f"sampler {name!r}: {key} is {value} but must be finite")
    chosen: dict[str, Any] = {**sampler.defaults, **numbers}
    nfe = sampler.nfe
    if chosen.get("churn") == 0:
        nfe = _heun_without_churn
    return Sampler(name, sampler.summary, partial(sampler.sample, **chosen), chosen, nfe)


def _heun_without_churn(steps: int) -> int:
    return 2 * steps - 1
