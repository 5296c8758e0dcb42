"""What the watch calls a spike, and what it lets by."""

from __future__ import annotations

import pytest

from fbridge.train.divergence import FEWEST, WINDOW, DivergenceGuard, TrainingError


def told(watch: DivergenceGuard, *losses: float) -> None:
    for loss in losses:
        watch.check(loss, TrainingError)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("factor", [0.0, 20.0])
def test_what_is_not_finite_always_stops(bad: float, factor: float) -> None:
    watch = DivergenceGuard(factor)
    told(watch, 1.0)
    with pytest.raises(TrainingError, match=f"the loss is {bad}"):
        told(watch, bad)
    assert list(watch.losses) == [1.0]


def test_a_spike_is_so_many_medians_of_the_last() -> None:
    watch = DivergenceGuard(20.0, [1.0, 3.0] * 10 + [2.0])
    told(watch, 39.9)
    with pytest.raises(TrainingError, match=r"the loss is 60, 24 times the usual"):
        told(watch, 60.0)
    assert watch.losses[-1] == 39.9


def test_a_few_losses_are_no_ground_to_judge_by() -> None:
    watch = DivergenceGuard(2.0, [1.0] * (FEWEST - 1))
    told(watch, 50.0)
    with pytest.raises(TrainingError, match="times the usual"):
        told(watch, 50.0)


def test_zero_lets_every_spike_by() -> None:
    watch = DivergenceGuard(0.0, [1.0] * 50)
    told(watch, 1e9)
    assert watch.losses[-1] == 1e9


def test_only_the_last_ones_count() -> None:
    watch = DivergenceGuard(2.0, [100.0] * 60 + [1.0] * WINDOW)
    assert len(watch.losses) == WINDOW
    with pytest.raises(TrainingError):
        told(watch, 3.0)


def test_losses_of_zero_make_nothing_a_spike() -> None:
    watch = DivergenceGuard(2.0, [0.0] * 50)
    told(watch, 1e-3)
