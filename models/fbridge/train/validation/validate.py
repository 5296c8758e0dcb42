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
from fbridge.sampling import build_sampler, seeded_noise, time_grid
from fbridge.train.batches import TrainingBatch
from fbridge.train.checkpoints.state import trained
from fbridge.train.ema.averages import applied
from fbridge.train.events import Validated
from fbridge.train.losses import BridgeTraining, PriorTraining
from fbridge.train.setup.networks import BuiltNetwork
from fbridge.train.training import Training
from fbridge.train.validation.scores import score_generation, score_regression
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
    held_out = videos.held_out
    if isinstance(model.task, PriorTraining):
        scores = score_regression(model.task, network, held_out, device)
        return scores, [Column("prior", lambda batch: network(batch.still, None, batch.condition))]
    scores = score_generation(model.task, network, held_out, config.bands, device)
    columns = [Column("prior", model.task.start)]
    times = _times(model, config.steps)
    assert model.scheduler is not None
    if model.scheduler.covers(times[:-1]):  # else it is no model that ends a video alone
        columns.append(Column("generated", partial(_sample, model, network, times, videos)))
    return scores, columns


def _times(model: BuiltNetwork, steps: int | None) -> Tensor:
    """Times of the model's default sampling."""
    assert model.scheduler is not None, "a generator has one"
    config: Any = model.scheduler.config
    grid = time_grid(steps or config.steps, kind=config.grid, process=model.scheduler.process)
    return config.strength * grid


def _sample(
    model: BuiltNetwork,
    network: nn.Module,
    times: Tensor,
    videos: ValidationVideos,
    batch: TrainingBatch,
) -> Tensor:
    """Latents as `fbridge generate` makes them by default; the noise is seeded by the row."""
    assert isinstance(model.task, BridgeTraining)
    assert model.scheduler is not None
    task = model.task
    config: Any = model.scheduler.config
    prior = task.start(batch)
    noise = seeded_noise(batch.rows.tolist(), device=prior.device, dtype=prior.dtype)
    denoiser: Denoiser = BridgeDenoiser(network, task.parameterization)
    if config.guidance_scale != 1:
        denoiser = GuidedDenoiser(denoiser, videos.without_words(batch), config.guidance_scale)
    return build_sampler(config.sampler).sample(
        ExactFirstFrame(denoiser) if videos.codec.first_frame_alone else denoiser,
        task.process,
        prior,
        times,
        batch.condition,
        noise=noise,
        start=config.start,
    )
