"""Densities of times, and weights, against what they are said to be."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from fbridge.config.tree import TimesConfig, WeightConfig
from fbridge.errors import ConfigError
from fbridge.process import BridgeProcess, DiffusionProcess, Process
from fbridge.scheduler import FrameBridgeScheduler
from fbridge.train.timesteps import (
    FIRST,
    LAST,
    clean_per_output,
    draw_times,
    limit_times,
    loss_weight,
)

EVEN = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000
T = torch.tensor([0.02, 0.2, 0.5, 0.8, 0.98], dtype=torch.float64)


def scheduler(objective: str = "bridge", prediction: str = "clean") -> FrameBridgeScheduler:
    flow, cogvideox = {"kind": "flow"}, {"kind": "cogvideox", "snr_shift": 1.0}
    base: dict[str, Any] = flow if prediction == "aligned-flow" else cogvideox
    return FrameBridgeScheduler(
        prediction=prediction,
        objective=objective,
        base=base if prediction.startswith("aligned") else None,
    )


@pytest.fixture(params=["bridge", "diffusion"])
def process(request: pytest.FixtureRequest) -> Process:
    return scheduler(request.param).process


def log_noise_over_signal(process: Process, t: Tensor) -> Tensor:
    c = process.coefficients(t)
    return (c.noise / c.data).log()


def test_uniform_is_even_in_time(process: Process) -> None:
    t = draw_times(EVEN, process, TimesConfig(density="uniform"))
    assert torch.histc(t, 10, FIRST, LAST).tolist() == [400] * 10


def test_snr_is_even_in_the_logarithm(process: Process) -> None:
    t = draw_times(EVEN, process, TimesConfig(density="snr"))
    ends = log_noise_over_signal(process, torch.tensor([FIRST, LAST], dtype=torch.float64))
    counts = torch.histc(log_noise_over_signal(process, t), 10, *ends.tolist())
    assert (counts - 400).abs().max() <= 1
    assert bool((t.diff() > 0).all())


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (-1.2, 0.5)])
def test_lognormal_has_its_quantiles(process: Process, mean: float, std: float) -> None:
    shares = torch.tensor([-1.5, -1.0, 0.0, 1.0, 1.5], dtype=torch.float64)
    uniform = 0.5 * (1 + torch.erf(shares / math.sqrt(2)))
    t = draw_times(uniform, process, TimesConfig(density="lognormal", mean=mean, std=std))
    torch.testing.assert_close(log_noise_over_signal(process, t), mean + std * shares)


@pytest.mark.parametrize("density", ["uniform", "snr", "lognormal"])
@pytest.mark.parametrize("mean", [-60.0, 0.0, 60.0])
def test_times_stay_where_the_grid_of_training_is(
    process: Process, density: str, mean: float
) -> None:
    uniform = torch.tensor([0.0, 1e-16, 0.5, 1 - 2**-53], dtype=torch.float64)
    config = TimesConfig.model_validate({"density": density, "mean": mean, "std": 3.0})
    t = draw_times(uniform, process, config)
    assert t.dtype == torch.float64
    assert bool(torch.isfinite(t).all())
    assert 1 / 1001 <= float(t.min()) <= float(t.max()) <= 1000 / 1001


@pytest.mark.parametrize("density", ["uniform", "snr", "lognormal"])
def test_a_range_cuts_the_density_and_leaves_its_shape(process: Process, density: str) -> None:
    whole = TimesConfig.model_validate({"density": density})
    cut = TimesConfig.model_validate({"density": density, "min": 0.2, "max": 0.6})
    t = draw_times(EVEN, process, cut)
    assert 0.2 <= float(t.min()) < 0.21
    assert 0.59 < float(t.max()) <= 0.6
    inside = draw_times(EVEN, process, whole)
    inside = inside[(inside >= 0.2) & (inside <= 0.6)]
    quantiles = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    torch.testing.assert_close(t.quantile(quantiles), inside.quantile(quantiles), atol=4e-3, rtol=0)


def test_what_a_range_leaves_open_is_what_the_base_knows() -> None:
    whole = scheduler(prediction="aligned-flow")
    assert limit_times(whole, TimesConfig()) == (whole, TimesConfig())
    base = {"kind": "flow", "highest": 875.0}
    low = FrameBridgeScheduler(prediction="aligned-flow", base=base, strength=0.9)
    made, times = limit_times(low, TimesConfig())
    assert (times.min, times.max) == made.time_range == low.time_range == (0.0, times.max)
    assert made.config.strength == times.max == pytest.approx(0.8134, abs=1e-3)
    made, times = limit_times(low, TimesConfig(min=0.1, max=1.0))
    assert (made.time_range, made.config.strength) == ((0.1, 1.0), 0.9)
    with pytest.raises(ConfigError, match=r"min 0\.900 and times\.max 0\.814: the base knows"):
        limit_times(low, TimesConfig(min=0.9))


def squared_snr(process: Process, t: Tensor) -> Tensor:
    """(data / noise)^2 as the docstring of `fbridge.process` has it."""
    rho = process.schedule.rho(t)
    end = process.schedule.rho(torch.ones(1, dtype=torch.float64))
    if isinstance(process, DiffusionProcess):
        return 1 / rho**2
    assert isinstance(process, BridgeProcess)
    return 1 / rho**2 - 1 / end**2


@pytest.mark.parametrize("objective", ["bridge", "diffusion"])
@pytest.mark.parametrize("prediction", ["clean", "psi-noise", "aligned-v", "aligned-flow"])
def test_min_snr_weighs_the_clean_video(objective: str, prediction: str) -> None:
    made = scheduler(objective, prediction)
    snr = squared_snr(made.process, T)
    least = snr.clamp_max(5.0)
    expected = {
        "clean": least,
        "psi-noise": least * made.process.schedule.rho(T) ** 2,
        "aligned-v": least / (1 + snr),
        "aligned-flow": least / (1 + snr.sqrt()) ** 2,
    }[prediction]
    weight = loss_weight(T, made.process, made.parameterization, WeightConfig(kind="min-snr"))
    torch.testing.assert_close(weight, expected)


def test_min_snr_has_its_gamma() -> None:
    made = scheduler()
    one, two = (
        loss_weight(T, made.process, made.parameterization, WeightConfig(kind="min-snr", gamma=g))
        for g in (1.0, 2.0)
    )
    assert one[0] == 1
    assert two[0] == 2
    assert one[-1] == two[-1] < 1


def test_the_parameterizations_own_weight_is_one_here() -> None:
    made = scheduler(prediction="psi-noise")
    weight = loss_weight(T, made.process, made.parameterization, WeightConfig())
    assert torch.equal(weight, torch.ones_like(T))


def test_an_error_of_the_output_counts_as_told_in_the_clean_video() -> None:
    made = scheduler(prediction="preconditioned")
    x, prior, output = torch.randn(3, 5, 2, 1, 4, 4, dtype=torch.float64)
    clean = made.parameterization.clean(output, x, prior, T)
    moved = made.parameterization.clean(output + 0.5, x, prior, T)
    change = (moved - clean).flatten(1).abs().mean(1)
    torch.testing.assert_close(change, 0.5 * clean_per_output(made.parameterization, T))
