"""Draws of a trained network for the held-out scenes, and their scores."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from examples.claims.motion.held_out import BATCH, FRAMES, condition, read_truth
from examples.claims.motion.train import read_network, scheduler, start_of
from examples.claims.sample import OF_A_DRAW, OF_A_SEED, commit
from examples.claims.scores import energy_score, spread
from examples.embedded.train_motion import DEVICE
from fbridge.denoiser import BridgeDenoiser
from fbridge.sampling.grids import time_grid
from fbridge.sampling.noise import seeded_noise
from fbridge.sampling.registry import build_sampler


def scored_draws(
    trained: Mapping[str, Any], network: Path, settings: Mapping[str, Any], truth: Path
) -> dict[str, Any]:
    """What a sample node keeps: each list has one number a scene.

    Args:
        trained: the training's settings.
        network: its folder.
        settings: options of the sampler, seed, number of draws.
        truth: folder of the scenes.
    """
    began = time.perf_counter()
    held = read_truth(truth)
    root = BridgeDenoiser(read_network(trained, network), scheduler(trained).parameterization)
    draws = torch.stack([
        _draw(root, trained, held["told"], OF_A_SEED * settings["seed"] + OF_A_DRAW * number,
              settings["options"])
        for number in range(settings["draws"])
    ])  # fmt: skip
    seconds = (time.perf_counter() - began) / (len(held["true"]) * settings["draws"])
    weighted = held["weights"] * draws
    return {
        "seconds_per_draw": seconds,
        "commit": commit(),
        "energy": energy_score(weighted, held["weights"] * held["true"]).tolist(),
        "spread": spread(weighted).tolist(),
        "motion": weighted[0].square().flatten(1).mean(1).sqrt().tolist(),
    }


def _draw(
    denoiser: BridgeDenoiser,
    trained: Mapping[str, Any],
    told: Tensor,
    seed: int,
    options: Mapping[str, Any],
) -> Tensor:
    """(N, F, 26, 3, 1) one motion of each scene."""
    run = build_sampler(options["sampler"]).sample
    process = denoiser.parameterization.process
    times = time_grid(options["num_inference_steps"], kind=options["grid"], process=process)
    made = []
    for at in range(0, len(told), BATCH):
        given = condition(told[at : at + BATCH])
        seeds = [seed + number for number in range(at, at + len(given.image_latents))]
        prior = start_of(trained, given, FRAMES)
        noise = seeded_noise(seeds, device=DEVICE)
        made.append(run(denoiser, process, prior, times, given, noise=noise).cpu())
    return torch.cat(made)
