"""The training loop: a run cut anywhere goes on as if it had not been."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from examples.training import fit_steps
from fbridge.train.checkpoints.reading import checkpoints, load_group, newest
from fbridge.train.ema.snapshots import snapshots
from fbridge.train.events import Begun, Ended, Saved, Stepped, Validated
from fbridge.train.loop import fit
from tests.train.sets import fresh_accelerate
from tests.train.toys import SHORT, Clips, changed, losses, model, training, weights


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    with fresh_accelerate():
        yield


def loss_of_step(network: nn.Module, step: int) -> Tensor:
    """What `fit_steps` takes: the step alone decides the batch."""
    return losses(network, Clips(torch.arange(step * 8, step * 8 + 8))).mean()


def test_it_learns(tmp_path: Path) -> None:
    net = model()
    config = changed(SHORT, steps=300, checkpoint_every=300)
    events = list(fit_steps(net, loss_of_step, config, tmp_path, decay=0.9, device="cpu"))
    reports = [event for event in events if isinstance(event, Stepped)]
    assert isinstance(events[0], Begun)
    assert events[-1] == Ended(300)
    assert [report.step for report in reports] == list(range(25, 301, 25))
    assert reports[-1].loss < 0.3 * reports[0].loss
    averaged = load_group(checkpoints(tmp_path)[-1], "ema")
    assert all(torch.equal(p, averaged[name]) for name, p in net.named_parameters())


def test_a_cut_run_of_steps_goes_on(tmp_path: Path) -> None:
    straight, again = model(), model(99)
    list(fit_steps(straight, loss_of_step, SHORT, tmp_path / "straight", device="cpu"))
    cut = fit_steps(model(), loss_of_step, SHORT, tmp_path / "cut", report_every=4, device="cpu")
    assert [type(event) for event in islice(cut, 5)] == [Begun, Stepped, Saved, Stepped, Saved]
    del cut
    begun = next(fit_steps(again, loss_of_step, SHORT, tmp_path / "cut", device="cpu"))
    assert isinstance(begun, Begun)
    assert begun.step == 10
    list(fit_steps(again, loss_of_step, SHORT, tmp_path / "cut", device="cpu"))
    assert torch.equal(weights(straight), weights(again))


@pytest.mark.parametrize("optimizer", ["adamw", "schedule-free"])
@pytest.mark.parametrize("ema", ["plain", "post-hoc", "none"])
def test_resuming_equals_never_stopping(tmp_path: Path, ema: str, optimizer: str) -> None:
    config = changed(SHORT, optimizer=optimizer, lr_schedule="cosine", checkpoint_every=10)
    list(fit(training(tmp_path / "straight", config, ema)))
    asked = iter([False] * 9 + [True])
    stopped = list(fit(training(tmp_path / "cut", config, ema), stop=lambda: next(asked)))
    assert stopped[-1] == Ended(10, stopped=True)
    again = training(tmp_path / "cut", config, ema, model(99))
    list(fit(again, resume=newest(tmp_path / "cut")))
    ours, theirs = newest(tmp_path / "straight"), newest(tmp_path / "cut")
    assert ours is not None
    assert theirs is not None
    assert ours.step == theirs.step == 20
    assert ours.groups.keys() == theirs.groups.keys()
    assert ("ema" in ours.groups) == (ema != "none" or optimizer == "schedule-free")
    for group in ours.groups:
        one, other = load_group(ours, group), load_group(theirs, group)
        assert one.keys() == other.keys()
        assert [name for name in one if not torch.equal(one[name], other[name])] == []
    assert ours.facts == theirs.facts
    assert bool(snapshots(tmp_path / "cut")) == (ema == "post-hoc")


def test_two_micro_batches_are_one_batch(tmp_path: Path) -> None:
    net, twin = (nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1)) for _ in range(2))
    twin.load_state_dict(net.state_dict())
    whole = list(fit(training(tmp_path / "whole", network=net)))
    config = changed(SHORT, batch_size=4, gradient_accumulation=2)
    halves = list(fit(training(tmp_path / "halves", config, network=twin)))
    torch.testing.assert_close(weights(net), weights(twin), atol=1e-6, rtol=0)
    for one, two in zip(whole, halves, strict=True):
        if isinstance(one, Stepped) and isinstance(two, Stepped):
            assert two.loss == pytest.approx(one.loss, rel=1e-5)
            assert two.norm == pytest.approx(one.norm, rel=1e-4)  # AdamW would not see its scale
            assert two.clips * two.seconds == pytest.approx(8)


def test_micro_steps_go_on_where_they_were(tmp_path: Path) -> None:
    seen: list[list[int]] = []

    def watching(network: nn.Module, batch: Clips) -> Tensor:
        seen.append(batch.rows.tolist())
        return losses(network, batch)

    config = changed(SHORT, steps=5, batch_size=2, gradient_accumulation=3)
    list(fit(training(tmp_path, changed(config, steps=3), task=watching)))
    list(fit(training(tmp_path, config, task=watching), resume=newest(tmp_path)))
    assert [row for rows in seen for row in rows] == list(range(5 * 3 * 2))


def test_stopping_saves_and_ends(tmp_path: Path) -> None:
    asked = iter([False] * 6 + [True])
    events = list(fit(training(tmp_path), stop=lambda: next(asked)))
    assert events[-2] == Saved(7, tmp_path / "checkpoint-7")
    assert events[-1] == Ended(7, stopped=True)
    assert isinstance(events[-3], Stepped)
    assert events[-3].step == 7


def test_a_finished_run_has_nothing_left_to_do(tmp_path: Path) -> None:
    list(fit(training(tmp_path)))
    made = training(tmp_path)
    events = list(fit(made, resume=newest(tmp_path)))
    assert events == [Begun(20, 20, tmp_path / "checkpoint-20"), Ended(20)]


def test_reports_are_means_since_the_last(tmp_path: Path) -> None:
    single = [
        event
        for event in fit(training(tmp_path / "one", report_every=1))
        if isinstance(event, Stepped)
    ]
    fours = [e for e in fit(training(tmp_path / "four")) if isinstance(e, Stepped)]
    assert [event.step for event in fours] == [4, 8, 12, 16, 20]
    for place, event in enumerate(fours):
        own = single[4 * place : 4 * place + 4]
        assert event.loss == pytest.approx(sum(e.loss for e in own) / 4)
        assert event.norm == pytest.approx(sum(e.norm for e in own) / 4)
        assert event.lr == own[-1].lr
    assert single[0].lr == pytest.approx(0.02 / 3)
    assert all(event.clips * event.seconds == pytest.approx(8) for event in single)
    assert all(0 <= event.waited <= 1 for event in single)


def test_validation_has_its_times_and_the_best_stays(tmp_path: Path) -> None:
    scores = {0: 9.0, 5: 3.0, 10: 1.0, 15: 2.0, 20: 4.0}
    asked: list[int] = []

    def validate(step: int, pause: Callable[[], None]) -> Validated:
        pause()
        asked.append(step)
        return Validated(step, {"held_out": scores[step]})

    config = changed(SHORT, keep=1)
    events = list(fit(training(tmp_path, config, validate=validate, validate_every=5)))
    assert asked == [0, 5, 10, 15, 20]
    saved = [event for event in events if isinstance(event, Saved)]
    assert [(event.step, event.best) for event in saved] == [
        (5, True), (10, True), (15, False), (20, False),
    ]  # fmt: skip
    assert [checkpoint.step for checkpoint in checkpoints(tmp_path)] == [10, 20]
    longer = changed(config, steps=25)
    scores[25] = 1.5
    list(fit(training(tmp_path, longer, validate=validate, validate_every=5),
             resume=newest(tmp_path)))  # fmt: skip
    assert asked[5:] == [25]
    assert [checkpoint.step for checkpoint in checkpoints(tmp_path)] == [10, 25]


def test_a_better_validation_is_saved_between_checkpoints(tmp_path: Path) -> None:
    scores = {0: 9.0, 4: 3.0, 8: 1.0, 12: 2.0, 16: 4.0, 20: 5.0}

    def validate(step: int, _: Callable[[], None]) -> Validated:
        return Validated(step, {"held_out": scores[step]})

    config = changed(SHORT, keep=1, checkpoint_every=20)
    events = list(fit(training(tmp_path, config, validate=validate, validate_every=4)))
    saved = [(event.step, event.best) for event in events if isinstance(event, Saved)]
    assert saved == [(4, True), (8, True), (20, False)]
    assert [checkpoint.step for checkpoint in checkpoints(tmp_path)] == [8, 20]


@pytest.mark.parametrize("at", [0, 10, 20])
def test_a_validation_that_a_stop_cuts_off_is_made_up(tmp_path: Path, at: int) -> None:
    def run(folder: Path, stops: int, resume: bool) -> list[object]:
        asked: list[int] = []

        def validate(step: int, pause: Callable[[], None]) -> Validated:
            asked.append(step)
            pause()
            return Validated(step, {"held_out": 30.0 - step})

        made = training(folder, validate=validate, validate_every=10)
        return list(
            fit(
                made,
                resume=newest(folder) if resume else None,
                stop=lambda: asked[-1:] == [stops],
            )
        )

    straight = run(tmp_path / "straight", -1, resume=False)
    cut = run(tmp_path / "cut", at, resume=False)
    assert cut[-1] == Ended(at, stopped=True)
    assert not any(isinstance(event, Validated) and event.step == at for event in cut)
    again = run(tmp_path / "cut", -1, resume=at > 0)
    one = [event for event in straight if isinstance(event, Validated)]
    other = [event for event in [*cut, *again] if isinstance(event, Validated)]
    assert other == one
    ours, theirs = newest(tmp_path / "straight"), newest(tmp_path / "cut")
    assert ours is not None
    assert theirs is not None
    assert ours.facts == theirs.facts
    assert ours.files == theirs.files


def test_parameters_that_stay_fixed_stay(tmp_path: Path) -> None:
    net = model()
    net[0].requires_grad_(False)  # type: ignore[index]
    fixed, free = net[0].weight.clone(), net[3].weight.clone()  # type: ignore[index]
    made = training(tmp_path, network=net)
    list(fit(made))
    assert torch.equal(net[0].weight, fixed)  # type: ignore[index]
    assert not torch.equal(net[3].weight, free)  # type: ignore[index]
    saved = newest(tmp_path)
    assert saved is not None
    assert sorted(load_group(saved, "network")) == ["3.bias", "3.weight"]


def test_chance_within_a_step_is_the_steps_own(tmp_path: Path) -> None:
    """Dropout depends on seed and micro-step, not on what was drawn before."""
    first = list(fit(training(tmp_path / "one")))
    torch.rand(3)
    second = list(fit(training(tmp_path / "two")))
    other = list(fit(training(tmp_path / "three", changed(SHORT, seed=1))))
    told = [[e.loss for e in run if isinstance(e, Stepped)] for run in (first, second, other)]
    assert told[0] == told[1] != told[2]
