"""Validation: held-out scores and videos of the averaged weights."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fbridge.config.tree import ValidationConfig
from fbridge.denoiser import BridgeDenoiser, Denoiser, ExactFirstFrame, GuidedDenoiser
from fbridge.sampling import build_sampler, default_times, seeded_noise
from fbridge.train.batches import TrainingBatch
from fbridge.train.checkpoints.state import trained
from fbridge.train.distillation import DistillTraining
from fbridge.train.ema.averages import applied
from fbridge.train.events import Validated
from fbridge.train.losses import BridgeTraining, PriorTraining
from fbridge.train.setup.networks import BuiltNetwork
from fbridge.train.training import Training
from fbridge.train.validation.scores import (
    score_distillation,
    score_generation,
    score_regression,
)
from fbridge.train.validation.videos import Column, ValidationVideos, Written


def validate(
    step: int,
    training: Training,
    model: BuiltNetwork,
    videos: ValidationVideos,
    config: ValidationConfig,
    folder: Path | None,
    pause: Callable[[], None],
) -> Validated:
    """Score the averaged weights, and write videos to `folder`/step-<step>/.

    `pause` is called before each batch and may raise an exception to stop.
    """
    began = time.monotonic()
    network, device = training.network, training.accelerator.device
    network.eval()
    try:
        with (
            applied(trained(network), training.average.weights(), network),
            training.accelerator.autocast(),
        ):
            held_out = replace(videos.held_out, pause=pause)
            scores, columns = _score(
                model, network, replace(videos, held_out=held_out), config, device
            )
            to = None if folder is None else folder / f"step-{step}"
            shown = videos.write(columns, to, device, pause) if videos.count else Written()
    finally:
        network.train()
    seconds = time.monotonic() - began
    return Validated(step, {**scores, **shown.scores}, *shown[:3], seconds)


def _score(
    model: BuiltNetwork,
    network: nn.Module,
    videos: ValidationVideos,
    config: ValidationConfig,
    device: torch.device,
) -> tuple[dict[str, float], list[Column]]:
    held_out, task, scheduler = videos.held_out, model.task, model.scheduler
    if isinstance(task, PriorTraining):
        scores = score_regression(task, network, held_out, device)
        return scores, [Column("prior", lambda batch: network(batch.still, None, batch.condition))]
    assert scheduler is not None, "a generator has one"
    sampled: list[Column] = []
    if isinstance(task, DistillTraining):
        scores = score_distillation(task, network, held_out, device)
        bridge, usual = task.bridge, task.sampling
        guided = partial(task.guided, scale=usual.guidance_scale)
        times = default_times(usual, scheduler.process)
        sampled.append(Column("teacher", partial(_sample, bridge, usual, times, guided)))
    else:
        scores, bridge = score_generation(task, network, held_out, config.bands, device), task
    times = default_times(scheduler.config, scheduler.process, config.steps)
    if scheduler.covers(times[:-1]):  # else it is no model that ends a video alone
        own = partial(_guided, bridge, network, videos, scheduler.config.guidance_scale)
        generated = partial(_sample, bridge, scheduler.config, times, own)
        sampled.append(Column("generated", generated))
    return scores, [Column("prior", bridge.start), *sampled]


def _guided(
    bridge: BridgeTraining,
    network: nn.Module,
    videos: ValidationVideos,
    scale: float,
    batch: TrainingBatch,
) -> Denoiser:
    denoiser: Denoiser = BridgeDenoiser(network, bridge.parameterization)
    if scale != 1:
        denoiser = GuidedDenoiser(denoiser, videos.without_words(batch), scale)
    return ExactFirstFrame(denoiser) if videos.codec.first_frame_alone else denoiser


def _sample(
    bridge: BridgeTraining,
    settings: Any,
    times: Tensor,
    denoiser: Callable[[TrainingBatch], Denoiser],
    batch: TrainingBatch,
) -> Tensor:
    """Latents as `fbridge generate` makes them by these settings; noise is seeded by the row."""
    prior = bridge.start(batch)
    noise = seeded_noise(batch.rows.tolist(), device=prior.device, dtype=prior.dtype)
    return build_sampler(settings.sampler).sample(
        denoiser(batch),
        bridge.process,
        prior,
        times,
        batch.condition,
        noise=noise,
        start=settings.start,
    )
