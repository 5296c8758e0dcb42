"""Intervals: how often they hold the truth, and when there are none."""

from __future__ import annotations

import pytest
import torch

from fbridge.evaluation.distances.frechet import frechet_distance
from fbridge.evaluation.intervals import jackknife_interval, mean_interval, wilson_interval


@pytest.mark.parametrize(("clips", "features", "shift"), [(64, 8, 0.5), (40, 80, 1.0)])
def test_the_jackknife_holds_what_is_expected_at_this_number(
    clips: int, features: int, shift: float
) -> None:
    """Also with fewer clips than features, where covariances have no full rank."""
    generator = torch.Generator().manual_seed(5)

    def draw(wide: float) -> torch.Tensor:
        return wide * torch.randn(clips, features, generator=generator, dtype=torch.float64)

    pairs = [(draw(1.0) + shift, draw(1.3)) for _ in range(25)]
    expected = sum(frechet_distance(*pair) for pair in pairs) / len(pairs)
    found = [jackknife_interval(frechet_distance, *pair) for pair in pairs]
    held = sum(one is not None and one.low <= expected <= one.high for one in found)
    assert held >= 21  # 85 of 100
    assert found[0] is not None
    assert found[0].low < frechet_distance(*pairs[0]) < found[0].high
    assert "jackknife" in found[0].method


def test_few_clips_have_no_interval() -> None:
    rows = torch.randn(19, 3)
    assert jackknife_interval(frechet_distance, rows, torch.randn(50, 3)) is None
    assert mean_interval(torch.arange(7.0)) is None
    assert wilson_interval(0, 0) is None


def test_the_bootstrap_of_a_mean_holds_it() -> None:
    generator = torch.Generator().manual_seed(1)
    held = 0
    for _ in range(60):
        found = mean_interval(torch.rand(40, generator=generator))
        assert found is not None
        held += found.low <= 0.5 <= found.high
        assert found.level == 0.95
    assert held >= 52
    assert mean_interval(torch.arange(20.0)) == mean_interval(torch.arange(20.0))


def test_wilson_against_known_values() -> None:
    """Wilson 1927: 8 of 10 is 0.490 to 0.943, 0 of 10 is 0 to 0.278."""
    some, none = wilson_interval(8, 10), wilson_interval(0, 10)
    assert some is not None
    assert none is not None
    assert some.low == pytest.approx(0.4902, abs=1e-4)
    assert some.high == pytest.approx(0.9433, abs=1e-4)
    assert none.high == pytest.approx(0.2775, abs=1e-4)
    for trials in range(1, 40):
        none, every = wilson_interval(0, trials), wilson_interval(trials, trials)
        assert none is not None
        assert every is not None
        assert 0 <= none.low < 1e-15
        assert 1 - 1e-15 < every.high <= 1
