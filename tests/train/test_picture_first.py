"""Training with the picture as first latent frame: times, loss, dropped pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from fbridge.config.tree import TimesConfig, WeightConfig
from fbridge.errors import ConfigError
from fbridge.prior import ReplicatePrior
from fbridge.scheduler import FrameBridgeScheduler
from fbridge.train.batches import TrainingBatch
from fbridge.train.losses import BridgeTraining, PriorStart
from fbridge.types import Condition

T = torch.tensor([0.2, 0.6, 0.9], dtype=torch.float64)


def batch() -> TrainingBatch:
    generator = torch.Generator().manual_seed(6)

    def normal(*shape: int) -> Tensor:
        return torch.randn(3, *shape, generator=generator)

    words, mask = normal(5, 7), torch.ones(3, 5, dtype=torch.bool)
    condition = Condition(words, mask, normal(2, 4, 4))
    still = condition.image_latents[:, None].expand(-1, 4, -1, -1, -1)
    given = (normal(4, 2, 4, 4), still, condition, condition, normal(4, 2, 4, 4))
    return TrainingBatch(torch.arange(3), *given, torch.rand(3).double(), None)


def task(image_input: str, objective: str = "bridge") -> BridgeTraining:
    made = FrameBridgeScheduler(
        objective=objective,
        prediction="aligned-flow",
        base={"kind": "flow"},
        image_input=image_input,
    )
    start = PriorStart(ReplicatePrior())
    return BridgeTraining(made.process, made.parameterization, start, TimesConfig(), WeightConfig())


class Toy:
    """Answers with a part of what it is given, and keeps what it was called with."""

    def __call__(self, latents: Tensor, time: Tensor, *_: Any) -> Tensor:
        self.latents, self.time = latents, time
        return latents / 2


@pytest.mark.parametrize("objective", ["bridge", "diffusion"])
@pytest.mark.parametrize("way", ["native", "both"])
def test_the_first_frame_is_the_picture_at_time_0_and_not_in_the_loss(
    way: str, objective: str
) -> None:
    given, plain, native = batch(), Toy(), Toy()
    task("bridge", objective).error(plain, given, T)
    made = task(way, objective)
    found = made.error(native, given, T)
    assert torch.equal(native.latents[:, 0], given.condition.image_latents)
    assert torch.equal(native.latents[:, 1:], plain.latents[:, 1:])
    assert torch.equal(native.time[:, 0], torch.zeros(3))
    assert torch.equal(native.time[:, 1:], plain.time[:, None].expand(3, 3))
    flow = given.noise - given.clean  # what a flow predicts, whatever the prior
    expected = (plain.latents / 2 - flow)[:, 1:].square().flatten(1).mean(1)
    torch.testing.assert_close(found, expected)
    other = given.clean.clone()
    other[:, 0] += 1
    assert torch.equal(made.error(Toy(), replace(given, clean=other), T), found)


def test_a_dropped_picture_leaves_an_ordinary_first_frame() -> None:
    given, plain, native = batch(), Toy(), Toy()
    expected = task("bridge").error(plain, given, T)
    dropped = torch.tensor([False, True, False])
    condition = replace(given.condition, image_dropped=dropped)
    error = task("native").error(native, replace(given, condition=condition), T)
    assert torch.equal(native.latents[1], plain.latents[1])
    assert (native.time[1] == plain.time[1]).all()
    assert (native.time[[0, 2], 0] == 0).all()
    torch.testing.assert_close(error[1], expected[1])
    assert not torch.isclose(error, expected)[[0, 2]].any()


def test_the_picture_of_another_clip_is_the_first_frame_where_it_is_asked_for() -> None:
    given, toy = batch(), Toy()
    task("native").error(toy, given, T, replace_inputs=lambda x: x.roll(1, 0))
    assert torch.equal(toy.latents[:, 0], given.condition.image_latents.roll(1, 0))


@pytest.mark.parametrize("options", [{"prediction": "clean"}, {"prediction": "psi-noise"}])
def test_it_needs_alignment(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="image_input 'native' needs SNR alignment"):
        FrameBridgeScheduler(image_input="native", **options)
    with pytest.raises(ConfigError, match="image_input 'door' is unknown"):
        FrameBridgeScheduler(image_input="door", **options)
