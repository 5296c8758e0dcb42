"""Distribution of the training times, and their weight in the loss."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fbridge.config.tree import TimesConfig, WeightConfig
from fbridge.errors import ConfigError
from fbridge.parameterization import Parameterization
from fbridge.process import Process
from fbridge.scheduler import FrameBridgeScheduler

FIRST, LAST = 1 / 1001, 1000 / 1001
"""The times of FrameBridge's 1000-step grid lie between these (arXiv 2410.15371, released code)."""


def limit_times(
    scheduler: FrameBridgeScheduler, config: TimesConfig
) -> tuple[FrameBridgeScheduler, TimesConfig]:
    """The range of bridge times that is trained, written into the scheduler and filled in.

    What the configuration leaves open is what the base knows: all times, or of one expert of a
    pair its own. Sampling starts no later than the range ends.
    """
    known = scheduler.time_range
    first = known[0] if config.min is None else config.min
    last = known[1] if config.max is None else config.max
    if not first < last:
        raise ConfigError(
            f"times.min {first:.3f} and times.max {last:.3f}: the base knows bridge times from "
            f"{known[0]:.3f} to {known[1]:.3f}; give both"
        )
    if (first, last) == known == (0.0, 1.0):
        return scheduler, config
    numbers = {key: value for key, value in scheduler.config.items() if key[0] != "_"}
    numbers |= {"times": [first, last], "strength": min(numbers["strength"], last)}
    limits = {"min": first, "max": last}
    return FrameBridgeScheduler(**numbers), config.model_copy(update=limits)


def time_limits(config: TimesConfig) -> tuple[float, float]:
    """The first and the last time that can be drawn."""
    last = 1.0 if config.max is None else config.max
    return max(FIRST, config.min or 0.0), min(LAST, last)


def draw_times(uniform: Tensor, process: Process, config: TimesConfig) -> Tensor:
    """Times (B,) float64 within `time_limits`, distributed as `config.density` says.

    "uniform": FrameBridge's. "lognormal": the noise-to-signal ratio is exp(mean + std n), as in EDM
    (arXiv 2206.00364), cut off at `config.min` and `config.max`. "snr": the logarithm of the
    signal-to-noise ratio is uniform.

    Args:
        uniform: (B,) float64 in [0, 1).
        process: bridge or diffusion.
        config: the density and its parameters.
    """
    first, last = time_limits(config)
    if config.density == "uniform":
        return first + (last - first) * uniform
    ends = process.signal_to_noise(torch.tensor([first, last], dtype=torch.float64)).log()
    if config.density == "snr":
        log_ratio = ends[0] + (ends[1] - ends[0]) * uniform
    else:
        shares = 0.5 * (1 + torch.erf((-ends - config.mean) / (config.std * math.sqrt(2))))
        low = 0.0 if config.min is None else float(shares[0])
        high = 1.0 if config.max is None else float(shares[1])
        kept = (low + (high - low) * uniform).clamp(1e-9, 1 - 1e-9)
        normal = math.sqrt(2) * torch.erfinv(2 * kept - 1)
        log_ratio = -(config.mean + config.std * normal)
    return process.time_at(log_ratio.exp()).clamp(first, last)


def loss_weight(
    t: Tensor, process: Process, parameterization: Parameterization, config: WeightConfig
) -> Tensor:
    """Weight (B,) float64 of the squared error of the network's output.

    "parameterization": 1. "min-snr": the weight of the clean video's squared error is
    min(SNR, gamma) (arXiv 2303.09556), whatever the network predicts.
    """
    if config.kind == "parameterization":
        return torch.ones_like(t)
    snr = process.signal_to_noise(t).square()
    return snr.clamp_max(config.gamma) * clean_per_output(parameterization, t).square()


def clean_per_output(parameterization: Parameterization, t: Tensor) -> Tensor:
    """Change (B,) of the clean video for a unit change of the network's output."""
    return parameterization.scalings(t).out.abs()
