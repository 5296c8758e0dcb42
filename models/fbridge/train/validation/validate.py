"""A validation: the averaged weights, their held-out scores, and clips to look at."""

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
from fbridge.denoiser import BridgeDenoiser
from fbridge.sampling import build_sampler, seeded_noise, time_grid
from fbridge.train.batches import TrainingBatch
from fbridge.train.build.networks import BuiltNetwork
from fbridge.train.checkpoints.state import trained
from fbridge.train.ema.averages import applied
from fbridge.train.events import Validated
from fbridge.train.losses import BridgeTraining, PriorTraining
from fbridge.train.training import Training
from fbridge.train.validation.scores import score_generation, score_regression
from fbridge.train.validation.videos import Gallery, Strip


def validate(
    step: int,
    training: Training,
    model: BuiltNetwork,
    gallery: Gallery,
    config: ValidationConfig,
    folder: Path | None,
    pause: Callable[[], None],
) -> Validated:
    """Score the averaged weights, and write `folder`/step-<step>/; `pause` is called in between."""
    began = time.monotonic()
    network, device = training.network, training.accelerator.device
    network.eval()
    try:
        with (
            applied(trained(network), training.average.weights(), network),
            training.accelerator.autocast(),
        ):
            scores, strips = _score(model, network, gallery, config, device, pause)
            there = None if folder is None else folder / f"step-{step}"
            files, psnr = gallery.show(strips, there, device, pause) if gallery.count else ((), {})
    finally:
        network.train()
    return Validated(step, {**scores, **psnr}, files, time.monotonic() - began)


def _score(
    model: BuiltNetwork,
    network: nn.Module,
    gallery: Gallery,
    config: ValidationConfig,
    device: torch.device,
    pause: Callable[[], None],
) -> tuple[dict[str, float], list[Strip]]:
    held_out = replace(gallery.held_out, pause=pause)
    if isinstance(model.task, PriorTraining):
        scores = score_regression(model.task, network, held_out, device)
        guess = Strip("prior", lambda batch: network(batch.still, None, batch.condition))
        return scores, [guess]
    scores = score_generation(model.task, network, held_out, config.bands, device)
    generate = partial(_sample, model, network, config.steps)
    return scores, [Strip("prior", model.task.start), Strip("generated", generate)]


def _sample(
    model: BuiltNetwork, network: nn.Module, steps: int | None, batch: TrainingBatch
) -> Tensor:
    """Latents of the model's own sampler, from noise that each row decides."""
    assert isinstance(model.task, BridgeTraining)
    assert model.scheduler is not None
    task = model.task
    config: Any = model.scheduler.config
    prior = task.start(batch)
    noise = seeded_noise(batch.rows.tolist(), device=prior.device, dtype=prior.dtype)
    return build_sampler(config.sampler).sample(
        BridgeDenoiser(network, task.parameterization),
        task.process,
        prior,
        time_grid(steps or config.steps, kind=config.grid, process=task.process),
        batch.condition,
        noise=noise,
        start=config.start,
    )
