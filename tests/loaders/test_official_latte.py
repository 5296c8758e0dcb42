"""The released Latte bridges and neural prior, and the class-conditional Latte itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from PIL import Image

from fbridge.backbones.latte_class import FAMILY as LATTE_CLASS
from fbridge.backbones.latte_class import LatteClassTransformer
from fbridge.errors import CheckpointError, ConfigError
from fbridge.loaders.detect import detect
from fbridge.loaders.inspect import inspect_model
from fbridge.pipeline import FrameBridgePipeline
from fbridge.sampling import seeded_noise
from fbridge.types import Condition
from tests.pipelines import publish

PICTURE = Image.fromarray(np.random.default_rng(3).integers(0, 256, (64, 64, 3), np.uint8))


def latte_names(depth: int, width: int, channels: int, frames: int, *, timed: bool = True) -> Any:
    """Names and shapes of their Latte on 32x32 latents of 4 channels, after its modules."""
    told: dict[str, tuple[int, ...]] = {
        "pos_embed": (1, 256, width),
        "temp_embed": (1, frames, width),
        "x_embedder.proj.weight": (width, channels, 2, 2),
        "x_embedder.proj.bias": (width,),
        "y_embedder.embedding_table.weight": (102, width),
        "final_layer.linear.weight": (16, width),
        "final_layer.linear.bias": (16,),
        "final_layer.adaLN_modulation.1.weight": (2 * width, width),
        "final_layer.adaLN_modulation.1.bias": (2 * width,),
    }
    if timed:
        for layer, inputs in ((0, 256), (2, width)):
            told[f"t_embedder.mlp.{layer}.weight"] = (width, inputs)
            told[f"t_embedder.mlp.{layer}.bias"] = (width,)
    for n in range(depth):
        for name, outputs, inputs in (
            ("attn.qkv", 3 * width, width),
            ("attn.proj", width, width),
            ("mlp.fc1", 4 * width, width),
            ("mlp.fc2", width, 4 * width),
            ("adaLN_modulation.1", 6 * width, width),
        ):
            told[f"blocks.{n}.{name}.weight"] = (outputs, inputs)
            told[f"blocks.{n}.{name}.bias"] = (outputs,)
    return told


@pytest.mark.parametrize(
    ("channels", "frames", "timed", "prefix", "what", "parts"),
    [
        (4, 17, True, "", "bridge", 0),
        (8, 17, True, "", "bridge", 1),
        (4, 16, False, "nwarp_model.", "neural prior", 0),
        (4, 16, True, "", "diffusion", 0),
    ],
)
def test_their_latte_is_known_by_its_names_and_shapes(
    channels: int, frames: int, timed: bool, prefix: str, what: str, parts: int
) -> None:
    shapes = {
        prefix + name: shape
        for name, shape in latte_names(12, 384, channels, frames, timed=timed).items()
    }
    found = detect(shapes)
    assert (found.family.name, found.prefix, found.parts) == ("latte-class", prefix, parts)
    assert found.variant is not None
    assert found.variant.name == f"class-conditional Latte-S/2, {what}"
    assert found.config is not None
    assert (found.config["num_heads"], found.config["num_classes"]) == (6, 101)
    del shapes[prefix + "blocks.3.attn.proj.bias"]
    assert detect(shapes).differences[1] == "blocks.3.attn.proj.bias is missing"


LATTE = {"input_size": 8, "hidden_size": 24, "depth": 4, "num_heads": 1, "num_classes": 3}


def latte_weights(seed: int, **options: Any) -> dict[str, torch.Tensor]:
    net = LatteClassTransformer(**LATTE, **options)
    generator = torch.Generator().manual_seed(seed)
    return {k: torch.randn(v.shape, generator=generator) * 0.2 for k, v in net.state_dict().items()}


@pytest.fixture
def latte(tmp_path: Path) -> Path:
    """A bridge with its prior, as their trainer saves them, and the autoencoder of the base."""
    base = publish("latte", tmp_path / "base")
    (base / "vae").rename(tmp_path / "vae")
    bridge = latte_weights(1, num_frames=9, in_channels=8, leads=True)
    torch.save({"ema": bridge}, tmp_path / "bridge.pt")
    prior = latte_weights(2, num_frames=8, timed=False)
    torch.save({"ema": {f"nwarp_model.{k}": v for k, v in prior.items()}}, tmp_path / "prior.pt")
    return tmp_path


def test_their_latte_with_its_prior_is_sampled_as_its_authors_do(latte: Path) -> None:
    pipe = FrameBridgePipeline.from_pretrained(latte / "bridge.pt")
    assert (pipe.scheduler.config.steps, pipe.scheduler.config.guidance_scale) == (1000, 7.0)
    assert pipe.config.classes == ["0", "1", "2"]
    assert pipe.frame_limits == (8, 8, 8, 1)
    made = pipe(PICTURE, "1", num_frames=8, size=(64, 64), seed=4, first_frame="free").latents
    told = latte_authors(latte, label=1, seed=4)
    assert (made - told).norm() / told.norm() < 1e-3
    (latte / "prior.pt").unlink()
    with pytest.raises(CheckpointError, match="neural prior, and no such network lies beside it"):
        FrameBridgePipeline.from_pretrained(latte / "bridge.pt")


def latte_authors(home: Path, *, label: int, seed: int) -> torch.Tensor:
    """Their algorithm on their names, written anew: 1000 steps, classes of weight 7."""
    bridge = torch.load(home / "bridge.pt")["ema"]
    held = torch.load(home / "prior.pt")["ema"]
    guess = {k.removeprefix("nwarp_model."): v for k, v in held.items()}
    vae = AutoencoderKL.from_pretrained(home / "vae")
    pixels = torch.from_numpy(np.asarray(PICTURE)).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        first = vae.encode(pixels).latent_dist.mode()[:, None] * vae.config.scaling_factor
    still = first.expand(-1, 8, -1, -1, -1)
    prior = run_latte(guess, still, None, torch.tensor([label]))
    t = (np.arange(1000) + 1) / 1001
    variance = 0.5 * (50 - 0.01) * t**2 + 0.01 * t
    noise, x = seeded_noise([seed]), prior
    beside = torch.cat([first, prior], 1)
    for i in range(999, -1, -1):
        seen = torch.cat([torch.cat([first, x], 1), beside], 2)
        out = run_latte(
            bridge, torch.cat([seen, seen]), torch.full((2,), float(i)), torch.tensor([label, 3])
        )[:, 1:]
        psi = out[1:] + 7.0 * (out[:1] - out[1:])
        clean = x - variance[i] ** 0.5 * psi
        if i == 0:
            return clean
        left = variance[i - 1] / variance[i]
        fresh = noise(prior.shape)
        x = left * x + (1 - left) * clean + np.sqrt(variance[i - 1] * (1 - left)) * fresh
    raise AssertionError


@torch.no_grad()
def run_latte(
    w: dict[str, torch.Tensor], x: torch.Tensor, steps: torch.Tensor | None, labels: torch.Tensor
) -> torch.Tensor:
    """Their network as a function of its tensors, one head, (B, F, C, 8, 8)."""

    def linear(name: str, y: torch.Tensor) -> torch.Tensor:
        return y @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(y: torch.Tensor) -> torch.Tensor:
        return (y - y.mean(-1, True)) / (y.var(-1, unbiased=False, keepdim=True) + 1e-6).sqrt()

    b, f = x.shape[:2]
    told = w["y_embedder.embedding_table.weight"][labels]
    if steps is not None:
        rates = torch.exp(-np.log(10000) * torch.arange(128) / 128)
        angle = steps[:, None] * rates
        waves = torch.cat([angle.cos(), angle.sin()], 1)
        hidden = torch.nn.functional.silu(linear("t_embedder.mlp.0", waves))
        told = told + linear("t_embedder.mlp.2", hidden)
    told = torch.nn.functional.silu(told)
    cut = x.reshape(b, f, -1, 4, 2, 4, 2).permute(0, 1, 3, 5, 2, 4, 6).flatten(4).flatten(2, 3)
    y = cut @ w["x_embedder.proj.weight"].flatten(1).T + w["x_embedder.proj.bias"] + w["pos_embed"]
    for n in range(4):
        if n == 1:
            y = y + w["temp_embed"][:, :, None]
        s1, k1, g1, s2, k2, g2 = linear(f"blocks.{n}.adaLN_modulation.1", told)[
            :, None, None
        ].chunk(6, -1)
        z = norm(y) * (1 + k1) + s1
        z = z if n % 2 == 0 else z.transpose(1, 2)
        q, k, v = linear(f"blocks.{n}.attn.qkv", z).chunk(3, -1)
        z = torch.softmax(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5, -1) @ v
        z = z if n % 2 == 0 else z.transpose(1, 2)
        y = y + g1 * linear(f"blocks.{n}.attn.proj", z)
        z = torch.nn.functional.gelu(
            linear(f"blocks.{n}.mlp.fc1", norm(y) * (1 + k2) + s2), approximate="tanh"
        )
        y = y + g2 * linear(f"blocks.{n}.mlp.fc2", z)
    shift, scale = linear("final_layer.adaLN_modulation.1", told)[:, None, None].chunk(2, -1)
    y = linear("final_layer.linear", norm(y) * (1 + scale) + shift)
    return y.reshape(b, f, 4, 4, 2, 2, -1).permute(0, 1, 6, 2, 4, 3, 5).reshape(b, f, -1, 8, 8)


@pytest.mark.parametrize("extra", [1, 2])
def test_a_widened_latte_answers_as_before(extra: int) -> None:
    net = LatteClassTransformer(**LATTE, num_frames=8, out_channels=8)
    net.load_state_dict(latte_weights(3, num_frames=8, out_channels=8))
    x, prior = torch.randn(2, 2, 8, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    words = torch.zeros(2, 1, 4), torch.ones(2, 1, dtype=torch.bool)
    told = Condition(*words, 50 * x[:, 0], torch.tensor([2, -1]))
    time = torch.tensor([3.5, 811.0])
    before = net(x, time, told, prior)
    LATTE_CLASS.expand_inputs(net, extra)
    assert (LATTE_CLASS.extra_inputs(net), net.config.in_channels) == (extra, 4 * (1 + extra))
    assert (net(x, time, told, 50 * prior) - before).abs().max() < 1e-5
    torch.nn.init.normal_(net.x_embedder.proj.weight, std=0.1)
    assert (net(x, time, told, 50 * prior) - net(x, time, told, prior)).abs().max() > 0.01
    other = Condition(*words, told.image_latents, torch.tensor([1, 1]))
    assert (net(x, time, other, prior) - net(x, time, told, prior)).abs().max() > 0.01


def test_a_class_conditional_diffusion_is_a_base_like_others(latte: Path) -> None:
    (latte / "prior.pt").unlink()
    weights = latte_weights(3, num_frames=8, out_channels=8)
    torch.save({"model": {}, "ema": weights, "step": 7}, latte / "diffusion.pt")
    told = inspect_model(str(latte / "diffusion.pt"))
    assert (told.variant, told.missing) == ("class-conditional Latte-24/2, diffusion", [])
    pipe = FrameBridgePipeline.from_pretrained(latte / "diffusion.pt")
    assert pipe.untrained
    assert (pipe.scheduler.config.prediction, pipe.config.classes) == ("aligned-noise", list("012"))
    made = [
        pipe(PICTURE, label, num_frames=8, size=(64, 64), num_inference_steps=3).latents
        for label in ("0", "2")
    ]
    assert made[0].shape == (1, 8, 4, 8, 8)
    assert (made[0] - made[1]).abs().max() > 0.01
    with pytest.raises(ConfigError, match="has no class of that name"):
        pipe(PICTURE, "a cat", num_frames=8, size=(64, 64))
