"""The held-out scenes: their motions, what is told of them, and the two ends of the scale."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from examples.claims.graph import EMBEDDED
from examples.claims.scores import energy_score
from examples.embedded.scenes.bodies import Scene, motions
from examples.embedded.train_motion import (
    DEVICE,
    condition_of,
    condition_told,
    draw_scenes,
    verb_weights,
)
from fbridge import FrameBridgePipeline
from fbridge.codecs.render import CHANNELS
from fbridge.codecs.scenes.describe import SLOTS
from fbridge.files.atomic import write_text
from fbridge.types import Condition

FRAMES = 32
BATCH = 32
"""Scenes of one shape of frame."""
_SCENES, _MOTIONS = 0, 1
"""First numbers of two seeds; trainings have theirs of a seed and a step."""


def write_truth(settings: Mapping[str, Any], folder: Path) -> None:
    """Write `motions.safetensors` and `truth.json`, as `examples.claims.truth` does of videos.

    "true" (N, F, 26, 3, 1) are motions, "told" (N, 48, 3, 1) descriptions, "weights" (N, 1, 1, 3,
    1) what differences are multiplied by before they are squared, as the training's losses are.
    "take" is the energy score of other motions of the same scenes, which are draws from the very
    distribution of the world, "still" that of no motion, "prior" that of the neural prior alone.
    """
    scenes = _scenes(settings)
    true, takes = _drawn(scenes, 0), settings["draws"]
    others = torch.stack([_drawn(scenes, take) for take in range(1, takes + 1)])
    weights = _weights(scenes)
    told = torch.cat([condition_of(some).image_latents for some in scenes])
    save = {"true": true, "told": told.contiguous(), "weights": weights}
    guess = regressed(condition(told), FRAMES).cpu()
    alone = [torch.zeros_like(true), guess]
    still, prior = (
        energy_score(weights * one.expand(takes, *one.shape), weights * true) for one in alone
    )
    held = {
        "seed": settings["seed"],
        "motion": (weights * true).square().flatten(1).mean(1).sqrt().tolist(),
        "take": energy_score(weights * others, weights * true).tolist(),
        "still": still.tolist(),
        "prior": prior.tolist(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file(save, folder / "motions.safetensors")
    write_text(folder / "truth.json", json.dumps(held) + "\n")


def read_truth(folder: Path) -> dict[str, Tensor]:
    """Motions, descriptions and weights by the names that `write_truth` has given them."""
    return load_file(folder / "motions.safetensors")


def condition(told: Tensor) -> Condition:
    """What the networks are given of descriptions (N, 48, 3, 1)."""
    return condition_told(told.to(DEVICE))


def no_motion(given: Condition, frames: int) -> Tensor:
    """(N, F, 26, 3, 1) zeros, which are the repeated picture."""
    return torch.zeros(len(given.image_latents), frames, CHANNELS, SLOTS, 1, device=DEVICE)


@torch.no_grad()
def regressed(given: Condition, frames: int) -> Tensor:
    """(N, F, 26, 3, 1) the neural prior's motions."""
    guess: Tensor = _prior()(no_motion(given, frames), None, given)
    return guess


@cache
def _model() -> FrameBridgePipeline:
    return FrameBridgePipeline.from_pretrained(EMBEDDED)


@cache
def _prior() -> nn.Module:
    prior: nn.Module = _model().prior
    return prior.float().eval().to(DEVICE)


def usual_scale() -> list[list[float]]:
    """(26, 3) what a slot's channels are divided by."""
    codec: Any = _model().latent_codec
    scale: list[list[float]] = codec.config["scale"]
    return scale


def _scenes(settings: Mapping[str, Any]) -> list[list[Scene]]:
    """In parts whose frames have one shape."""
    count = settings["scenes"]
    parts = [
        draw_scenes(np.random.default_rng([_SCENES, settings["seed"], part]), BATCH)
        for part in range(-(-count // BATCH))
    ]
    parts[-1] = parts[-1][: count - BATCH * (len(parts) - 1)]
    return parts


def _drawn(scenes: list[list[Scene]], take: int) -> Tensor:
    """(N, F, 26, 3, 1) one motion of each scene."""
    drawn = [
        motions(some, FRAMES, np.random.default_rng([_MOTIONS, take, part]))
        for part, some in enumerate(scenes)
    ]
    return (torch.cat(drawn).mT[..., None] / torch.tensor(usual_scale())[..., None]).contiguous()


def _weights(scenes: list[list[Scene]]) -> Tensor:
    known = verb_weights(usual_scale())
    each = [[known[deed and deed[0]] for deed in scene.deeds] for part in scenes for scene in part]
    return torch.tensor(each).sqrt()[:, None, None, :, None]
