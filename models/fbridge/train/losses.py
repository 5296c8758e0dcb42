"""Training losses: from a batch to one loss per clip, for bridge, diffusion baseline and prior."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace

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


@dataclass(frozen=True)
class PriorStart:
    """The prior latents of a batch.

    Attributes:
        prior: makes them from the still picture; frozen.
        codec: decodes the pictures for a prior that moves pixels, in float32 whatever the run's
            precision; None for any other prior.
    """

    prior: Prior
    codec: Codec | None = None

    @torch.no_grad()
    def __call__(self, batch: TrainingBatch) -> Tensor:
        """Prior latents (B, F, C, H, W), with the batch's prior noise."""
        device = batch.clean.device.type
        float32 = nullcontext() if self.codec is None else torch.autocast(device, enabled=False)
        condition = batch.full_condition
        with float32:
            start = self.prior(batch.still, condition, self._view(condition))
        start = start.to(batch.clean)
        return start if batch.prior_noise is None else start + batch.prior_noise

    def _view(self, condition: Condition) -> View | None:
        if self.codec is None:
            return None
        view = View(condition.image_latents, None, ())
        pictures = self.codec.decode(condition.image_latents[:, None], view)
        return View(condition.image_latents, None, tuple(picture[0] for picture in pictures))


@dataclass(frozen=True)
class BridgeTraining:
    """The loss of a bridge from the prior, or of the diffusion baseline from noise.

    Only the process differs: the baseline's network gets the same prior and picture.

    Attributes:
        process: bridge or diffusion.
        parameterization: over that process.
        start: the prior.
        times, weight: distribution of times, and their weight in the loss.
    """

    process: Process
    parameterization: Parameterization
    start: PriorStart
    times: TimesConfig
    weight: WeightConfig

    def __call__(self, network: nn.Module, batch: TrainingBatch) -> Tensor:
        """Weighted squared error (B,) of the network's output at random times."""
        t = draw_times(batch.uniform, self.process, self.times)
        error = self.error(network, batch, t)
        return error * loss_weight(t, self.process, self.parameterization, self.weight).to(error)

    def error(
        self,
        network: Backbone,
        batch: TrainingBatch,
        t: Tensor,
        *,
        replace_inputs: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Squared error (B,) of the network's output at times t (B,).

        `replace_inputs` changes prior and picture as inputs of the network, but not the state: with
        those of another clip, a network that uses them has a larger error.
        """
        prior = self.start(batch)
        t = t.to(batch.clean.device)
        backbone, condition = network, batch.condition
        if replace_inputs is not None:
            picture = replace_inputs(condition.image_latents)
            condition = replace(condition, image_latents=picture)

            def backbone(latents: Tensor, time: Tensor, own: Condition, prior: Tensor) -> Tensor:
                return network(latents, time, own, replace_inputs(prior))

        denoiser = BridgeDenoiser(backbone, self.parameterization)
        return bridge_loss(denoiser, self.process, batch.clean, prior, t, batch.noise, condition)


@dataclass(frozen=True)
class PriorTraining:
    """The loss of the neural prior: regression of the clean latents (arXiv 2410.15371).

    Attributes:
        config: distance, and weight of the term of frame differences.
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
