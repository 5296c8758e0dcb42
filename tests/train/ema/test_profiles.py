"""Power-function profiles against their own definition, integrated numerically."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.integrate import quad

from fbridge.train.ema.profiles import LONGEST, coefficients, decay, exponent, products


def weigh(gamma: float, end: float, t: float) -> float:
    return (gamma + 1) * t**gamma / end ** (gamma + 1) if t <= end else 0.0


@pytest.mark.parametrize("length", [0.01, 0.05, 0.1, 0.2, 0.28])
def test_the_relative_length_is_the_standard_deviation(length: float) -> None:
    gamma = exponent(length)
    mean = quad(lambda t: t * weigh(gamma, 1, t), 0, 1)[0]
    variance = quad(lambda t: (t - mean) ** 2 * weigh(gamma, 1, t), 0, 1)[0]
    assert math.sqrt(variance) == pytest.approx(length, rel=1e-6)


def test_the_exponents_of_the_paper() -> None:
    assert exponent(0.05) == pytest.approx(16.97, abs=0.005)
    assert exponent(0.10) == pytest.approx(6.94, abs=0.005)


@pytest.mark.parametrize("length", [0.0, -0.1, LONGEST, 0.5])
def test_a_length_that_cannot_be_is_refused(length: float) -> None:
    with pytest.raises(ValueError, match=r"below 0\.2887, not"):
        exponent(length)


@pytest.mark.parametrize("length", [0.05, 0.1, 0.25])
def test_decays_multiply_to_the_profile(length: float) -> None:
    kept, end = 1.0, 40
    for step in range(end, 0, -1):
        own = kept * (1 - decay(length, step))
        gamma = exponent(length)
        assert own == pytest.approx((step / end) ** (gamma + 1) - ((step - 1) / end) ** (gamma + 1))
        kept *= decay(length, step)
    assert kept == 0.0


def test_products_are_the_integrals() -> None:
    profiles = [(16.97, 100.0), (6.94, 100.0), (6.94, 300.0), (0.0, 170.0), (2.5, 20.0)]
    got = products(*[torch.tensor(profiles, dtype=torch.float64)] * 2)
    for i, (a, s) in enumerate(profiles):
        for j, (b, t) in enumerate(profiles):
            whole = quad(lambda x: weigh(a, s, x) * weigh(b, t, x), 0, min(s, t))[0]  # noqa: B023
            assert got[i, j].item() == pytest.approx(whole, rel=1e-7)


KNOWN = [(length, end) for end in range(20, 201, 20) for length in (0.05, 0.1)]


@pytest.mark.parametrize("length", [0.03, 0.07, 0.15, 0.25])
def test_coefficients_sum_to_one(length: float) -> None:
    assert coefficients(KNOWN, (length, 200)).sum().item() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("length", [0.07, 0.15])
def test_no_other_sum_of_one_is_nearer(length: float) -> None:
    best = coefficients(KNOWN, (length, 200))
    t = torch.arange(0.005, 200, 0.01, dtype=torch.float64)  # middles of 20000 intervals
    basis = torch.stack([_sampled(own, t) for own in KNOWN])
    aim = _sampled((length, 200), t)

    def error(factors: torch.Tensor) -> float:
        return float((factors @ basis - aim).square().mean())

    chance = torch.Generator().manual_seed(1)
    for _ in range(20):
        change = torch.randn(len(KNOWN), generator=chance, dtype=torch.float64)
        assert error(best + 0.01 * (change - change.mean())) > error(best)


def _sampled(profile: tuple[float, int], t: torch.Tensor) -> torch.Tensor:
    gamma, end = exponent(profile[0]), float(profile[1])
    return torch.where(t <= end, (gamma + 1) * (t / end) ** gamma / end, 0.0)


def test_a_known_one_is_taken_as_it_is() -> None:
    factors = coefficients(KNOWN, (0.1, 120))
    assert factors.tolist() == [float(own == (0.1, 120)) for own in KNOWN]


def test_long_runs_stay_well_behaved() -> None:
    """500 snapshots of a run of 100,000 steps, in which rounding must not be blown up."""
    known = [(length, end) for end in range(200, 100_001, 200) for length in (0.05, 0.1)]
    factors = coefficients(known, (0.15, 100_000))
    assert factors.sum().item() == pytest.approx(1, abs=1e-6)
    assert factors.abs().sum().item() < 3
