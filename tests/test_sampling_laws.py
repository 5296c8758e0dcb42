from __future__ import annotations

from functools import partial
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fbridge.process import BridgeProcess
from fbridge.sampling import (
    GridKind,
    Step,
    sample_dbim,
    sample_ode,
    sample_sde,
    seeded_noise,
    time_grid,
)
from tests.oracles import (
    BRIDGES,
    Impulses,
    KnownVideo,
    blank_condition,
    mean_and_std,
)
from tests.strategies import bridges, videos

GMAX = BRIDGES["gmax"]


@given(bridges(), st.floats(0.0, 1.0), st.sampled_from(["trailing", "uniform", "karras"]))
def test_any_eta_keeps_the_marginals(process: BridgeProcess, eta: float, kind: GridKind) -> None:
    times = time_grid(6, kind=kind)
    clean, prior = 0.7, -0.4
    reports = _known_path(process, times, clean, prior, eta)
    assert [report.number for report in reports] == [1, 2, 3, 4, 5, 6]
    for report in reports[:-1]:
        c = process.coefficients(torch.tensor([report.time], dtype=torch.float64))
        mean, std = mean_and_std(report.state)
        assert std == pytest.approx(float(c.noise), rel=1e-12, abs=1e-12)
        centre = float(c.data) * clean + float(c.prior) * prior
        assert mean == pytest.approx(centre, abs=1e-12)
    assert mean_and_std(reports[-1].state) == pytest.approx((clean, 0.0), abs=1e-12)


def _known_path(
    process: BridgeProcess, times: Tensor, clean: float, prior: float, eta: float
) -> list[Step]:
    rows = len(times) + 1
    denoiser = KnownVideo(torch.full((1, 1, 1, 1, 1), clean, dtype=torch.float64))
    reports: list[Step] = []
    sample_dbim(
        denoiser,
        process,
        torch.full((rows, 1, 1, 1, 1), prior, dtype=torch.float64),
        times,
        blank_condition(rows),
        noise=Impulses(rows),
        eta=eta,
        start="booted",
        on_step=reports.append,
    )
    return reports


@given(bridges(), st.integers(1, 9))
def test_eta_one_is_the_repinned_posterior(process: BridgeProcess, steps: int) -> None:
    """Step by step against the bridge cut at the present time, with the sampler's own noises."""
    times = time_grid(steps, kind="uniform")
    clean, prior = videos(2, 1), videos(2, 2)
    noise = seeded_noise([3, 4], dtype=torch.float64)
    x = process.sample(prior, prior, times[:1].expand(2), noise(prior.shape))
    for s, t in pairwise(times[:-1]):
        c = process.coefficients(t.expand(2), end=s.expand(2)).over(x)
        x = c.data * clean + c.prior * x + c.noise * noise(prior.shape)
    last: list[Step] = []
    for sample in (partial(sample_dbim, eta=1.0), sample_sde):
        noise = seeded_noise([3, 4], dtype=torch.float64)
        result = sample(
            KnownVideo(clean),
            process,
            prior,
            times,
            blank_condition(2),
            noise=noise,
            on_step=last.append,
        )
        assert torch.equal(result, clean)
        reached = last[-2].state if steps > 1 else x
        torch.testing.assert_close(reached, x, rtol=0, atol=1e-11)


@given(bridges())
def test_ode_moves_along_the_flow(process: BridgeProcess) -> None:
    """Under a known video each state is x_t = data x_0 + prior x_1 + noise eps, eps the same."""
    times = time_grid(30, kind="uniform")
    clean, prior = videos(1, 1), videos(1, 2)
    reports: list[Step] = []
    source = seeded_noise([5], dtype=torch.float64)
    sample_ode(
        KnownVideo(clean),
        process,
        prior,
        times,
        blank_condition(),
        noise=source,
        start="booted",
        on_step=reports.append,
    )
    eps = seeded_noise([5], dtype=torch.float64)(prior.shape)
    for report in reports[:-1]:
        t = torch.tensor([report.time], dtype=torch.float64)
        torch.testing.assert_close(
            report.state, process.sample(clean, prior, t, eps), rtol=0, atol=1e-10
        )


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_a_grid_may_begin_at_the_prior_itself(eta: float) -> None:
    times = torch.tensor([1.0, 0.8, 0.4, 0.0], dtype=torch.float64)
    clean, prior = 0.7, -0.4
    reports = _known_path(GMAX, times, clean, prior, eta)
    for report in reports[:-1]:
        c = GMAX.coefficients(torch.tensor([report.time], dtype=torch.float64))
        centre = float(c.data) * clean + float(c.prior) * prior
        assert mean_and_std(report.state) == pytest.approx((centre, float(c.noise)), abs=1e-12)


@pytest.mark.parametrize("order", [2, 3])
def test_high_orders_are_exact_for_estimates_polynomial_in_log_snr(order: int) -> None:
    """Variation of constants for the estimate L^(order - 1), L the log-SNR, by quadrature."""
    times = time_grid(7, kind="uniform")
    clock = GMAX.signal_to_noise(times[:-1]).log()

    def denoiser(x: Tensor, t: Tensor, _prior: Tensor, _condition: object, /) -> Tensor:
        level = GMAX.signal_to_noise(t).log()[:, None, None, None, None]
        return level.pow(order - 1).expand_as(x)

    reports: list[Step] = []
    prior = torch.zeros(1, 1, 1, 1, 1, dtype=torch.float64)
    sample_dbim(
        denoiser,
        GMAX,
        prior,
        times,
        blank_condition(),
        noise=torch.zeros,
        order=order,
        on_step=reports.append,
    )
    c = GMAX.coefficients(times[:-1])
    for n in range(order - 1, 5):  # the first steps lack history
        fine = torch.linspace(float(clock[n]), float(clock[n + 1]), 20_001, dtype=torch.float64)
        integral = torch.trapezoid(torch.exp(fine - clock[n + 1]) * fine.pow(order - 1), fine)
        before = reports[n - 1].state.item()
        expected = float(c.noise[n + 1] / c.noise[n]) * before + float(c.data[n + 1] * integral)
        assert reports[n].state.item() == pytest.approx(expected, abs=1e-7)
