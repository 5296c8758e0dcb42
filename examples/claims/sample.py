"""Draws of a model for the held-out scenes, and their scores."""

from __future__ import annotations

import csv
import json
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from examples.claims.scores import decibels, energy_score, motion, spread
from examples.claims.truth import BATCH, FIRST, read_truth, scenes_of
from fbridge import FrameBridgePipeline
from fbridge.data.scene_judge import judge
from fbridge.data.scenes import Scene
from fbridge.memory.devices import present_device

OF_A_SEED, OF_A_DRAW = 1_000_000, 10_000
"""How far apart the sampler's seeds of two seeds and of two draws are. Arms share them, which takes
some of the noise out of their differences."""


def scored_draws(model: str, settings: Mapping[str, Any], truth: Path) -> dict[str, Any]:
    """What a sample node keeps: each list has one number a scene.

    Args:
        model: name or folder of the model.
        settings: options of the pipeline, seed, number of scenes and of draws, whether to judge.
        truth: folder of the scenes.
    """
    began = time.perf_counter()
    held = json.loads((truth / "truth.json").read_text(encoding="utf-8"))
    scenes = scenes_of({"seed": held["seed"], "scenes": settings["scenes"]})
    pipe = _Undecoded.from_pretrained(model)
    pipe.set_progress_bar_config(disable=True)
    pipe.to(present_device("auto"))
    pictures = [Image.fromarray(scene.frames[0]) for scene in scenes]
    draws = torch.stack([
        _draw(pipe, pictures, scenes, OF_A_SEED * settings["seed"] + OF_A_DRAW * number,
              settings["options"])
        for number in range(settings["draws"])
    ])  # fmt: skip
    true = read_truth(truth)
    told: dict[str, Any] = {
        "seconds_per_draw": (time.perf_counter() - began) / draws[:, :, 0, 0, 0, 0].numel(),
        "commit": commit(),
        "energy": energy_score(draws[:, :, FIRST:], true[:, FIRST:]).tolist(),
        "spread": spread(draws[:, :, FIRST:]).tolist(),
    }
    if settings["judged"]:
        told |= _judged(pipe, draws[0], scenes)
    return told | _of_training(Path(model))


class _Undecoded(FrameBridgePipeline):
    """Gives latents alone: decoding takes as long as seven steps, and one draw is looked at."""

    def frames(self, *_: Any, **__: Any) -> list[Any]:
        """No videos."""
        return []


def _draw(
    pipe: FrameBridgePipeline,
    pictures: list[Image.Image],
    scenes: list[Scene],
    seed: int,
    options: Mapping[str, Any],
) -> Tensor:
    """(N, F, C, H, W) latents of one draw of each scene."""
    made = []
    for at in range(0, len(scenes), BATCH):
        part = slice(at, at + BATCH)
        prompts = [scene.caption for scene in scenes[part]]
        seeds = [seed + number for number in range(len(scenes))][part]
        made.append(pipe(pictures[part], prompts, seed=seeds, **options).latents.cpu())
    return torch.cat(made).float()


def _judged(pipe: FrameBridgePipeline, latents: Tensor, scenes: list[Scene]) -> dict[str, Any]:
    """What one draw of each scene shows: counts of its things, decibels, motion."""
    codec: Any = pipe.latent_codec
    videos = [
        (video * 255 + 0.5).clamp(0, 255).byte().permute(0, 2, 3, 1).cpu()
        for part in latents.split(BATCH)
        for video in codec.decode(part.to(pipe.execution_device), None)
    ]
    verdicts = [
        [judge(video.numpy(), thing.colour, thing.shape, thing.verb) for thing in scene.things]
        for video, scene in zip(videos, scenes, strict=True)
    ]
    found = torch.stack(videos)
    true = torch.from_numpy(np.stack([scene.frames for scene in scenes]))
    return {
        "kept": [sum(one.colour and one.shape for one in told) for told in verdicts],
        "moved": [sum(one.motion for one in told) for told in verdicts],
        "decibels": decibels(found[:, 1:], true[:, 1:]).tolist(),
        "motion": motion(found).tolist(),
    }


def _of_training(run: Path) -> dict[str, Any]:
    """What a run's folder tells besides: the curve of the clean error, FVD where it was measured.

    FVD is what `benchmarks/alignment.py` has left there; it takes longer than all else here.
    """
    told: dict[str, Any] = {}
    if (run / "metrics.csv").is_file():
        with (run / "metrics.csv").open(encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row.get("clean_error")]
        told["curve"] = [[int(row["step"]), float(row["clean_error"])] for row in rows]
    if (run / "fvd.json").is_file():
        scores = json.loads((run / "fvd.json").read_text(encoding="utf-8"))["scores"]
        one = next(score for score in scores if score["metric"] == "fvd")
        told["fvd"] = {
            "value": one["value"],
            "protocol": one["protocol"],
            "clips": one["reference"],
        }
    return told


def commit() -> str:
    """Of the checkout; "" outside of one."""
    line = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short=10", "HEAD"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    return done.stdout.strip()
