"""Samplers: from the prior to a clean video, with the signature of `fbridge.sampling.run`.

Which one? `sample_sde` is FrameBridge's own and robust to an inaccurate denoiser; `sample_dbim` of
order 2 reaches the same quality in a third of the steps; `sample_ode` maps a start to its video
without further noise; `sample_sde2m` is the second-order SDE, for 30 steps and more; `sample_heun`
is DDBM's, for comparison.
"""

from fbridge.choices import GridKind, Start
from fbridge.sampling.grids import default_times, time_grid
from fbridge.sampling.heun import sample_heun
from fbridge.sampling.multistep import sample_dbim, sample_ode, sample_sde, sample_sde2m
from fbridge.sampling.noise import NoiseSource, seeded_noise
from fbridge.sampling.registry import SAMPLERS, Sampler, build_sampler
from fbridge.sampling.run import OnStep, Step

__all__ = [
    "SAMPLERS",
    "GridKind",
    "NoiseSource",
    "OnStep",
    "Sampler",
    "Start",
    "Step",
    "build_sampler",
    "default_times",
    "sample_dbim",
    "sample_heun",
    "sample_ode",
    "sample_sde",
    "sample_sde2m",
    "seeded_noise",
    "time_grid",
]
