"""What is learnt: from a batch to one loss a clip; one road for bridge, twin and prior."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor, nn

from fbridge.codecs import Codec, View
from fbridge.config.tree import RegressionConfig, TimesConfig, WeightConfig
from fbridge.denoiser import Backbone, BridgeDenoiser
from fbridge.objective import bridge_loss, prior_loss
from fbridge.parameterization import Parameterization
from fbridge.prior import Prior
from fbridge.process import Process
from fbridge.train.batches import TrainingBatch
from fbridge.train.timesteps import draw_times, loss_weight
from fbridge.types import Condition


class TrainingLoss(Protocol):
    """One objective over one kind of batch."""

    def __call__(self, network: nn.Module, batch: TrainingBatch) -> Tensor:
        """Loss (B,) of each clip, float32 at least."""
        ...


@dataclass(frozen=True)
class PriorStart:
    """Where the bridges of a batch start.

    Attributes:
        prior: from the still picture to the latents that a bridge starts at; frozen.
        codec: with one, a prior that moves pixels is given the pictures that it decodes to; that
            is done in float32 whatever the run's precision, as mattes and moved pixels need it.
    """

    prior: Prior
    codec: Codec | None = None

    @torch.no_grad()
    def __call__(self, batch: TrainingBatch) -> Tensor:
        """Prior latents (B, F, C, H, W), with the noise that was drawn for them."""
        device = batch.clean.device.type
        exact = nullcontext() if self.codec is None else torch.autocast(device, enabled=False)
        with exact:
            start = self.prior(batch.still, batch.whole, self._view(batch.whole))
        start = start.to(batch.clean)
        return start if batch.prior_noise is None else start + batch.prior_noise

    def _view(self, condition: Condition) -> View | None:
        if self.codec is None:
            return None
        seen = View(condition.image_latents, None, ())
        pictures = self.codec.decode(condition.image_latents[:, None], seen)
        return View(condition.image_latents, None, tuple(picture[0] for picture in pictures))


@dataclass(frozen=True)
class BridgeTraining:
    """A bridge from the prior, or its diffusion twin from noise: one loss for both.

    The twin has the same network, is shown the same prior and picture, and differs in the process
    alone; so every claim about bridges has its control.

    Attributes:
        process: a bridge or a diffusion; decides which.
        parameterization: over that process.
        start: the prior.
        times, weight: which times are drawn, and how they weigh.
    """

    process: Process
    parameterization: Parameterization
    start: PriorStart
    times: TimesConfig
    weight: WeightConfig

    def __call__(self, network: nn.Module, batch: TrainingBatch) -> Tensor:
        """Weighted squared error (B,) of the network's output at drawn times."""
        t = draw_times(batch.uniform, self.process, self.times)
        error = self.error(network, batch, t)
        return error * loss_weight(t, self.process, self.parameterization, self.weight).to(error)

    def error(
        self,
        network: Backbone,
        batch: TrainingBatch,
        t: Tensor,
        *,
        shown: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Squared error (B,) of the network's output at times t (B,).

        `shown` changes what the network is shown of prior and picture, not where the bridge starts:
        a network that uses them does worse with another clip's.
        """
        prior = self.start(batch)
        t = t.to(batch.clean.device)
        backbone, condition = network, batch.condition
        if shown is not None:
            condition = replace(condition, image_latents=shown(condition.image_latents))
            backbone = _Shown(network, shown)
        denoiser = BridgeDenoiser(backbone, self.parameterization)
        return bridge_loss(denoiser, self.process, batch.clean, prior, t, batch.noise, condition)


@dataclass(frozen=True)
class _Shown:
    """A backbone that is shown another prior than the one its bridge starts at."""

    backbone: Backbone
    change: Callable[[Tensor], Tensor]

    def __call__(
        self, latents: Tensor, time: Tensor, condition: Condition, prior: Tensor
    ) -> Tensor:
        return self.backbone(latents, time, condition, self.change(prior))


@dataclass(frozen=True)
class PriorTraining:
    """The neural prior: the clean latents from picture and words in one pass (arXiv 2410.15371).

    Attributes:
        config: which distance, and the weight of the error of differences between frames.
    """

    config: RegressionConfig

    def __call__(self, network: nn.Module, batch: TrainingBatch) -> Tensor:
        """Distance (B,) of the prediction to the clean latents."""
        return self.distance(network(batch.still, None, batch.condition), batch.clean)

    def distance(self, predicted: Tensor, clean: Tensor) -> Tensor:
        """The configured distance (B,) of two videos (B, F, C, H, W)."""
        total = _distance(predicted, clean, self.config.loss)
        if self.config.temporal > 0 and clean.shape[1] > 1:
            steps = predicted.float().diff(dim=1), clean.float().diff(dim=1)
            total = total + self.config.temporal * _distance(*steps, self.config.loss)
        return total


def _distance(guess: Tensor, truth: Tensor, kind: str) -> Tensor:
    if kind == "mse":
        return prior_loss(guess, truth)
    return (guess.float() - truth.float()).abs().flatten(1).mean(1)
