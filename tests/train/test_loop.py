"""The training loop: a run cut anywhere goes on as if it had not been."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from fbridge.errors import FBridgeError
from fbridge.train.loop import FitConfig, Losses, checkpoints, fit


def model() -> nn.Module:
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1))


def loss(net: nn.Module, step: int) -> Losses:
    x = torch.randn(8, 4, generator=torch.Generator().manual_seed(step))
    noise = 0.1 * torch.randn(8, 1)  # from the loop's own seed
    error = (net(x) - x.sum(1, keepdim=True) + noise).square().mean()
    return {"total": error}


CONFIG = FitConfig(
    steps=20, lr=0.02, warmup=3, precision="no", checkpoint_every=5, report_every=4, ema=0.9
)


def weights(net: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in net.parameters()])


def test_it_learns(tmp_path: Path) -> None:
    config = FitConfig(steps=300, lr=0.02, warmup=3, precision="no", ema=0.9)
    reports = list(fit(model(), loss, config, tmp_path))
    assert reports[-1].losses["total"] < 0.2 * reports[0].losses["total"]
    assert reports[-1].step == 300


@pytest.mark.parametrize("cut", [1, 2, 4])
def test_resuming_equals_never_stopping(tmp_path: Path, cut: int) -> None:
    straight = model()
    list(fit(straight, loss, CONFIG, tmp_path / "straight"))
    run = fit(model(), loss, CONFIG, tmp_path / "cut")
    for _ in range(cut):
        next(run)
    del run
    again = model()
    list(fit(again, loss, CONFIG, tmp_path / "cut"))
    assert torch.equal(weights(straight), weights(again))


def test_the_newest_two_checkpoints_stay(tmp_path: Path) -> None:
    list(fit(model(), loss, CONFIG, tmp_path))
    assert [step for step, _ in checkpoints(tmp_path)] == [15, 20]
    assert not list(tmp_path.glob("*.partial"))


def test_a_half_written_checkpoint_is_not_resumed(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-15.partial").mkdir()
    reports = list(fit(model(), loss, CONFIG, tmp_path))
    assert reports[0].step == 4


def test_a_loss_that_is_not_finite_names_its_step(tmp_path: Path) -> None:
    def broken(net: nn.Module, step: int) -> Losses:
        value = loss(net, step)["total"]
        return {"total": value * float("nan") if step == 7 else value}

    with pytest.raises(FBridgeError, match="step 7"):
        list(fit(model(), broken, CONFIG, tmp_path))
