"""Optimisers within the loop, and the learning rate of every step."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from fbridge.train.checkpoints.reading import newest
from fbridge.train.checkpoints.state import trained
from fbridge.train.events import Stepped
from fbridge.train.loop import fit
from fbridge.train.optimizer import build_optimizer, hasten, learning_rate
from tests.train.sets import fresh_accelerate
from tests.train.toys import SHORT, changed, training


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    with fresh_accelerate():
        yield


def test_the_schedule_free_average_is_the_optimisers_own(tmp_path: Path) -> None:
    config = changed(SHORT, optimizer="schedule-free")
    made = training(tmp_path, config)
    list(fit(made))
    average = made.average.weights()
    made.optimizer.optimizer.eval()
    for name, parameter in trained(made.network).items():
        torch.testing.assert_close(average[name], parameter.detach(), atol=1e-6, rtol=1e-5)


def test_changed_settings_count_behind_a_resume(tmp_path: Path) -> None:
    list(fit(training(tmp_path, changed(SHORT, steps=5))))
    made = training(tmp_path, changed(SHORT, weight_decay=0.5, betas=[0.8, 0.9], steps=6, lr=0.1))
    list(fit(made, resume=newest(tmp_path)))
    group = made.optimizer.param_groups[0]
    assert (group["weight_decay"], tuple(group["betas"]), group["lr"]) == (0.5, (0.8, 0.9), 0.1)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", {0: 0.25, 1: 0.5, 3: 1.0, 4: 1.0, 11: 1.0}),
        ("cosine", {0: 0.25, 3: 1.0, 4: 1.0, 8: 0.5, 6: 0.5 + 0.5 * math.cos(math.pi / 4), 12: 0}),
    ],
)
def test_the_learning_rate(schedule: str, expected: dict[int, float]) -> None:
    config = changed(SHORT, lr=0.2, warmup=4, steps=12, lr_schedule=schedule)
    for step, share in expected.items():
        assert learning_rate(step, config) == pytest.approx(0.2 * share)
    assert learning_rate(0, changed(config, warmup=0)) == 0.2


@pytest.mark.parametrize("optimizer", ["adamw", "schedule-free"])
def test_every_step_has_its_learning_rate(tmp_path: Path, optimizer: str) -> None:
    config = changed(SHORT, lr_schedule="cosine", optimizer=optimizer)
    made = training(tmp_path, config, report_every=1)
    step, taken = made.optimizer.step, []

    def look() -> None:
        taken.append(made.optimizer.param_groups[0]["lr"])
        step()

    made.optimizer.step = look
    told = [event.lr for event in fit(made) if isinstance(event, Stepped)]
    assert told == taken == [learning_rate(number, config) for number in range(20)]


@pytest.mark.parametrize("factor", [0.5, 10.0])
def test_a_part_of_a_weight_learns_at_a_rate_of_its_own(factor: float) -> None:
    def trained_weight(lr: float, steps: int, hastened: float = 1.0) -> Tensor:
        torch.manual_seed(0)
        layer = nn.Conv2d(6, 3, 2)
        made = build_optimizer(layer.parameters(), changed(SHORT, lr=lr, weight_decay=0.3))
        hasten(made, layer.weight, 4, hastened)
        for seed in range(steps):
            layer.weight.grad = torch.randn(
                layer.weight.shape, generator=torch.Generator().manual_seed(seed)
            )
            assert layer.bias is not None
            layer.bias.grad = torch.ones(3)
            made.step()
        return layer.weight.detach()

    usual, part = trained_weight(0.01, 5), trained_weight(0.01 * factor, 5)
    both = trained_weight(0.01, 5, factor)
    torch.testing.assert_close(both[:, :4], usual[:, :4], rtol=0, atol=0)
    torch.testing.assert_close(both[:, 4:], part[:, 4:])
    assert float((both[:, 4:] - usual[:, 4:]).abs().min()) > 1e-3


def test_long_gradients_are_shortened(tmp_path: Path) -> None:
    config = changed(SHORT, steps=1, max_grad_norm=1e-3, warmup=0)
    found: list[float] = []
    made = training(tmp_path, config)
    step = made.optimizer.step

    def look() -> None:
        found.append(float(torch.cat([p.grad.flatten() for p in made.network.parameters()]).norm()))  # type: ignore[union-attr]
        step()

    made.optimizer.step = look
    event = next(event for event in fit(made) if isinstance(event, Stepped))
    assert found == [pytest.approx(1e-3, rel=1e-3)]
    assert event.norm > 0.1
