from __future__ import annotations

import inspect
import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from fbridge.alignment import DDPMSchedule, SNRAlignment, cogvideox_alphas_cumprod
from fbridge.errors import ConfigError
from fbridge.process import Process
from fbridge.sampling import (
    SAMPLERS,
    Sampler,
    Start,
    Step,
    build_sampler,
    sample_dbim,
    sample_heun,
    sample_ode,
    sample_sde,
    sample_sde2m,
    seeded_noise,
    time_grid,
)
from tests.oracles import (
    BRIDGES,
    GaussianOracle,
    KnownVideo,
    blank_condition,
    moments,
)
from tests.strategies import videos

GMAX = BRIDGES["gmax"]


def _first_state(start: Start, process: Process = GMAX) -> Tensor:
    seen: list[Tensor] = []

    def denoiser(x: Tensor, _t: Tensor, _prior: Tensor, _condition: object, /) -> Tensor:
        seen.append(x)
        return torch.full_like(x, 0.7)

    sample_ode(
        denoiser,
        process,
        videos(2, 1),
        time_grid(3),
        blank_condition(2),
        noise=seeded_noise([1, 2]),
        start=start,
    )
    return seen[-3]


def test_a_noised_start_looks_to_an_aligned_network_as_training_did() -> None:
    prior, t = videos(2, 1), time_grid(3)[:1].expand(2)
    alignment = SNRAlignment(GMAX, DDPMSchedule(cogvideox_alphas_cumprod(3.0)))

    def loudness(start: Start) -> float:
        return float(alignment.latent(_first_state(start), prior, t).square().mean().sqrt())

    assert loudness("exact") == pytest.approx(
        0.00894 * float(prior.square().mean().sqrt()), rel=1e-3
    )
    eps = seeded_noise([1, 2])(prior.shape).double()
    assert loudness("noised") == pytest.approx(float(eps.square().mean().sqrt()), rel=0.01)


def test_starts() -> None:
    prior, t = videos(2, 1), time_grid(3)[:1].expand(2)
    eps = seeded_noise([1, 2])(prior.shape).double()
    assert torch.equal(_first_state("exact"), prior)
    assert torch.equal(_first_state("noised"), GMAX.sample(prior, prior, t, eps))
    known = torch.full_like(prior, 0.7)
    assert torch.equal(_first_state("booted"), GMAX.sample(known, prior, t, eps))
    with pytest.raises(ValueError, match="'cold'"):
        _first_state("cold")  # type: ignore[arg-type]


def _with_seeds(sampler: Sampler, seeds: list[int], dtype: torch.dtype = torch.float64) -> Tensor:
    prior = torch.stack([videos(1, seed)[0] for seed in seeds]).to(dtype)
    return sampler.sample(
        GaussianOracle(GMAX),
        GMAX,
        prior,
        time_grid(4),
        blank_condition(len(seeds)),
        noise=seeded_noise(seeds),
    )


@pytest.mark.parametrize("name", list(SAMPLERS))
def test_video_seven_does_not_know_its_batch(name: str) -> None:
    alone, among = (
        _with_seeds(SAMPLERS[name], [7]),
        _with_seeds(SAMPLERS[name], [3, 7, 1, 8, 2, 9, 4, 6]),
    )
    assert torch.equal(alone[0], among[1])
    assert not torch.allclose(among[0], among[1])


def test_seeded_noise() -> None:
    shape = torch.Size([2, 3, 50, 10, 10])
    source = seeded_noise([7, 8], dtype=torch.float64)
    first, second = source(shape), source(shape)
    assert first.dtype == torch.float64
    assert torch.equal(first, seeded_noise([7, 8])(shape).double())
    assert not torch.equal(first, second)
    assert not torch.equal(first[0], first[1])
    assert float(first.mean()) == pytest.approx(0, abs=0.02)
    assert float(first.std()) == pytest.approx(1, abs=0.02)
    with pytest.raises(ValueError, match="3 videos but there are 2 seeds"):
        source(torch.Size([3, 4]))


@pytest.mark.parametrize("name", list(SAMPLERS))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_videos_keep_their_dtype(name: str, dtype: torch.dtype) -> None:
    result = _with_seeds(SAMPLERS[name], [1, 2], dtype)
    assert result.dtype == dtype
    coarse = 0.3 if dtype == torch.bfloat16 else 1e-4
    torch.testing.assert_close(
        result.double(), _with_seeds(SAMPLERS[name], [1, 2]), rtol=0, atol=coarse
    )


