from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from fbridge.process import DiffusionProcess
from fbridge.sampling import (
    SAMPLERS,
    sample_dbim,
    sample_heun,
    sample_ode,
    sample_sde,
    sample_sde2m,
    time_grid,
)
from fbridge.schedule import VPSchedule
from tests.oracles import (
    BRIDGES,
    moments,
)

GMAX = BRIDGES["gmax"]
DBIM2, DBIM3 = partial(sample_dbim, order=2), partial(sample_dbim, order=3)

# Exact moments on FrameBridge's grid; data N(0.3, 0.5^2), prior 1. Mean of the ODE from the exact
# prior, then standard deviations: SDE exact and booted, ODE, second and third order booted, SDE at
# temperature 2.
FRAMEBRIDGE_GRID = [
    (5, 0.30133, 0.20652, 0.20653, 0.21238, 0.21674, 0.21832, 0.14605),
    (10, 0.30205, 0.30369, 0.30370, 0.32765, 0.34791, 0.35351, 0.21475),
    (20, 0.30255, 0.36787, 0.36788, 0.40802, 0.45162, 0.45435, 0.26013),
    (25, 0.30266, 0.38439, 0.38440, 0.42535, 0.47282, 0.47095, 0.27181),
    (50, 0.30289, 0.42705, 0.42705, 0.46144, 0.50279, 0.48804, 0.30198),
    (100, 0.30301, 0.45684, 0.45684, 0.48036, 0.50452, 0.49350, 0.32304),
    (250, 0.30308, 0.48005, 0.48006, 0.49205, 0.50146, 0.49844, 0.33946),
    (1000, 0.30312, 0.49444, 0.49444, 0.49800, 0.50013, 0.49988, 0.34963),
]


@pytest.mark.parametrize("row", FRAMEBRIDGE_GRID, ids=lambda row: f"{row[0]} steps")
def test_exact_moments_on_framebridges_grid(row: tuple[float, ...]) -> None:
    steps, ode_mean, sde_exact, sde, ode, second, third, cool = row
    run = partial(moments, process=GMAX, times=time_grid(int(steps)))
    close = partial(pytest.approx, abs=1.01e-5)
    assert run(sample_sde, start="exact") == close((0.30001, sde_exact))
    assert run(sample_sde, start="booted") == close((0.30000, sde))
    assert run(sample_sde) == close((0.30001, sde))
    assert run(sample_ode, start="exact") == close((ode_mean, 0.0))
    assert run(sample_ode, start="booted") == close((0.30000, ode))
    assert run(sample_ode)[1] == close(ode)
    assert run(DBIM2, start="booted") == close((0.30000, second))
    assert run(DBIM3, start="booted") == close((0.30000, third))
    assert run(sample_sde, temperature=2.0)[1] == close(cool)


# Standard deviations after N steps of equal log-SNR from 0.999 to 1e-3 and a last one to the data:
# SDE, ODE, second order, third order, SDE-2M.
LOGSNR_GRID = [
    ("gmax", 10, 0.33020, 0.39081, 0.54837, 0.52165, 0.64649),
    ("gmax", 20, 0.39879, 0.44207, 0.51340, 0.50154, 0.54692),
    ("gmax", 50, 0.45455, 0.47595, 0.50205, 0.50000, 0.50704),
    ("gmax", 100, 0.47633, 0.48781, 0.50047, 0.49996, 0.50168),
    ("vp", 10, 0.35542, 0.41104, 0.53220, 0.50769, 0.66097),
    ("vp", 20, 0.41633, 0.45325, 0.50822, 0.50042, 0.53737),
    ("vp", 50, 0.46322, 0.48063, 0.50111, 0.49981, 0.50526),
    ("const", 10, 0.36779, 0.42011, 0.52224, 0.50935, 0.64254),
    ("const", 20, 0.42430, 0.45784, 0.50529, 0.49943, 0.53168),
    ("const", 50, 0.46656, 0.48207, 0.49994, 0.49895, 0.50363),
]


@pytest.mark.parametrize("row", LOGSNR_GRID, ids=lambda row: f"{row[0]} {row[1]} steps")
def test_exact_moments_on_the_logsnr_grid(row: tuple[Any, ...]) -> None:
    name, steps, *expected = row
    process = BRIDGES[name]
    times = time_grid(steps + 1, kind="logsnr", process=process)
    samplers: list[Callable[..., Tensor]] = [sample_sde, sample_ode, DBIM2, DBIM3, sample_sde2m]
    for sample, std in zip(samplers, expected, strict=True):
        found = moments(sample, process, times, start="booted")
        assert found == pytest.approx((0.3, std), abs=1.2e-5)


HEUN = [
    ("gmax", 20, 0.2987, 0.5397),
    ("gmax", 50, 0.2994, 0.5170),
    ("gmax", 100, 0.2997, 0.5094),
    ("gmax", 1000, 0.3000, 0.5013),
    ("vp", 20, 0.2854, 0.5509),
    ("vp", 50, 0.2948, 0.5243),
    ("vp", 100, 0.2977, 0.5148),
    ("vp", 1000, 0.3002, 0.5025),
]


@pytest.mark.parametrize("row", HEUN, ids=lambda row: f"{row[0]} {row[1]} intervals")
def test_exact_moments_of_ddbms_sampler(row: tuple[Any, ...]) -> None:
    name, steps, mean, std = row
    times = time_grid(steps, kind="karras", start=1 - 1e-4)
    found = moments(sample_heun, BRIDGES[name], times, start="exact")
    assert found == pytest.approx((mean, std), abs=1.01e-4)


@pytest.mark.parametrize(
    ("name", "orders"),
    [
        ("sde", (0.93, 0.96)),
        ("ode", (0.98, 0.99)),
        ("dbim2", (2.03, 2.04)),
        ("sde2m", (2.06, 2.03)),
    ],
)
def test_order_of_convergence(name: str, orders: tuple[float, float]) -> None:
    errors = [_error_of_std(name, steps) for steps in (40, 80, 160)]
    measured = [math.log2(coarse / fine) for coarse, fine in pairwise(errors)]
    assert measured == pytest.approx(orders, abs=0.015)


def test_third_order_converges_faster_down_to_the_error_of_its_start() -> None:
    coarse, medium, fine, finest = (_error_of_std("dbim3", steps) for steps in (20, 40, 80, 160))
    assert math.log2(coarse / medium) > 4
    assert math.log2(medium / fine) > 4
    assert finest == pytest.approx(5.6e-6, abs=1e-6)


def _error_of_std(name: str, steps: int) -> float:
    """Equal steps of log-SNR down to 1e-4: at 1e-3 the last estimate alone would miss 4e-5."""
    low, high = (
        GMAX.signal_to_noise(torch.tensor([0.999, 1e-4], dtype=torch.float64)).log().tolist()
    )
    times = GMAX.time_at(torch.linspace(low, high, steps + 1, dtype=torch.float64).exp())
    times = torch.cat([times, times.new_zeros(1)])
    return abs(moments(SAMPLERS[name].sample, GMAX, times, start="booted")[1] - 0.5)


def test_the_twin_reaches_the_data_too() -> None:
    process = DiffusionProcess(VPSchedule(0.1, 19.9))
    times = time_grid(200, kind="logsnr", process=process)
    for sample in (sample_sde, DBIM2, DBIM3, sample_sde2m):
        assert moments(sample, process, times) == pytest.approx((0.3, 0.5), abs=0.02)
    assert moments(sample_heun, process, time_grid(200, kind="karras")) == pytest.approx(
        (0.3, 0.5), abs=0.02
    )
