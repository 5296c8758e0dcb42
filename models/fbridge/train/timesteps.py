"""Distribution of the training times, and their weight in the loss."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fbridge.config.tree import TimesConfig, WeightConfig
from fbridge.parameterization import Parameterization
from fbridge.process import Process

FIRST, LAST = 1 / 1001, 1000 / 1001
"""The times of FrameBridge's 1000-step grid lie between these (arXiv 2410.15371, released code)."""


def draw_times(uniform: Tensor, process: Process, config: TimesConfig) -> Tensor:
    """Times (B,) float64 in [1/1001, 1000/1001], distributed as `config.density` says.

    "uniform": FrameBridge's. "lognormal": the noise-to-signal ratio is exp(mean + std n), as in EDM
    (arXiv 2206.00364). "snr": the logarithm of the signal-to-noise ratio is uniform.

    Args:
        uniform: (B,) float64 in [0, 1).
        process: bridge or diffusion.
        config: the density and its parameters.
    """
    if config.density == "uniform":
        return FIRST + (LAST - FIRST) * uniform
    ends = process.signal_to_noise(torch.tensor([FIRST, LAST], dtype=torch.float64)).log()
    if config.density == "snr":
        log_ratio = ends[0] + (ends[1] - ends[0]) * uniform
    else:
        normal = math.sqrt(2) * torch.erfinv(2 * uniform.clamp(1e-9, 1 - 1e-9) - 1)
        log_ratio = -(config.mean + config.std * normal)
    return process.time_at(log_ratio.exp()).clamp(FIRST, LAST)


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
