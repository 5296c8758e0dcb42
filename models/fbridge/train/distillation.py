"""Distillation: a student learns in one call where its teacher's path ends.

The path is the teacher's probability-flow ODE from the noised prior, with its guidance, solved anew
for every batch; the student is asked at all of its states. It has the teacher's networks, bridge
and prior, and begins with its weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fbridge.denoiser import Backbone, BridgeDenoiser, Denoiser, ExactFirstFrame, GuidedDenoiser
from fbridge.objective import distillation_loss
from fbridge.sampling import Step, build_sampler
from fbridge.train.batches import TrainingBatch
from fbridge.train.losses import BridgeTraining
from fbridge.types import Condition

SOLVER = "dbim2"
"""Of the teacher's path."""
CALLS = 4
"""Steps of a student by default."""


@dataclass(frozen=True)
class DistillTraining:
    """The loss of a student.

    Attributes:
        bridge: process, parameterization and prior, which teacher and student share.
        teacher: the frozen network.
        guidance_scale: of the teacher by the words; 1 is none.
        times: (N + 1,) float64 of the teacher's path, the last 0.
        wordless: the condition of a batch without its words.
        exact_first: whether the first latent frame is the picture's, see `ExactFirstFrame`.
        sampling: how the teacher is sampled by default: its scheduler's configuration.
    """

    bridge: BridgeTraining
    teacher: Backbone
    guidance_scale: float
    times: Tensor
    wordless: Callable[[TrainingBatch], Condition]
    exact_first: bool
    sampling: Any

    def __call__(self, network: nn.Module, batch: TrainingBatch) -> Tensor:
        """Squared error (B,) of the student's answers, mean over the path."""
        return self.errors(network, batch).mean(0)

    def errors(self, network: nn.Module, batch: TrainingBatch) -> Tensor:
        """Squared error (N, B) of the student's answer at each state of its teacher's path."""
        prior = self.bridge.start(batch)
        states, end = self.path(batch, prior)
        return distillation_loss(
            self.denoiser(network), states, end, self.times[:-1], prior, batch.condition
        )

    def path(self, batch: TrainingBatch, prior: Tensor) -> tuple[list[Tensor], Tensor]:
        """N states (B, F, C, H, W) of the teacher's path, the first of them first, and its end."""
        first = self.times[:1].expand(len(prior))
        states = [self.bridge.process.sample(prior, prior, first, batch.noise)]

        def keep(step: Step) -> None:
            if step.number < step.total:
                states.append(step.state.clone())

        end = build_sampler(SOLVER).sample(
            self.guided(batch, self.guidance_scale),
            self.bridge.process,
            prior,
            self.times,
            batch.condition,
            noise=lambda _: batch.noise,
            on_step=keep,
        )
        return states, end

    @torch.no_grad()
    def guided(self, batch: TrainingBatch, scale: float) -> Denoiser:
        """The teacher, guided by a batch's words."""
        teacher = self.denoiser(self.teacher)
        return teacher if scale == 1 else GuidedDenoiser(teacher, self.wordless(batch), scale)

    def denoiser(self, backbone: Backbone) -> Denoiser:
        """A network as a denoiser of this bridge."""
        plain = BridgeDenoiser(backbone, self.bridge.parameterization)
        return ExactFirstFrame(plain) if self.exact_first else plain
