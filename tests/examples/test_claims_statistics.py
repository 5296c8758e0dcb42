"""Scores and tests of the table of claims, against closed forms and other implementations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats

from examples.claims.scores import decibels, energy_score, motion, spread
from examples.claims.statistics import (
    Estimate,
    detectable,
    estimate,
    holm,
    most_less_least,
    quarters,
    verdict,
)


def normal_score(mean: float, wide: float) -> float:
    """E|X - y| - 1/2 E|X - X'| for X ~ N(mean, wide^2) and y ~ N(0, 1), in one dimension."""
    sd = math.sqrt(wide**2 + 1)
    folded = sd * math.sqrt(2 / math.pi) * math.exp(-(mean**2) / (2 * sd**2))
    folded += mean * (1 - 2 * stats.norm.cdf(-mean / sd))
    return float(folded - wide / math.sqrt(math.pi))


@pytest.mark.parametrize(("mean", "wide"), [(0.0, 1.0), (0.0, 0.3), (0.7, 1.0), (-0.4, 2.0)])
@pytest.mark.parametrize("draws", [2, 5])
def test_the_energy_score_of_a_normal_distribution(mean: float, wide: float, draws: int) -> None:
    generator = torch.Generator().manual_seed(3)
    true = torch.randn(200_000, 1, generator=generator, dtype=torch.float64)
    drawn = mean + wide * torch.randn(draws, 200_000, 1, generator=generator, dtype=torch.float64)
    found = energy_score(drawn, true)
    error = 4 * float(found.std()) / math.sqrt(len(found))
    assert float(found.mean()) == pytest.approx(normal_score(mean, wide), abs=error)


def test_the_truth_scores_best_and_a_mean_does_not() -> None:
    scores = {(mean, wide): normal_score(mean, wide)
              for mean in (-0.5, 0.0, 0.5) for wide in (0.01, 0.5, 1.0, 1.5)}  # fmt: skip
    assert min(scores, key=lambda own: scores[own]) == (0.0, 1.0)


def test_a_score_is_in_units_of_the_latents() -> None:
    draws = torch.zeros(2, 3, 4, 2, 8, 8)
    draws[1] = 2.0
    true = torch.full((3, 4, 2, 8, 8), 1.0)
    assert spread(draws).tolist() == [2.0] * 3
    assert energy_score(draws, true).tolist() == [0.0] * 3


def test_motion_and_decibels() -> None:
    frames = torch.zeros(2, 3, 2, 2, 3, dtype=torch.uint8)
    frames[1, 1:] = 10
    assert motion(frames).tolist() == [0.0, 5.0]
    assert decibels(frames[1:, 1:], frames[:1, 1:])[0] == pytest.approx(
        10 * math.log10(255**2 / 100)
    )


def test_the_interval_holds_the_truth_over_other_seeds_and_scenes() -> None:
    rng, held, zero = np.random.default_rng(0), 0, 0
    for _ in range(400):
        seeds, scenes = rng.normal(0, 0.3, (3, 1)), rng.normal(0, 1, (1, 24))
        found = estimate(0.5 + seeds + scenes + rng.normal(0, 0.5, (3, 24)))
        low, high = found.interval
        held += low <= 0.5 <= high
        zero += found.scenes[0] <= 0.5 <= found.scenes[1]
    assert held >= 376  # 94 of 100
    assert zero < held


def test_one_seed_decides_nothing() -> None:
    found = estimate(np.full((1, 8), -0.5) + np.arange(8) / 100)
    assert found.p_different == found.p_equal(1.0) == 1.0
    assert verdict(found, 1.0, "lower", 1.0) == "not decided at this scale"
    assert found.scenes[1] < 0


def test_holm() -> None:
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}, family=4)
    assert found == pytest.approx({"d": 0.02, "a": 0.03, "c": 0.06, "b": 0.06})
    assert holm({"a": 0.01}, family=10) == pytest.approx({"a": 0.1})


def around(value: float, error: float) -> Estimate:
    return Estimate(value, error, 30.0, (0, 0), (0, 0))


@pytest.mark.parametrize(
    ("value", "error", "expects", "answer"),
    [
        (-0.10, 0.01, "lower", "holds"),
        (0.10, 0.01, "lower", "does not hold"),
        (0.00, 0.01, "lower", "does not hold"),
        (-0.03, 0.03, "lower", "not decided at this scale"),
        (0.00, 0.01, "equal", "holds"),
        (0.10, 0.01, "equal", "does not hold"),
        (0.04, 0.02, "equal", "not decided at this scale"),
    ],
)
def test_verdicts(value: float, error: float, expects: str, answer: str) -> None:
    found = around(value, error)
    p = found.p_equal(0.05) if expects == "equal" else found.p_different
    assert verdict(found, 1.0, expects, p) == answer


def test_quarters_of_motion() -> None:
    moving = np.array([3.0, 0.0, 2.0, 1.0, 7.0, 6.0, 5.0, 4.0])
    assert quarters(moving).tolist() == [1, 0, 1, 0, 3, 3, 2, 2]
    difference = np.where(quarters(moving) == 3, -1.0, 0.5)[None] + np.zeros((3, 1))
    assert most_less_least(difference, moving).mean() == pytest.approx(-1.5)


def test_the_pilots_promise() -> None:
    reach = float(stats.t.ppf(0.975, 2) + stats.t.ppf(0.8, 2))
    found = detectable([np.array([[0.98], [1.0], [1.02]]), np.array([[1.96], [2.0], [2.04]])])
    assert found.seeds == pytest.approx(0.02)
    assert found.seen == pytest.approx(reach * 0.02 * math.sqrt(2 / 3))
    pairs = np.array([[1.0, 1.0], [1.1, 0.9], [0.9, 1.1]])  # differ by scenes, not in their means
    found = detectable([pairs, pairs])
    assert found.seeds == pytest.approx(0)
    assert found.scenes == pytest.approx(0.2 / math.sqrt(2))


def test_a_promised_difference_is_found() -> None:
    """A difference of the size that the pilot promises is significant in about 8 of 10 cases."""
    rng, found = np.random.default_rng(1), 0
    promise = detectable([_drawn(rng, 1.0) for _ in range(200)])
    for _ in range(300):
        found += estimate(_drawn(rng, 1.0 - promise.seen) - _drawn(rng, 1.0)).p_different < 0.05
    assert 0.7 < found / 300 < 0.95


def _drawn(rng: np.random.Generator, mean: float) -> NDArray[np.float64]:
    return mean + rng.normal(0, 0.01, (3, 1)) + rng.normal(0, 0.05, (3, 24))
