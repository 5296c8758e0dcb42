"""FrameBridge-VideoCrafter gives what its authors' sampler gives from the same noise."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import CLIPVisionConfig, CLIPVisionModel

from fbridge.errors import CheckpointError
from fbridge.loaders.inspect import inspect_model
from fbridge.loaders.load import load_pretrained
from fbridge.loaders.single_file import unpack
from fbridge.pipeline import FrameBridgePipeline
from fbridge.sampling import seeded_noise
from tests.backbones.lvdm import Lvdm, resampler
from tests.whole import (
    LOOKS,
    Sight,
    Words,
    autoencoder,
    bridge_table,
    bridge_unet,
    save_whole,
    unet,
)

PICTURE = Image.fromarray(np.random.default_rng(3).integers(0, 256, (64, 64, 3), np.uint8))
TABLES = {"bridge_coef_x0": bridge_table()}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FBRIDGE_CACHE", str(tmp_path / "cache"))
    torch.manual_seed(1)
    net = bridge_unet()
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.endswith(("alpha", "bias")):
                parameter.normal_(0, 0.3)
    return save_whole(tmp_path / "FrameBridge-VideoCrafter", net, tables=TABLES)


def test_it_is_sampled_as_its_authors_do(file: Path) -> None:
    pipe = FrameBridgePipeline.from_pretrained(str(file))
    config = pipe.scheduler.config
    assert (config.start, config.steps, config.guidance_scale) == ("exact", 50, 7.5)
    assert (config.sampler, config.grid, config.prediction) == (
        "sde", "trailing", "aligned-psi-noise",
    )  # fmt: skip
    assert pipe.frame_limits == (16, 16, 16, 1)
    assert pipe.output_size((640, 480)) == (256, 256)
    assert (pipe.untrained, "FrameBridge's released bridge" in pipe.notice) == (False, True)
    how: dict[str, Any] = {"num_inference_steps": 5, "seed": 4, "first_frame": "free"}
    made = pipe(PICTURE, "a cat jumps", size=(64, 64), **how)
    theirs = authors(file, steps=5, seed=4)
    assert theirs.std() > 0.1
    assert (made.latents - theirs).abs().max() < 2e-3 * theirs.abs().max()
    other = pipe(PICTURE, "the dog", size=(64, 64), **how)
    assert (made.latents - other.latents).abs().max() > 2e-2 * theirs.abs().max()
    mirrored = PICTURE.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    seen = pipe.encode_inputs([PICTURE, mirrored], ["a", "a"], (64, 64))[1].image_embeds
    assert seen is not None
    assert (seen[0] - seen[1]).abs().max() > 0.1


@torch.no_grad()
def authors(file: Path, *, steps: int, seed: int) -> torch.Tensor:
    """Their algorithm, written anew from their bridge's numbers: (1, F, C, H, W).

    Bridge: alpha 1, sigma^2(t) = 25 t^2 + 0.01 (t - t^2 / 2) at t = (i + 1) / 1001; noise betas
    from 0.00085 to 0.012 whose roots grow linearly; psi noise (z - z_0) / sigma.
    """
    t = (np.arange(1000) + 1) / 1001
    variance = 0.5 * (50 - 0.01) * t**2 + 0.01 * t
    total = (50 + 0.01) / 2
    a, b = (total - variance) / total, variance / total
    c = np.sqrt((total - variance) * variance / total)
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    alphas = np.cumprod(1 - betas)
    levels = np.sqrt(alphas / (1 - alphas))
    nodes = np.concatenate([[levels[0] + a[0] / c[0]], levels[1:], [0.0]])
    aligned = np.interp(-(a / c), -nodes, np.arange(1001))

    held = torch.load(file, weights_only=True)["state_dict"]

    def under(place: str) -> dict[str, torch.Tensor]:
        return {k[len(place) :]: v for k, v in held.items() if k.startswith(place)}

    words, sight = Words().eval(), Sight().eval()
    words.load_state_dict(under("cond_stage_model.model."))
    sight.load_state_dict(under("embedder.model.visual."))
    torch.manual_seed(5)
    vae = autoencoder()
    pixels = torch.from_numpy(np.array(PICTURE)).permute(2, 0, 1)[None] / 127.5 - 1
    still = vae.encode(pixels).latent_dist.mode() * 0.18215
    prior = still[:, :, None].expand(-1, -1, 16, -1, -1)  # (1, C, T, H, W)
    # as kornia resizes at these sizes, then the mean and spread of CLIP
    sized = torch.nn.functional.interpolate(pixels, (56, 56), mode="bicubic", align_corners=True)
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None]
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None]
    seen = sight(((sized + 1) / 2 - mean) / std)
    looks = resampler(under("image_proj_model."), seen, 64).unflatten(1, (16, 2))
    prompts = [words(torch.tensor([ids + [0] * (77 - len(ids))])) for ids in ([3, 4, 5, 1], [1])]
    network = Lvdm(under("model.diffusion_model."), 16)

    visited = [int(i) for i in np.round(np.arange(1000, 0, -1000 / steps)) - 1]
    noise = seeded_noise([seed])
    x = prior
    for n, i in enumerate(visited):
        shown = (x - b[i] * prior) / np.sqrt(a[i] ** 2 + c[i] ** 2)
        given, step = torch.cat([shown, prior], 1).float(), torch.tensor([aligned[i]]).float()
        told, untold = (network(given, step, text, rate=3, looks=looks) for text in prompts)
        psi = untold + 7.5 * (told - untold)
        clean = x - np.sqrt(variance[i]) * psi
        if n + 1 == len(visited):
            return clean.transpose(1, 2)
        later = variance[visited[n + 1]]
        left = later / variance[i]
        fresh = noise(prior.transpose(1, 2).shape).transpose(1, 2)
        x = left * x + (1 - left) * clean + np.sqrt(later * (1 - left)) * fresh
    raise AssertionError


def test_its_folder_stands_for_its_one_file(file: Path) -> None:
    pipe = FrameBridgePipeline.from_pretrained(file.parent)
    assert pipe.model_hash == FrameBridgePipeline.from_pretrained(file).model_hash
    (file.parent / "other.pt").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"holds no model_index\.json"):
        FrameBridgePipeline.from_pretrained(file.parent)


def test_a_diffusion_that_is_told_of_the_picture_is_not_taken_for_it(tmp_path: Path) -> None:
    """DynamiCrafter's networks have the same shapes; their files have no bridge's tables."""
    place = save_whole(tmp_path / "dynamicrafter", bridge_unet())
    with pytest.raises(CheckpointError, match="CLIP's embedding of the picture"):
        FrameBridgePipeline.from_pretrained(str(place))


def test_what_it_is_told_by_info(file: Path) -> None:
    told = inspect_model(str(file))
    assert (told.kind, told.refused, told.tokens) == ("whole", "", 77)
    assert told.parameters == sum(p.numel() for p in bridge_unet().parameters())


def test_a_file_may_say_that_it_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one saved without its tables, which the authors' own code loads too."""
    monkeypatch.setenv("FBRIDGE_CACHE", str(tmp_path / "cache"))
    place = save_whole(tmp_path / "bridge", bridge_unet())
    said = {"_class_name": "VideoCrafterUNet", "bridge": True}
    (place.parent / "config.json").write_text(json.dumps(said))
    pipe = FrameBridgePipeline.from_pretrained(str(place))
    assert (pipe.scheduler.config.start, pipe.transformer.config.frames) == ("exact", 16)


