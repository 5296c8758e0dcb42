"""What ends a run or keeps it from going on, by its name."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from fbridge.errors import CheckpointError
from fbridge.train.checkpoints.reading import newest
from fbridge.train.divergence import TrainingError
from fbridge.train.ema.snapshots import snapshots
from fbridge.train.events import Validated
from fbridge.train.loop import fit
from tests.train.sets import fresh_accelerate
from tests.train.toys import SHORT, Clips, changed, losses, model, training, weights


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    with fresh_accelerate():
        yield


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_ends_it(tmp_path: Path, bad: float) -> None:
    def broken(network: nn.Module, batch: Clips) -> Tensor:
        return losses(network, batch) * torch.where(batch.rows == 67, bad, 1.0)  # in step 9

    made = training(tmp_path, task=broken)
    before: list[Tensor] = []

    def look() -> bool:
        before.append(weights(made.network))
        return False

    with pytest.raises(TrainingError, match="step 9: the loss is") as caught:
        for _ in fit(made, stop=look):
            pass
    told = str(caught.value)
    assert "the worst clips are clip 67" in told
    assert f"{tmp_path.name}/checkpoint-5: go on from it with --resume" in told
    assert torch.equal(before[-1], weights(made.network))
    assert torch.isfinite(weights(made.network)).all()


def test_a_gradient_that_is_not_finite_ends_it(tmp_path: Path) -> None:
    def broken(network: nn.Module, batch: Clips) -> Tensor:
        own = losses(network, batch)
        return own + (own - own.detach()).clamp_min(0).sqrt() if 20 in batch.rows else own

    made = training(tmp_path, task=broken)
    with pytest.raises(TrainingError, match=r"step 3: the gradient's norm is nan.*no checkpoint"):
        list(fit(made))
    assert torch.isfinite(weights(made.network)).all()


def test_a_validation_that_is_not_finite_ends_it_with_the_weights_kept(tmp_path: Path) -> None:
    def validate(step: int, _: Callable[[], None]) -> Validated:
        if step == 8:
            raise CheckpointError("latents hold NaN")
        return Validated(step, {})

    config = changed(SHORT, steps=10)
    with pytest.raises(CheckpointError, match="NaN"):
        list(fit(training(tmp_path, config, validate=validate, validate_every=4)))
    kept = newest(tmp_path)
    assert kept is not None
    assert kept.step == 8
    list(fit(training(tmp_path, config), resume=kept))


def test_a_spike_ends_it_also_behind_a_resume(tmp_path: Path) -> None:
    def jumping(network: nn.Module, batch: Clips) -> Tensor:
        return losses(network, batch) * (1000.0 if 24 * 8 in batch.rows else 1.0)

    config = changed(SHORT, spike=20.0, steps=40, checkpoint_every=20)
    list(fit(training(tmp_path, changed(config, steps=20))))
    with pytest.raises(TrainingError, match=r"step 25: the loss is .* times the usual"):
        list(fit(training(tmp_path, config, task=jumping), resume=newest(tmp_path)))
    calm = changed(config, spike=0)
    list(fit(training(tmp_path, calm, task=jumping), resume=newest(tmp_path)))


def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path) -> None:
    list(fit(training(tmp_path, identity={"data": "a", "train.lr": 1})))
    for own, told in (({"data": "b", "train.lr": 1}, "data was a and is b"),
                      ({"data": "a", "train.lr": 2}, "train.lr was 1 and is 2")):  # fmt: skip
        with pytest.raises(CheckpointError, match=told):
            list(fit(training(tmp_path, identity=own), resume=newest(tmp_path)))
    made = training(tmp_path, identity={"data": "b"})
    with pytest.raises(CheckpointError, match="another -o"):
        list(fit(made, resume=newest(tmp_path), accept_changes=True))
    made = training(tmp_path, identity={"data": "a", "train.lr": 2})
    list(fit(made, resume=newest(tmp_path), accept_changes=True))


def test_another_network_is_refused_by_name(tmp_path: Path) -> None:
    list(fit(training(tmp_path)))
    wider = nn.Sequential(nn.Linear(4, 17), nn.Tanh(), nn.Dropout(0.1), nn.Linear(17, 1))
    with pytest.raises(CheckpointError, match=r"0.bias is \(16,\) there and \(17,\) here"):
        list(fit(training(tmp_path, network=wider), resume=newest(tmp_path)))
    deeper = nn.Sequential(*model().children(), nn.Linear(1, 1))
    with pytest.raises(CheckpointError, match=r"4.bias is only in the network"):
        list(fit(training(tmp_path, network=deeper), resume=newest(tmp_path)))


def test_snapshots_of_a_run_given_up_go(tmp_path: Path) -> None:
    config = changed(SHORT, keep=9)
    list(fit(training(tmp_path, config, "post-hoc")))
    assert list(snapshots(tmp_path)) == [5, 10, 15, 20]
    for step in (10, 15, 20):
        shutil.rmtree(tmp_path / f"checkpoint-{step}")
    made = training(tmp_path, changed(config, steps=7, lr=0.01), "post-hoc")
    list(fit(made, resume=newest(tmp_path)))
    assert list(snapshots(tmp_path)) == [5, 7]
