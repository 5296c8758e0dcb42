"""What makes a large model fit leaves its videos as they are, or near them."""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fbridge.backbones.latte_class import LatteClassTransformer
from fbridge.backbones.space_time import SpaceTimeTransformer
from fbridge.backbones.videocrafter.network import VideoCrafterUNet
from fbridge.errors import ConfigError, DependencyError
from fbridge.memory.apply import apply_memory_options, shrink
from fbridge.memory.options import MemoryOptions
from fbridge.pipeline import FrameBridgePipeline
from fbridge.types import Condition
from tests.bases import tiny_transformer
from tests.pipelines import PUBLISHED, publish
from tests.whole import save_whole, unet

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
Usual = Callable[[str], torch.Tensor]
every = pytest.mark.parametrize("name", ["cogvideox", "wan", "ltx", "latte", "videocrafter"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """All of the small pipelines, and a whole model's file."""
    home = tmp_path_factory.mktemp("pipelines")
    for name in ("cogvideox", "wan", "ltx", "latte"):
        publish(name, home / name)
    save_whole(home, unet()).rename(home / "videocrafter.ckpt")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FBRIDGE_CACHE", str(home / "cache"))
        yield home


def latents(folder: Path, name: str, memory: MemoryOptions) -> torch.Tensor:
    file = folder / f"{name}.ckpt"
    pipe = FrameBridgePipeline.from_pretrained(file if file.is_file() else folder / name)
    apply_memory_options(pipe, "cpu", memory)
    frames = PUBLISHED[name].frames if name in PUBLISHED else 4
    made: torch.Tensor = pipe(
        PICTURE, "a cat jumps", num_frames=frames, size=(64, 64),
        num_inference_steps=2, guidance_scale=2.0,
    ).latents  # fmt: skip
    return made


@pytest.fixture(scope="module")
def usual(folder: Path) -> Callable[[str], torch.Tensor]:
    """What each makes without any switch."""
    return cache(lambda name: latents(folder, name, MemoryOptions()))


@every
def test_layers_on_the_device_while_they_work_change_nothing(
    folder: Path, usual: Usual, name: str
) -> None:
    assert torch.equal(latents(folder, name, MemoryOptions(offload="group")), usual(name))


def test_offloading_that_this_diffusers_cannot_do_is_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AttributeError("'NoneType' object has no attribute 'type'")

    monkeypatch.setattr("diffusers.hooks.apply_group_offloading", fail)
    with pytest.raises(DependencyError, match=r"on the CPU alone it needs diffusers 0\.41"):
        latents(folder, "wan", MemoryOptions(offload="group"))


@every
@pytest.mark.parametrize(
    ("memory", "package", "allowed"),
    [
        (MemoryOptions(cast="float8"), "torch", 0.05),
        (MemoryOptions(quantize="int8"), "torchao", 0.02),
        (MemoryOptions(quantize="nf4"), "bitsandbytes", 0.2),
    ],
    ids=["float8", "int8", "nf4"],
)
def test_fewer_bits_change_little(
    folder: Path,
    usual: Usual,
    name: str,
    memory: MemoryOptions,
    package: str,
    allowed: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip(package)
    monkeypatch.setattr("fbridge.backbones.family.FEWEST", 100)
    changed, before = latents(folder, name, memory), usual(name)
    assert 0 < float((changed - before).norm() / before.norm()) < allowed


def test_weights_beyond_float8_are_kept_and_others_than_numbers_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fbridge.backbones.family.FEWEST", 100)
    network = tiny_transformer()
    weight = network.transformer_blocks[0].ff.net[2].weight.data
    weight[0, 0] = 500.0
    shrink(network, MemoryOptions(cast="float8"))
    layer = network.transformer_blocks[0].ff.net[2]
    assert float(layer.weight[0, 0].float() * layer.scale[0, 0]) == pytest.approx(500, rel=0.05)
    for value in (-math.inf, math.nan):
        network = tiny_transformer()
        network.transformer_blocks[0].ff.net[2].weight.data[0, 0] = value
        told = r"cast float8: transformer_blocks\.0\.ff\.net\.2\.weight is not finite"
        with pytest.raises(ConfigError, match=told):
            shrink(network, MemoryOptions(cast="float8"))


@pytest.mark.parametrize(
    "memory", [MemoryOptions(slicing=True), MemoryOptions(attention="_native_math")]
)
def test_slices_and_attention_change_the_rounding(
    folder: Path, usual: Usual, memory: MemoryOptions
) -> None:
    torch.testing.assert_close(latents(folder, "wan", memory), usual("wan"), rtol=0, atol=1e-4)


def test_attention_without_masks_is_refused_where_words_have_them(folder: Path) -> None:
    for attention in ("flash", "_native_flash", "sage"):
        with pytest.raises(ConfigError, match=f"attention {attention}: takes no masks"):
            latents(folder, "ltx", MemoryOptions(attention=attention))


@pytest.mark.parametrize("name", ["latte", "videocrafter"])
def test_attention_that_would_change_nothing_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="computes its own way and no other; leave it out"):
        latents(folder, name, MemoryOptions(attention="_native_math"))


def test_tiles_differ_a_little_at_their_seams(folder: Path) -> None:
    pipe = FrameBridgePipeline.from_pretrained(folder / "wan")
    ask: dict[str, Any] = {"num_frames": 9, "num_inference_steps": 1}
    wide = (384, 320)
    picture = PICTURE.resize(wide)
    usual = pipe(picture, "a cat", size=wide, **ask).frames[0].astype(int)
    apply_memory_options(pipe, "cpu", MemoryOptions(tiling=True))
    tiled = pipe(picture, "a cat", size=wide, **ask).frames[0].astype(int)
    assert tiled.shape == usual.shape
    gap = np.abs(tiled - usual)
    assert 0 < gap.mean() < 12


def test_offloading_whole_networks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no accelerator here: what diffusers would be told is looked at instead."""
    with pytest.raises(DependencyError, match=r"offload model.*accelerator"):
        latents(folder, "wan", MemoryOptions(offload="model"))
    told = []
    monkeypatch.setattr(
        FrameBridgePipeline, "enable_model_cpu_offload", lambda _, device: told.append(device)
    )
    pipe = FrameBridgePipeline.from_pretrained(folder / "wan")
    apply_memory_options(pipe, "cuda:0", MemoryOptions(offload="model"))
    assert told == ["cuda:0"]
    monkeypatch.undo()
    usual = latents(folder, "wan", MemoryOptions())
    pipe.enable_model_cpu_offload(device="cpu")
    moved = pipe(
        PICTURE, "a cat jumps", num_frames=9, size=(64, 64), num_inference_steps=2,
        guidance_scale=2.0,
    ).latents  # fmt: skip
    assert torch.equal(moved, usual)


def test_what_cannot_be_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="int8 and cast float8: weights are kept in one way"):
        latents(folder, "wan", MemoryOptions(quantize="int8", cast="float8"))
    with pytest.raises(ConfigError, match="attention 'fast' is unknown; known: flash, "):
        latents(folder, "wan", MemoryOptions(attention="fast"))
    with pytest.raises(DependencyError, match="attention flash: cannot be used here"):
        latents(folder, "wan", MemoryOptions(attention="flash"))
    embedded = FrameBridgePipeline.from_pretrained("embedded")
    with pytest.raises(ConfigError, match="this model has a SceneCodec"):
        apply_memory_options(embedded, "cpu", MemoryOptions(tiling=True))
    actual = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith(("torchao", "bitsandbytes")):
            raise ImportError(name)
        return actual(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DependencyError, match="pip install torchao"):
        apply_memory_options(embedded, "cpu", MemoryOptions(quantize="int8"))
    with pytest.raises(DependencyError, match="pip install bitsandbytes"):
        apply_memory_options(embedded, "cpu", MemoryOptions(quantize="nf4"))


def test_our_own_networks_compute_in_their_precision_whatever_keeps_their_weights() -> None:
    torch.manual_seed(1)
    x, told = torch.randn(1, 4, 4, 8, 8), torch.tensor([5.0])
    words = torch.randn(1, 3, 12), torch.ones(1, 3, dtype=torch.bool)
    condition = Condition(*words, torch.randn(1, 4, 8, 8), torch.tensor([1]))
    for net in (
        SpaceTimeTransformer(4, 8, 8, 4, dim=32, depth=1, heads=2, text_width=12),
        LatteClassTransformer(
            input_size=8, hidden_size=32, depth=2, num_heads=2, num_classes=3, num_frames=4
        ),
        VideoCrafterUNet(model_channels=32, head_features=16, context_dim=12, num_res_blocks=1),
    ):
        with torch.no_grad():
            for parameter in net.parameters():
                if not parameter.any():
                    parameter.normal_(0, 0.05)
            net = net.eval()
            exact = net(x, told, condition, x)
            net.enable_layerwise_casting(torch.float8_e4m3fn, torch.float32)
            near = net(x, told, condition, x)
        gap = float((near - exact).norm() / exact.norm())
        assert 0 < gap < 0.2, type(net).__name__


def test_other_networks_keep_their_attention(folder: Path) -> None:
    """Diffusers' own switch is one for the whole process."""
    from diffusers.models.attention_dispatch import _AttentionBackendRegistry

    before = _AttentionBackendRegistry.get_active_backend()[0]
    latents(folder, "wan", MemoryOptions(attention="_native_math"))
    assert _AttentionBackendRegistry.get_active_backend()[0] == before
