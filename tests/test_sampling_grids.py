from __future__ import annotations

from typing import Any

import pytest
import torch

from fbridge.sampling import (
    GridKind,
    time_grid,
)
from tests.oracles import (
    BRIDGES,
)

GMAX = BRIDGES["gmax"]


@pytest.mark.parametrize("kind", ["trailing", "uniform", "logsnr", "karras"])
@pytest.mark.parametrize("steps", [1, 2, 25, 400])
def test_grids_fall_from_start_to_exactly_zero(kind: GridKind, steps: int) -> None:
    times = time_grid(steps, kind=kind, process=GMAX)
    assert times.shape == (steps + 1,)
    assert times.dtype == torch.float64
    assert bool((times.diff() < 0).all())
    assert times[-1] == 0
    assert float(times[0]) == (1000 / 1001 if kind == "trailing" else 0.999)


@pytest.mark.parametrize("steps", [1, 3, 7, 25, 50, 64, 300, 1000])
def test_trailing_grid_is_that_of_diffusers(steps: int) -> None:
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(timestep_spacing="trailing")
    scheduler.set_timesteps(steps)
    expected = (scheduler.timesteps[:steps].double() + 1) / 1001
    assert torch.equal(time_grid(steps)[:-1], expected)


def test_grids_are_even_in_their_own_measure() -> None:
    lengths = GMAX.signal_to_noise(time_grid(9, kind="logsnr", process=GMAX)[:-1]).log().diff()
    torch.testing.assert_close(lengths, lengths[:1].expand(8), rtol=1e-9, atol=0)
    roots = (time_grid(9, kind="karras")[:-1] ** (1 / 7)).diff()
    torch.testing.assert_close(roots, roots[:1].expand(8), rtol=1e-9, atol=0)
    assert time_grid(9, kind="karras", start=0.9)[-2] == pytest.approx(1e-4)
    assert time_grid(9, kind="logsnr", process=GMAX)[-2] == pytest.approx(1e-3)


@pytest.mark.parametrize("kind", ["trailing", "uniform", "logsnr", "karras"])
@pytest.mark.parametrize("shift", [1 / 3, 3.0, 20.0])
def test_a_shift_is_that_of_flow_models_and_keeps_both_ends(kind: GridKind, shift: float) -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler

    plain = time_grid(8, kind=kind, process=GMAX)
    moved = time_grid(8, kind=kind, process=GMAX, shift=shift)
    assert moved[0] == plain[0]
    assert moved[-1] == 0
    assert bool((moved.diff() < 0).all())
    assert bool(((moved > plain) == (shift > 1))[1:-1].all())
    flow = FlowMatchEulerDiscreteScheduler(shift=shift)
    flow.set_timesteps(sigmas=(plain[:-1] / plain[0]).tolist())
    torch.testing.assert_close(moved / plain[0], flow.sigmas.double(), rtol=1e-6, atol=1e-7)


def test_no_shift_changes_no_digit() -> None:
    assert torch.equal(time_grid(7, shift=1.0), time_grid(7))
    shifted = time_grid(2, kind="uniform", start=0.8, shift=3.0)
    torch.testing.assert_close(shifted, torch.tensor([0.8, 0.6, 0.0], dtype=torch.float64))


@pytest.mark.parametrize(
    ("steps", "options", "message"),
    [
        (0, {}, "steps is 0"),
        (1001, {}, "at most 1000"),
        (5, {"kind": "linear"}, "kind is 'linear'"),
        (5, {"kind": "logsnr"}, "needs the process"),
        (5, {"kind": "uniform", "start": 1.0}, "start is 1.0"),
        (5, {"shift": 0.0}, "shift is 0.0"),
        (5, {"shift": float("inf")}, "shift is inf"),
        (5, {"kind": "karras", "start": 1e-5}, "too small"),
    ],
)
def test_impossible_grids_are_refused(steps: int, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        time_grid(steps, **options)
