"""From a batch to its losses: bridge, twin and prior, against numbers reckoned by hand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fbridge.config.tree import RegressionConfig, TimesConfig, WeightConfig
from fbridge.prior import ReplicatePrior
from fbridge.scheduler import FrameBridgeScheduler
from fbridge.train.batches import TrainingBatch
from fbridge.train.losses import BridgeTraining, PriorStart, PriorTraining
from fbridge.train.timesteps import draw_times
from fbridge.types import Condition, Latents


class Toy(nn.Module):
    """Answers half of what it sees, and keeps all that it was called with."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, ...]] = []

    def forward(
        self, latents: Tensor, time: Tensor | None, condition: Condition, prior: Any = None
    ) -> Tensor:
        self.calls.append((latents, time, condition, prior))
        return latents / 2


def batch() -> TrainingBatch:
    generator = torch.Generator().manual_seed(6)

    def normal(*shape: int) -> Tensor:
        return torch.randn(3, *shape, generator=generator)

    told = Condition(normal(5, 7), torch.ones(3, 5, dtype=torch.bool), normal(2, 4, 4))
    return TrainingBatch(
        rows=torch.arange(3),
        clean=normal(3, 2, 4, 4),
        still=normal(3, 2, 4, 4),
        condition=told,
        full_condition=replace(told, prompt_embeds=normal(4, 7), image_latents=normal(2, 4, 4)),
        noise=normal(3, 2, 4, 4),
        uniform=torch.tensor([0.1, 0.5, 0.8], dtype=torch.float64),
        prior_noise=normal(3, 2, 4, 4) / 10,
    )


def generation(objective: str, prediction: str = "clean", **weight: Any) -> BridgeTraining:
    made = FrameBridgeScheduler(objective=objective, prediction=prediction)
    return BridgeTraining(
        made.process,
        made.parameterization,
        PriorStart(ReplicatePrior()),
        TimesConfig(density="snr"),
        WeightConfig(**weight),
    )


T = torch.tensor([0.1, 0.4, 0.9], dtype=torch.float64)


def mean_square(x: Tensor) -> Tensor:
    return x.square().flatten(1).mean(1)


def spread(values: Tensor) -> Tensor:
    return values[:, None, None, None, None]


def test_the_bridges_loss_by_hand() -> None:
    given, toy = batch(), Toy()
    assert given.prior_noise is not None
    task = generation("bridge")
    prior = given.still + given.prior_noise
    rho = spread(task.process.schedule.rho(T))
    w = (rho / task.process.schedule.rho(torch.ones(1).double())) ** 2
    alpha, end = (task.process.schedule.alpha(t) for t in (T, torch.ones(1).double()))
    state = spread(alpha) * ((1 - w) * given.clean + rho * (1 - w).sqrt() * given.noise)
    state = state + spread(alpha / end) * w * prior
    expected = mean_square(state / 2 - given.clean)
    torch.testing.assert_close(task.error(toy, given, T), expected.float())
    latents, time, condition, shown = toy.calls[0]
    torch.testing.assert_close(latents, state.float())
    torch.testing.assert_close(time, (1000 * T).float())
    assert torch.equal(shown, prior)
    assert condition is given.condition


def test_the_twin_is_shown_the_prior_but_does_not_start_at_it() -> None:
    given, toy = batch(), Toy()
    task = generation("diffusion")
    error = task.error(toy, given, T)
    alpha, rho = (
        spread(curve(T)) for curve in (task.process.schedule.alpha, task.process.schedule.rho)
    )
    state = alpha * (given.clean + rho * given.noise)
    latents, _, condition, shown = toy.calls[0]
    torch.testing.assert_close(latents, state.float())
    torch.testing.assert_close(error, mean_square(state / 2 - given.clean).float())
    assert given.prior_noise is not None
    assert torch.equal(shown, given.still + given.prior_noise)
    assert condition.image_latents is given.condition.image_latents
    moved = replace(given, still=given.still + 1)
    assert torch.equal(task.error(Toy(), moved, T), error)
    bridge = generation("bridge")
    assert not torch.equal(bridge.error(Toy(), moved, T), bridge.error(Toy(), given, T))