@pytest.mark.parametrize("name", list(SAMPLERS))
def test_reports_and_calls(name: str) -> None:
    calls: list[float] = []

    def denoiser(x: Tensor, t: Tensor, _prior: Tensor, _condition: object, /) -> Tensor:
        assert t.shape == (2,)
        assert t.dtype == torch.float64
        calls.append(float(t[0]))
        return torch.zeros_like(x)

    times = time_grid(5)
    prior = videos(2, 0)
    reports: list[Step] = []
    result = SAMPLERS[name].sample(
        denoiser,
        GMAX,
        prior,
        times,
        blank_condition(2),
        noise=seeded_noise([1, 2]),
        on_step=reports.append,
    )
    assert len(calls) == SAMPLERS[name].nfe(5)
    assert [(report.number, report.total) for report in reports] == [(n, 5) for n in range(1, 6)]
    assert [report.time for report in reports] == times[1:].tolist()
    assert torch.equal(reports[-1].state, result)
    assert torch.equal(prior, videos(2, 0))
    if name != "heun":
        assert calls == times[:-1].tolist()


def test_reported_states_are_not_overwritten_later() -> None:
    kept: list[tuple[Tensor, Tensor]] = []
    _known = partial(
        sample_sde, GaussianOracle(GMAX), GMAX, videos(1, 0), time_grid(4), blank_condition()
    )
    _known(
        noise=seeded_noise([0]), on_step=lambda step: kept.append((step.state, step.state.clone()))
    )
    assert all(torch.equal(state, copy) for state, copy in kept)


@pytest.mark.parametrize(
    "times",
    [
        torch.tensor([0.9, 0.5]),
        torch.tensor([0.9, 0.5], dtype=torch.float64),
        torch.tensor([0.5, 0.9, 0.0], dtype=torch.float64),
        torch.tensor([1.1, 0.0], dtype=torch.float64),
        torch.tensor([0.0], dtype=torch.float64),
    ],
)
def test_impossible_times_are_refused(times: Tensor) -> None:
    for sampler in SAMPLERS.values():
        with pytest.raises(ValueError, match="times"):
            sampler.sample(
                KnownVideo(videos(1, 0)),
                GMAX,
                videos(1, 0),
                times,
                blank_condition(),
                noise=seeded_noise([0]),
            )


def test_heun_cannot_begin_at_the_prior_itself() -> None:
    with pytest.raises(ValueError, match="begin below"):
        moments(sample_heun, GMAX, torch.tensor([1.0, 0.0], dtype=torch.float64))


@pytest.mark.parametrize(
    ("sample", "options", "message"),
    [
        (sample_dbim, {"eta": 1.5}, "eta is 1.5"),
        (sample_dbim, {"order": 4}, "order is 4"),
        (sample_dbim, {"order": 2, "eta": 0.1}, "needs eta = 0"),
        (sample_sde, {"temperature": 0.0}, "temperature is 0.0"),
        (sample_heun, {"churn": 1.0}, "churn is 1.0"),
    ],
)
def test_impossible_numbers_are_refused(sample: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        moments(sample, GMAX, time_grid(3), **options)


def test_every_sampler_has_the_one_signature() -> None:
    functions = [sample_dbim, sample_heun, sample_ode, sample_sde, sample_sde2m]
    (signature,) = {str(inspect.signature(function)) for function in functions}
    assert signature.startswith("(denoiser: 'Denoiser', process: 'Process', prior: 'Tensor', times")
    assert [getattr(function, "__name__", "") for function in functions] == [
        "sample_dbim", "sample_heun", "sample_ode", "sample_sde", "sample_sde2m",
    ]  # fmt: skip
    with pytest.raises(TypeError, match=r"sample_ode\(\) got an unexpected .* 'churn'"):
        moments(sample_ode, GMAX, time_grid(3), churn=0.5)


def test_samplers_by_name() -> None:
    times = time_grid(6)
    assert moments(build_sampler("sde", temperature=2.0).sample, GMAX, times) == moments(
        sample_sde, GMAX, times, temperature=2.0
    )
    assert moments(build_sampler("dbim", eta=0.5).sample, GMAX, times) == moments(
        sample_dbim, GMAX, times, eta=0.5
    )
    assert moments(build_sampler("dbim3").sample, GMAX, times) == moments(
        sample_dbim, GMAX, times, order=3
    )
    assert build_sampler("heun", churn=0.0).nfe(10) == 19
    assert build_sampler("dbim", eta=0.5).defaults == {"eta": 0.5}


@pytest.mark.parametrize(
    ("name", "numbers", "message"),
    [
        ("euler", {}, "'euler' is unknown; known are sde"),
        ("sde", {"eta": 1.0}, "no number 'eta'; it has temperature"),
        ("dbim", {"eta": math.nan}, "eta is nan"),
        ("ode", {"churn": 0.1}, "it has none"),
    ],
)
def test_mistakes_in_names_are_named(name: str, numbers: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_sampler(name, **numbers)
