from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from hypothesis import given
from torch import Tensor

from fbridge.alignment import DDPMSchedule, FlowSchedule, SNRAlignment, cogvideox_alphas_cumprod
from fbridge.parameterization import PREDICTIONS, Parameterization, preconditioned
from fbridge.process import BridgeProcess, DiffusionProcess, Process, over
from tests.oracles import BRIDGES, predicts
from tests.strategies import bridges, times, videos

VP_BASE = DDPMSchedule(cogvideox_alphas_cumprod(3.0))
ALL: dict[str, Callable[[Process], Parameterization]] = {
    "clean": partial(predicts, "clean"),
    "psi": partial(predicts, "psi-noise"),
    "aligned psi": partial(predicts, "aligned-psi-noise", base=VP_BASE),
    "aligned v": partial(predicts, "aligned-v", base=VP_BASE),
    "aligned noise": partial(predicts, "aligned-noise", base=VP_BASE),
    "aligned flow": partial(predicts, "aligned-flow", base=FlowSchedule()),
    "preconditioned": lambda process: Parameterization(process, preconditioned(0.9, 0.7, 0.5)),
}


def _state(process: Process, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    clean, prior, noise = (videos(len(t), seed) for seed in range(3))
    return clean, prior, noise, process.sample(clean, prior, t, noise)


@pytest.mark.parametrize("name", list(ALL))
@given(process=bridges(), t=times())
def test_clean_inverts_target(name: str, process: BridgeProcess, t: Tensor) -> None:
    for each in (process, DiffusionProcess(process.schedule)):
        parameterization = ALL[name](each)
        clean, prior, _, x = _state(each, t)
        target = parameterization.target(clean, prior, x, t)
        found = parameterization.clean(target, x, prior, t)
        torch.testing.assert_close(found, clean, rtol=0, atol=1e-12)
        wrong = parameterization.clean(target + 1, x, prior, t)
        assert not torch.allclose(wrong, clean, rtol=0, atol=1e-6)


@given(bridges(), times())
def test_psi_noise_is_a_residual_to_the_prior(process: BridgeProcess, t: Tensor) -> None:
    clean, prior, noise, x = _state(process, t)
    one = torch.ones_like(t)
    rho, top = process.schedule.rho(t), process.schedule.rho(one)
    way = prior / over(process.schedule.alpha(one), x) - clean
    left = torch.sqrt(1 - (rho / top).square())
    expected = over(rho / top.square(), x) * way + over(left, x) * noise
    found = predicts("psi-noise", process).target(clean, prior, x, t)
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(
    ("i", "residual", "noisy"),
    [(499, 0.0999, 0.8663), (899, 0.1798, 0.4377), (999, 0.1998, 0.0447)],
)
def test_psi_noise_published_weights(i: int, residual: float, noisy: float) -> None:
    process = BRIDGES["gmax"]
    t = torch.tensor([(i + 1) / 1001], dtype=torch.float64)
    unit = torch.ones(1, 1, 1, 1, 1, dtype=torch.float64)
    zero = torch.zeros_like(unit)
    parameterization = predicts("psi-noise", process)

    def target(clean: Tensor, prior: Tensor, noise: Tensor) -> float:
        return float(
            parameterization.target(clean, prior, process.sample(clean, prior, t, noise), t)
        )

    assert target(zero, unit, zero) == pytest.approx(residual, abs=5.1e-5)
    assert target(unit, zero, zero) == pytest.approx(-residual, abs=5.1e-5)
    assert target(zero, zero, unit) == pytest.approx(noisy, abs=5.1e-5)


@given(bridges(), times())
def test_v_is_the_bases_own_target(process: BridgeProcess, t: Tensor) -> None:
    clean, prior, noise, x = _state(process, t)
    parameterization = ALL["aligned v"](process)
    c = process.coefficients(t)
    angle = torch.atan2(c.noise, c.data)
    latent = parameterization.inputs(x, prior, t).latent
    expected_latent = over(angle.cos(), x) * clean + over(angle.sin(), x) * noise
    torch.testing.assert_close(latent, expected_latent, rtol=0, atol=1e-11)
    expected = over(angle.cos(), x) * noise - over(angle.sin(), x) * clean
    found = parameterization.target(clean, prior, x, t)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


@given(bridges(), times())
def test_flow_velocity_is_noise_less_clean(process: BridgeProcess, t: Tensor) -> None:
    clean, prior, noise, x = _state(process, t)
    found = ALL["aligned flow"](process).target(clean, prior, x, t)
    torch.testing.assert_close(found, noise - clean, rtol=0, atol=1e-10)


@given(bridges(), times())
def test_preconditioning_gives_unit_variances_and_the_best_skip(
    process: BridgeProcess, t: Tensor
) -> None:
    """Vectors whose inner products are the covariances stand for clean, prior and noise."""
    first, second, both = 0.9, 0.7, 0.5
    side = (second - both**2 / first) ** 0.5
    clean, prior, noise = (
        torch.tensor(vector, dtype=torch.float64).view(1, 3, 1, 1, 1).expand(len(t), -1, -1, -1, -1)
        for vector in ([first**0.5, 0, 0], [both / first**0.5, side, 0], [0.0, 0, 1])
    )
    parameterization = Parameterization(process, preconditioned(first, second, both))
    x = process.sample(clean, prior, t, noise)
    given = parameterization.inputs(x, prior, t).latent.flatten(1)
    target = parameterization.target(clean, prior, x, t).flatten(1)
    one = torch.ones_like(t)
    torch.testing.assert_close(given.square().sum(1), one, rtol=0, atol=1e-10)
    torch.testing.assert_close(target.square().sum(1), one, rtol=0, atol=1e-8)
    torch.testing.assert_close((given * target).sum(1), 0 * one, rtol=0, atol=1e-8)


def test_what_the_network_is_told_of_time() -> None:
    t = torch.tensor([0.2, 0.9], dtype=torch.float64)
    process = BRIDGES["gmax"]
    _, prior, _, x = _state(process, t)
    times_told = {name: build(process).inputs(x, prior, t).time for name, build in ALL.items()}
    for name in ("clean", "psi"):
        torch.testing.assert_close(times_told[name], 1000 * t)
        assert ALL[name](process).inputs(x, prior, t).latent is x
    own = SNRAlignment(process, VP_BASE).time(t)
    torch.testing.assert_close(times_told["aligned psi"], own)
    torch.testing.assert_close(times_told["aligned v"], own)
    torch.testing.assert_close(
        times_told["aligned flow"], SNRAlignment(process, FlowSchedule()).time(t)
    )
    torch.testing.assert_close(times_told["preconditioned"], 250 * t.log())


def test_float32_videos_stay_float32() -> None:
    t = torch.tensor([0.5], dtype=torch.float64)
    process = BRIDGES["gmax"]
    clean, prior, _, x = (video.float() for video in _state(process, t))
    for build in ALL.values():
        parameterization = build(process)
        assert parameterization.inputs(x, prior, t).latent.dtype == torch.float32
        target = parameterization.target(clean, prior, x, t)
        assert target.dtype == torch.float32
        assert parameterization.clean(target, x, prior, t).dtype == torch.float32


def test_impossible_variances_are_refused() -> None:
    with pytest.raises(ValueError, match="must be positive"):
        preconditioned(0.0, 1.0, 0.0)
    with pytest.raises(ValueError, match="covariance"):
        preconditioned(1.0, 1.0, 1.1)


@pytest.mark.parametrize("name", list(PREDICTIONS))
def test_alignment_is_given_where_the_prediction_needs_it(name: str) -> None:
    aligned = name.startswith("aligned-")
    predicts(name, BRIDGES["gmax"], VP_BASE if aligned else None)
    with pytest.raises(ValueError, match="needs alignment but none" if aligned else "has no"):
        predicts(name, BRIDGES["gmax"], None if aligned else VP_BASE)
