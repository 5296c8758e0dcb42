"""FrameBridge's released models give what their authors' sampler gives from the same noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import CogVideoXTransformer3DModel
from PIL import Image

from fbridge.errors import CheckpointError
from fbridge.loaders import official
from fbridge.loaders.load import load_pretrained
from fbridge.pipeline import FrameBridgePipeline
from fbridge.sampling import seeded_noise
from tests.pipelines import publish

PICTURE = Image.fromarray(np.random.default_rng(3).integers(0, 256, (64, 64, 3), np.uint8))


@pytest.fixture
def released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """CogVideoX with 32 input channels for 16, here 8 for 4, alone in its folder; and the rest."""
    small = {"num_attention_heads": 2, "attention_head_dim": 16, "num_layers": 2}
    small |= {"in_channels": 8, "out_channels": 4}
    monkeypatch.setattr("fbridge.loaders.official._2B", official._2B | small)
    folder = publish("cogvideox", tmp_path / "base")
    base = load_pretrained(str(folder))
    base.family.expand_inputs(base.transformer, 1)
    torch.nn.init.normal_(
        base.transformer.patch_embed.proj.weight,
        std=0.1,
        generator=torch.Generator().manual_seed(1),
    )
    base.transformer.save_pretrained(tmp_path / "FrameBridge-CogVideoX/transformer")
    return tmp_path


def load(home: Path) -> Any:
    return FrameBridgePipeline.from_pretrained(
        home / "FrameBridge-CogVideoX", components=str(home / "base")
    )


def test_it_is_sampled_as_its_authors_do(released: Path) -> None:
    pipe = load(released)
    config = pipe.scheduler.config
    assert (config.start, config.steps, config.guidance_scale) == ("exact", 50, 6.0)
    assert (config.sampler, config.grid, config.prediction) == ("sde", "trailing", "aligned-v")
    assert pipe.frame_limits.default == 17
    assert pipe.output_size((640, 480)) == (256, 256)
    assert (pipe.untrained, "FrameBridge's released bridge" in pipe.notice) == (False, True)
    made = pipe(PICTURE, "a cat jumps", num_frames=9, size=(64, 64), num_inference_steps=10, seed=4)
    assert (made.latents - authors(pipe, released, steps=10, seed=4)).abs().max() < 2e-3
    other = pipe(
        PICTURE, "a cat jumps", num_frames=9, size=(64, 64), num_inference_steps=10, seed=4,
        start="noised",
    )  # fmt: skip
    assert (made.latents - other.latents).abs().max() > 0.05


def authors(pipe: Any, home: Path, *, steps: int, seed: int) -> torch.Tensor:
    """Their algorithm, written anew from their bridge's numbers: (1, F, C, H, W) in float64 tables.

    Bridge: alpha 1, sigma^2(t) = 25 t^2 + 0.01 (t - t^2 / 2) at t = (i + 1) / 1001.
    """
    t = (np.arange(1000) + 1) / 1001
    variance = 0.5 * (50 - 0.01) * t**2 + 0.01 * t
    whole = (50 + 0.01) / 2
    a, b = (whole - variance) / whole, variance / whole
    c = np.sqrt((whole - variance) * variance / whole)
    signal = load_pretrained(str(home / "base"))
    scheduler = diffusers_scheduler(home)
    alphas = scheduler.alphas_cumprod.double().numpy()
    levels = np.sqrt(alphas / (1 - alphas))
    # ratio -> step: linear between the table's, from (levels[0] + largest ratio) down to zero
    nodes = np.concatenate([[levels[0] + a[0] / c[0]], levels[1:], [0.0]])
    aligned = np.interp(-(a / c), -nodes, np.arange(1001))

    vae = signal.vae
    pixels = torch.from_numpy(np.asarray(PICTURE)).permute(2, 0, 1)[None, :, None] / 127.5 - 1
    still = pixels.expand(-1, -1, 9, -1, -1)
    with torch.no_grad():
        prior = vae.encode(still).latent_dist.mode().transpose(1, 2) * vae.config.scaling_factor
    words = torch.cat([pipe.encode_prompts([text])[0] for text in ("", "a cat jumps")])
    assert words.shape[1] == 226
    network = CogVideoXTransformer3DModel.from_pretrained(
        home / "FrameBridge-CogVideoX/transformer"
    ).eval()
    visited = [int(i) for i in np.round(np.arange(1000, 0, -1000 / steps)) - 1]
    noise = seeded_noise([seed])
    x = prior
    for n, i in enumerate(visited):
        length = np.sqrt(a[i] ** 2 + c[i] ** 2)
        seen = torch.cat([(x - b[i] * prior) / length, prior], 2).float()
        with torch.no_grad():
            out = network(
                torch.cat([seen, seen]), words, torch.full((2,), aligned[i]).float(),
                return_dict=False,
            )[0]  # fmt: skip
        v = out[:1] + 6.0 * (out[1:] - out[:1])
        clean = a[i] / length * (x - b[i] * prior) / length - c[i] / length * v
        if n + 1 == len(visited):
            return clean
        left = variance[visited[n + 1]] / variance[i]
        fresh = noise(prior.shape)
        x = left * x + (1 - left) * clean + np.sqrt(variance[visited[n + 1]] * (1 - left)) * fresh
    raise AssertionError


def diffusers_scheduler(home: Path) -> Any:
    from diffusers import CogVideoXDDIMScheduler

    return CogVideoXDDIMScheduler.from_pretrained(home / "base/scheduler")


def test_other_widened_networks_are_not_guessed_at(tmp_path: Path) -> None:
    base = load_pretrained(str(publish("wan", tmp_path / "base")))
    base.family.expand_inputs(base.transformer, 1)
    base.transformer.save_pretrained(tmp_path / "i2v")
    with pytest.raises(CheckpointError, match="image-to-video model of unknown kind"):
        FrameBridgePipeline.from_pretrained(tmp_path / "i2v", components=str(tmp_path / "base"))
