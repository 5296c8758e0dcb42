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

from fbridge.alignment import DDPMSchedule
from fbridge.data.shapes import FPS, FRAMES, SIZE, ShapeClip, draw_clip
from fbridge.loaders.text_encoder import load_text_encoder
from fbridge.scheduler import build_noise_schedule

FILE = Path(__file__).parents[1] / "models/fbridge/pretrained/t2v.safetensors"
SEED, CLIPS, MIN_PSNR = 1, 24, 27.0
"""Clips that it was not trained on."""


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
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
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
def clips() -> list[ShapeClip]:
    return [draw_clip(SEED, number) for number in range(CLIPS)]


@pytest.fixture(scope="module")
def latents(models: dict[str, Any], clips: list[ShapeClip]) -> Tensor:
    return encoded(models["vae"], pixels(clips))


def pixels(clips: list[ShapeClip]) -> Tensor:
    """(B, F, 3, H, W) in [-1, 1]."""
    frames = torch.from_numpy(np.stack([clip.frames for clip in clips]))
    return frames.permute(0, 1, 4, 2, 3).float() / 127.5 - 1


@torch.no_grad()
def encoded(vae: Any, frames: Tensor) -> Tensor:
    raw = vae.encode(frames.flatten(0, 1)).latents * vae.config.scaling_factor
    return raw.unflatten(0, frames.shape[:2])


def told(captions: list[str], tokens: int) -> Tensor:
    """(B, tokens, D) embeddings without padding, then zeros."""
    text, mask = load_text_encoder()(captions)
    text = (text * mask[..., None])[:, :tokens]
    return torch.nn.functional.pad(text, (0, 0, 0, tokens - text.shape[1]))


@torch.no_grad()
def error(
    models: dict[str, Any], header: dict[str, Any], latents: Tensor, text: Tensor, time: int
) -> tuple[Tensor, Tensor]:
    """Each clip's squared error of v at a DDPM step, and that of predicting zero."""
    base = build_noise_schedule(header["noise"])
    assert isinstance(base, DDPMSchedule)
    squared = base.alphas_cumprod[time].float()
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    noisy = squared.sqrt() * latents + (1 - squared).sqrt() * noise
    wanted = squared.sqrt() * noise - (1 - squared).sqrt() * latents
    times = torch.full((len(latents),), float(time))
    v = models["transformer"](noisy, text, times).sample
    axes = (1, 2, 3, 4)
    return (v - wanted).square().mean(axes), wanted.square().mean(axes)


def test_the_header_says_what_the_file_is(header: dict[str, Any]) -> None:
    assert FILE.stat().st_size < 25_000_000
    assert (header["format"], header["kind"], header["prediction"]) == (1, "text-to-video", "v")
    assert header["frames"] == [FRAMES, FRAMES, FRAMES, 1]
    assert header["fps"] == FPS
    assert header["sizes"] == [[SIZE, SIZE]]
    assert header["transformer"]["in_channels"] == header["vae"]["latent_channels"]
    assert build_noise_schedule(header["noise"]).covers(torch.zeros(1, dtype=torch.float64) + 1)
    assert not any(name.startswith("/") for name in map(str, header.values()))


def test_the_autoencoder_keeps_pictures_and_scales_latents(
    models: dict[str, Any], clips: list[ShapeClip], latents: Tensor
) -> None:
    vae, frames = models["vae"], pixels(clips)
    with torch.no_grad():
        shown = vae.decode(latents.flatten(0, 1) / vae.config.scaling_factor).sample
    squared = ((shown.clamp(-1, 1) - frames.flatten(0, 1)) / 2).square().mean()
    assert -10 * float(squared.log10()) > MIN_PSNR
    assert float(latents.std()) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(("time", "most"), [(300, 0.2), (500, 0.2), (700, 0.35)])
def test_it_knows_the_clips(
    models: dict[str, Any], header: dict[str, Any], clips: list[ShapeClip], latents: Tensor,
    time: int, most: float,
) -> None:  # fmt: skip
    text = told([clip.caption for clip in clips], header["transformer"]["max_text_seq_length"])
    own, trivial = error(models, header, latents, text, time)
    assert float(own.mean() / trivial.mean()) < most


@pytest.mark.parametrize("time", [600, 800, 950])
def test_the_right_words_help(
    models: dict[str, Any], header: dict[str, Any], clips: list[ShapeClip], latents: Tensor,
    time: int,
) -> None:  # fmt: skip
    captions = [clip.caption for clip in clips]
    tokens = header["transformer"]["max_text_seq_length"]
    right, _ = error(models, header, latents, told(captions, tokens), time)
    wrong, _ = error(models, header, latents, told(captions[1:] + captions[:1], tokens), time)
    assert float(right.mean()) < float(wrong.mean())
    assert float((right < wrong).float().mean()) > 0.6