def test_drawn_times_and_weights_enter_the_loss() -> None:
    given = batch()
    task = generation("bridge", "psi-noise", kind="min-snr", gamma=2.0)
    t = draw_times(given.uniform, task.process, task.times)
    rho, end = task.process.schedule.rho(t), task.process.schedule.rho(torch.ones(1).double())
    weight = (1 / rho**2 - 1 / end**2).clamp_max(2.0) * rho**2
    loss = task(Toy(), given)
    torch.testing.assert_close(loss, (task.error(Toy(), given, t) * weight).float())
    assert loss.dtype == torch.float32
    assert weight.unique().numel() == 3


@pytest.mark.parametrize("objective", ["bridge", "diffusion"])
def test_showing_something_else_changes_nothing_but_what_is_shown(objective: str) -> None:
    given, own, other = batch(), Toy(), Toy()
    task = generation(objective)
    plain = task.error(own, given, T)
    assert torch.equal(plain, task.error(other, given, T, replace_inputs=lambda x: x.roll(1, 0)))
    assert torch.equal(own.calls[0][0], other.calls[0][0])
    assert torch.equal(own.calls[0][1], other.calls[0][1])
    assert torch.equal(own.calls[0][3].roll(1, 0), other.calls[0][3])
    seen, told = own.calls[0][2], other.calls[0][2]
    assert torch.equal(seen.image_latents.roll(1, 0), told.image_latents)
    assert torch.equal(seen.prompt_embeds, told.prompt_embeds)


@dataclass
class _Recorder:
    """A prior that remembers what it was asked."""

    asked: list[tuple[Any, ...]]

    def __call__(self, still: Latents, condition: Condition, view: Any, /) -> Latents:
        self.asked.append((still, condition, view))
        return still.double()


class _Decoder:
    """Shows what it is asked to decode."""

    def decode(self, latents: Tensor, view: Any) -> list[Tensor]:
        assert view.image_latents is not None
        return list(latents * 3)


def test_a_prior_is_told_everything() -> None:
    given, prior = batch(), _Recorder([])
    start = PriorStart(prior, _Decoder())(given)  # type: ignore[arg-type]
    still, condition, view = prior.asked[0]
    assert still is given.still
    assert condition is given.full_condition
    assert torch.equal(torch.stack(view.scenes), given.full_condition.image_latents * 3)
    assert given.prior_noise is not None
    assert start.dtype == given.clean.dtype
    assert torch.equal(start, given.still + given.prior_noise)
    quiet = replace(given, prior_noise=None)
    assert torch.equal(PriorStart(prior)(quiet), given.still)
    assert prior.asked[1][2] is None


def test_pixels_are_moved_in_float32() -> None:
    given, rounded = batch(), torch.randn(8, 8)
    for decoder, kind in ((_Decoder(), torch.float32), (None, torch.bfloat16)):
        kinds: list[torch.dtype] = []

        def prior(still: Latents, *_: Any, kinds: list[torch.dtype] = kinds) -> Latents:
            kinds.append((rounded @ rounded).dtype)
            return still

        with torch.autocast("cpu", torch.bfloat16):
            PriorStart(prior, decoder)(given)  # type: ignore[arg-type]
        assert kinds == [kind]


def test_no_gradient_reaches_a_prior() -> None:
    given = batch()
    network = nn.Conv3d(3, 3, 1)
    start = PriorStart(lambda still, *_: network(still))
    assert network(given.still).requires_grad
    assert not start(given).requires_grad


@pytest.mark.parametrize(("loss", "power"), [("mse", 2), ("l1", 1)])
@pytest.mark.parametrize("temporal", [0.0, 0.5])
def test_the_priors_loss_by_hand(loss: str, power: int, temporal: float) -> None:
    given, toy = batch(), Toy()
    task = PriorTraining(RegressionConfig.model_validate({"loss": loss, "temporal": temporal}))
    error = given.still / 2 - given.clean
    expected = error.abs().pow(power).flatten(1).mean(1)
    if temporal:
        steps = error[:, 1:] - error[:, :-1]
        expected = expected + temporal * steps.abs().pow(power).flatten(1).mean(1)
    torch.testing.assert_close(task(toy, given), expected)
    latents, time, condition, prior = toy.calls[0]
    assert latents is given.still
    assert time is None
    assert prior is None
    assert condition is given.condition


def test_a_single_frame_has_no_steps() -> None:
    given = batch()
    short = replace(given, clean=given.clean[:, :1], still=given.still[:, :1])
    task = PriorTraining(RegressionConfig(temporal=0.5))
    plain = PriorTraining(RegressionConfig(temporal=0.0))
    torch.testing.assert_close(task(Toy(), short), plain(Toy(), short))
