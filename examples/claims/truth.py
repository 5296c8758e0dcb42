"""The held-out scenes: their latents, how much moves in them, and the two ends of the scale."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from examples.claims.graph import BASE
from examples.claims.scores import energy_score, motion
from fbridge import FrameBridgePipeline
from fbridge.data.scenes import Scene, draw_scene
from fbridge.files.atomic import write_text

BATCH = 128 if torch.cuda.is_available() else 16
"""Clips at once: what is fastest; no clip depends on those beside it."""
FIRST = 1
"""Latent frames behind the picture's are scored: that one is given."""


def scenes_of(settings: Mapping[str, Any], take: int = 0) -> list[Scene]:
    """The held-out scenes, or another take of each."""
    return [draw_scene(settings["seed"], n, take=take) for n in range(settings["scenes"])]


def write_truth(settings: Mapping[str, Any], folder: Path) -> None:
    """Write `latents.safetensors` with "true" (N, F, C, H, W), and `truth.json`.

    "take" is the energy score of other takes of the same picture and caption, which are draws from
    the very distribution of the world: no model can do better in expectation, as far as the codec
    tells clips apart. "still" is that of the repeated picture, which knows of no motion.
    """
    scenes = scenes_of(settings)
    frames = np.stack([scene.frames for scene in scenes])
    true = encoded(frames)
    count = settings["draws"]
    takes = torch.stack([
        encoded(np.stack([scene.frames for scene in scenes_of(settings, take)]))
        for take in range(1, count + 1)
    ])  # fmt: skip
    still = encoded(frames[:, :1].repeat(frames.shape[1], axis=1)).expand(count, *true.shape)
    told = {
        "seed": settings["seed"],
        "motion": motion(torch.from_numpy(frames)).tolist(),
        "things": [len(scene.things) for scene in scenes],
        "take": energy_score(takes[:, :, FIRST:], true[:, FIRST:]).tolist(),
        "still": energy_score(still[:, :, FIRST:], true[:, FIRST:]).tolist(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file({"true": true}, folder / "latents.safetensors")
    write_text(folder / "truth.json", json.dumps(told) + "\n")


def read_truth(folder: Path) -> Tensor:
    """(N, F, C, H, W) latents of the scenes."""
    return load_file(folder / "latents.safetensors")["true"]


def encoded(videos: NDArray[np.uint8] | Sequence[NDArray[np.uint8]]) -> Tensor:
    """(N, F, C, H, W) latents of clips (N, F, H, W, 3), by the base's codec."""
    codec: Any = _codec()
    pixels = torch.from_numpy(np.asarray(videos)).permute(0, 1, 4, 2, 3).float() / 255
    parts = [codec.encode(list(part), None).mean for part in pixels.split(BATCH)]
    return torch.cat(parts).contiguous()


@cache
def _codec() -> Any:
    return FrameBridgePipeline.from_pretrained(BASE).latent_codec