def test_videocrafters_own_image_to_video_model_is_refused(tmp_path: Path) -> None:
    net = unet(temporal_conv=True, reach=0, rate=28, image=LOOKS, frames=16)
    place = save_whole(tmp_path, net)
    told = inspect_model(str(place))
    assert told.variant == "VideoCrafter-1 I2V 512"
    assert "not supported" in told.refused
    with pytest.raises(CheckpointError, match="VideoCrafter-1 I2V are, which is not supported"):
        FrameBridgePipeline.from_pretrained(str(place))


@pytest.mark.parametrize(
    ("tables", "told"),
    [
        ({"bridge_coef_x0": bridge_table(1.0)}, r"model\.ckpt: its bridge .* has other betas"),
        (TABLES | {"original_diffusion_rescale": torch.ones(1000)}, "signal is scaled down"),
    ],
)
def test_another_bridge_is_refused(tmp_path: Path, tables: Any, told: str) -> None:
    place = save_whole(tmp_path, bridge_unet(), tables=tables)
    with pytest.raises(CheckpointError, match=told):
        load_pretrained(str(place))


def test_it_is_saved_and_loaded_whole(file: Path, tmp_path: Path) -> None:
    pipe = FrameBridgePipeline.from_pretrained(str(file))
    given: dict[str, Any] = {"size": (64, 64), "num_inference_steps": 1, "seed": 2}
    made = pipe(PICTURE, "a cat", **given)
    pipe.save_pretrained(tmp_path / "saved")
    again = FrameBridgePipeline.from_pretrained(tmp_path / "saved")
    assert torch.equal(again(PICTURE, "a cat", **given).latents, made.latents)
    encoder = load_pretrained(str(tmp_path / "saved")).image_encoder
    assert encoder.config.hidden_size == pipe.image_encoder.config.hidden_size


def test_the_picture_is_seen_by_its_own_encoder(file: Path, tmp_path: Path) -> None:
    home = unpack(file)
    shutil.copytree(home, tmp_path / "parts")
    shutil.rmtree(tmp_path / "parts/image_encoder")
    with pytest.raises(CheckpointError, match=r"lack image_encoder/config.json; .*leave --compo"):
        FrameBridgePipeline.from_pretrained(str(file), components=str(tmp_path / "parts"))
    other = CLIPVisionConfig(hidden_size=32, num_attention_heads=2, image_size=28, patch_size=14)
    CLIPVisionModel(other).save_pretrained(tmp_path / "parts/image_encoder")
    with pytest.raises(CheckpointError, match="has 32 features where the network takes 64"):
        FrameBridgePipeline.from_pretrained(str(file), components=str(tmp_path / "parts"))
    weights = home / "image_encoder/model.safetensors"
    held = load_file(weights)
    held.pop(next(name for name in held if "class_embedding" in name))
    save_file(held, weights, {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"are incomplete: 1 missing, .*class_embedding"):
        FrameBridgePipeline.from_pretrained(str(file))
