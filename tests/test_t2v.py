"""The small text-to-video model that ships: whole, in diffusers' own classes, and it listens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from examples.t2v.judge import sample, shown, verdicts
from examples.t2v.train_t2v import embed
from fbridge.backbones.wan import MINILM_TOKENS
from fbridge.data.scenes import SCENE_FPS, SCENE_FRAMES, SCENE_SIZE, Scene, draw_scene
from fbridge.scheduler import build_noise_schedule

FILE = Path(__file__).parents[1] / "models/fbridge/pretrained/t2v.safetensors"
SEED, CLIPS, MIN_PSNR = 1, 24, 31.0
"""Scenes that it was not trained on."""


@pytest.fixture(scope="module")
def header() -> dict[str, Any]:
    with safe_open(FILE, framework="pt") as file:
        assert list(file.metadata()) == ["fbridge"]
        found: dict[str, Any] = json.loads(file.metadata()["fbridge"])
        return found


@pytest.fixture(scope="module")
def models(header: dict[str, Any]) -> dict[str, Any]:
    with safe_open(FILE, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert all(bool(tensor.isfinite().all()) for tensor in tensors.values())
    assert {name.split(".")[0] for name in tensors} == {"transformer", "vae"}
    found = {}
    for part in ("transformer", "vae"):
        numbers = dict(header[part])
        model = getattr(diffusers, numbers.pop("_class_name"))(**numbers)
        own = {k.removeprefix(f"{part}."): v for k, v in tensors.items() if k.startswith(part)}
        model.load_state_dict({name: tensor.float() for name, tensor in own.items()}, strict=True)
        found[part] = model.eval()
    return found


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [draw_scene(SEED, number) for number in range(CLIPS)]


@pytest.fixture(scope="module")
def latents(models: dict[str, Any], scenes: list[Scene]) -> Tensor:
    vae, pixels = models["vae"], torch.from_numpy(np.stack([scene.frames for scene in scenes]))
    mean, spread = moments(vae)
    with torch.no_grad():
        raw = vae.encode(pixels.permute(0, 4, 1, 2, 3).float() / 127.5 - 1).latent_dist.mean
    return (raw - mean) / spread


def moments(vae: Any) -> tuple[Tensor, Tensor]:
    mean, spread = (
        torch.tensor(held).view(1, -1, 1, 1, 1)
        for held in (vae.config.latents_mean, vae.config.latents_std)
    )
    return mean, spread


@torch.no_grad()
def error(network: Any, latents: Tensor, text: Tensor, level: float) -> Tensor:
    """Each clip's squared error of the velocity at a noise level; predicting zero gives about 2."""
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    times = torch.full((len(latents),), 1000 * level)
    velocity = network((1 - level) * latents + level * noise, times, text, return_dict=False)[0]
    found: Tensor = (velocity - (noise - latents)).square().mean((1, 2, 3, 4))
    return found


def test_the_header_says_what_the_file_is(header: dict[str, Any]) -> None:
    assert FILE.stat().st_size < 24_000_000
    assert (header["format"], header["kind"], header["prediction"]) == (1, "text-to-video", "flow")
    assert header["frames"] == [SCENE_FRAMES, SCENE_FRAMES, SCENE_FRAMES, 4]
    assert header["fps"] == SCENE_FPS
    assert header["sizes"] == [[SCENE_SIZE, SCENE_SIZE]]
    assert header["transformer"]["in_channels"] == header["vae"]["z_dim"]
    assert "drawn shapes" in header["world"]
    assert build_noise_schedule(header["noise"]).covers(torch.zeros(1, dtype=torch.float64) + 1)
    assert not any(name.startswith("/") for name in map(str, header.values()))


def test_the_autoencoder_keeps_clips_and_scales_latents(
    models: dict[str, Any], scenes: list[Scene], latents: Tensor
) -> None:
    frames = shown(models["vae"], latents)
    squared = np.mean([
        (made.astype(float) - scene.frames) ** 2
        for made, scene in zip(frames, scenes, strict=True)
    ])  # fmt: skip
    assert 10 * np.log10(255**2 / squared) > MIN_PSNR
    assert float(latents.std()) == pytest.approx(1, abs=0.1)
    found = verdicts(frames, scenes)
    assert np.mean([verdict.colour and verdict.shape for verdict in found]) > 0.9


@pytest.mark.parametrize("level", [0.7, 0.9])
def test_the_right_words_help(
    models: dict[str, Any], scenes: list[Scene], latents: Tensor, level: float
) -> None:
    text = embed([scene.caption for scene in scenes]).float()
    assert text.shape[1] == MINILM_TOKENS
    right = error(models["transformer"], latents, text, level)
    wrong = error(models["transformer"], latents, text.roll(1, 0), level)
    assert float((right < wrong).float().mean()) > 0.8


def test_it_draws_what_it_is_told(models: dict[str, Any]) -> None:
    scenes = [draw_scene(SEED, number, things=1) for number in range(16)]
    text = embed([*(scene.caption for scene in scenes), ""])
    made = sample(models["transformer"], text[:-1], text[-1:], steps=12, guidance=3.0, seed=0)
    found = verdicts(shown(models["vae"], made), scenes)
    for name in ("colour", "shape", "motion"):
        assert np.mean([getattr(verdict, name) for verdict in found]) >= 0.8
