"""Step caches: exact where they leave nothing out, faster where they do, and fresh in each call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from fbridge.errors import ConfigError
from fbridge.memory.apply import apply_memory_options
from fbridge.memory.options import MemoryOptions
from fbridge.pipeline import FrameBridgePipeline
from tests.pipelines import PUBLISHED, publish

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
STEPS = 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pipelines")


def load(folder: Path, name: str, **memory: Any) -> FrameBridgePipeline:
    place = folder / name
    if not place.is_dir():
        publish(name, place)
    pipe = FrameBridgePipeline.from_pretrained(place)
    apply_memory_options(pipe, "cpu", MemoryOptions(**memory))
    return pipe


def latents(pipe: FrameBridgePipeline, name: str = "wan", **options: Any) -> Tensor:
    frames = PUBLISHED[name].frames if name in PUBLISHED else 5
    how = {"num_inference_steps": STEPS, "guidance_scale": 2.0, **options}
    made: Tensor = pipe(PICTURE, "one two", num_frames=frames, size=(64, 64), **how).latents
    return made


@contextmanager
def calls(layer: torch.nn.Module) -> Iterator[list[int]]:
    """A number for each time that a layer computes."""
    seen: list[int] = []
    handle = layer.register_forward_hook(lambda *_: seen.append(len(seen)))
    yield seen
    handle.remove()


@pytest.mark.parametrize("name", ["wan", "cogvideox", "ltx", "hunyuan", "latte"])
@pytest.mark.parametrize(
    ("cache", "exact"), [("first-block", "0"), ("taylorseer", "1"), ("magcache", "0")]
)
def test_a_cache_that_leaves_nothing_out_changes_nothing(
    folder: Path, name: str, cache: str, exact: str
) -> None:
    if name == "latte" and cache != "taylorseer":
        with pytest.raises(ConfigError, match="diffusers has none for a LatteTransformer3DModel"):
            load(folder, name, cache=cache)
        return
    usual = latents(load(folder, name), name)
    assert torch.equal(latents(load(folder, name, cache=f"{cache}:{exact}"), name), usual)
    some = latents(load(folder, name, cache=f"{cache}:{'0.3' if exact == '0' else '3'}"), name)
    assert 0 < float((some - usual).norm() / usual.norm()) < 0.1


@pytest.mark.parametrize(
    ("cache", "most"), [("first-block:1", 1), ("taylorseer:3", 5), ("magcache:1", 3)]
)
def test_blocks_are_left_out(folder: Path, cache: str, most: int) -> None:
    pipe = load(folder, "wan", cache=cache)
    latents(pipe)  # magcache measures first
    with calls(pipe.transformer.blocks[-1].attn1.to_q) as seen:
        latents(pipe)
    assert len(seen) == most


@pytest.mark.parametrize("cache", ["first-block:0.3", "taylorseer:3", "magcache:0.5"])
def test_each_call_begins_afresh(folder: Path, cache: str) -> None:
    pipe = load(folder, "wan", cache=cache)
    first = latents(pipe)
    assert torch.equal(latents(pipe), first)

    def stop(step: int, _: int) -> None:
        if step == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        latents(pipe, callback=stop)
    assert torch.equal(latents(pipe), first)
    assert torch.equal(latents(load(folder, "wan", cache=cache, offload="group")), first)


@pytest.mark.parametrize("cache", ["taylorseer:3", "magcache:0.5"])
def test_both_networks_of_a_pair_have_one(folder: Path, cache: str) -> None:
    pipe = load(folder, "wan-a14b", cache=cache)
    latents(pipe, "wan-a14b", strength=1.0)  # magcache measures first
    usual = latents(load(folder, "wan-a14b"), "wan-a14b", strength=1.0)
    layers = [net.blocks[-1].attn1.to_q for net in (pipe.transformer, pipe.transformer_2)]
    with calls(layers[0]) as high, calls(layers[1]) as low:
        made = latents(pipe, "wan-a14b", strength=1.0)
    assert len(high) + len(low) < STEPS
    assert min(len(high), len(low)) > 0
    assert 0 < float((made - usual).norm() / usual.norm()) < 0.1


def test_magcache_measures_each_way_of_sampling_once_and_no_clip(folder: Path) -> None:
    pipe = load(folder, "wan", cache="magcache:0.5")
    other = Image.fromarray(255 - np.asarray(PICTURE))
    layer = pipe.transformer.blocks[-1].attn1.to_q

    def made(**options: Any) -> int:
        with calls(layer) as seen:
            latents(pipe, **options)
        return len(seen)

    first, second = made(), made()
    assert first == STEPS + second
    assert second < STEPS
    assert made(seed=3) == second
    assert made(num_inference_steps=6) > 6
    assert made(num_inference_steps=6) < 6
    assert made(guidance_scale=1.0) > STEPS
    assert made() == second  # the first way is still known
    assert {len(ratios) for (ratios,) in pipe.step_ratios.values()} == {STEPS, 6}
    fresh = load(folder, "wan", cache="magcache:0.5")
    fresh(
        other, "three", num_inference_steps=STEPS, guidance_scale=2.0, num_frames=9, size=(64, 64)
    )
    assert torch.equal(latents(fresh), latents(pipe))


def test_ratios_that_fit_no_network_are_measured_again(folder: Path) -> None:
    pipe = load(folder, "wan", cache="magcache:0.5")
    usual = latents(pipe)
    ((way, ratios),) = pipe.step_ratios.items()
    pipe.step_ratios[way] = []
    assert torch.equal(latents(pipe), usual)
    assert pipe.step_ratios[way] == ratios


def test_a_copy_that_counts_elsewhere_is_no_silent_one(folder: Path) -> None:
    copied = deepcopy(load(folder, "wan", cache="magcache:0.5"))
    with pytest.raises(ConfigError, match=r"nothing could be measured.*load the model anew"):
        latents(copied)


def test_other_weights_are_measured_anew(folder: Path) -> None:
    pipe = load(folder, "wan", cache="magcache:0.5")
    latents(pipe)
    pipe.to(torch.bfloat16)
    latents(pipe)
    assert len(pipe.step_ratios) == 2


def test_an_interrupted_measurement_leaves_nothing_behind(folder: Path) -> None:
    pipe = load(folder, "wan", cache="magcache:0.5")
    seen: list[int] = []

    def stop(*_: object) -> None:
        seen.append(1)
        if len(seen) == 3:
            raise KeyboardInterrupt

    stopping = pipe.transformer.proj_out.register_forward_hook(stop)
    with pytest.raises(KeyboardInterrupt):
        latents(pipe)
    stopping.remove()
    assert not pipe.step_ratios
    assert torch.equal(latents(pipe), latents(load(folder, "wan", cache="magcache:0.5")))
    assert not pipe.transformer._forward_hooks


@pytest.mark.parametrize(
    ("cache", "told"),
    [
        ("teacache", "unknown; choose none, first-block, taylorseer, magcache"),
        ("magcache:-1", "its number must be from 0 to 1, such as magcache:0.06"),
        ("first-block:2", "its number must be from 0 to 1, such as first-block:0.05"),
        ("first-block:x", "its number must be from 0 to 1"),
        ("taylorseer:1.5", "its number must be a whole number of steps, 1 or more, such as tay"),
        ("taylorseer:0", "its number must be a whole number of steps"),
        ("none:1", "unknown"),
    ],
)
def test_impossible_ones_are_named(cache: str, told: str) -> None:
    with pytest.raises(ConfigError, match=f"--cache {cache}: {told}"):
        MemoryOptions(cache=cache)


def test_a_network_without_them_is_named(folder: Path) -> None:
    with pytest.raises(ConfigError, match="diffusers has none for a UNetMotionModel; leave it out"):
        load(folder, "animatediff", cache="taylorseer")
    pipe = FrameBridgePipeline.from_pretrained("embedded")
    with pytest.raises(ConfigError, match="--cache first-block: diffusers has none for a"):
        apply_memory_options(pipe, "cpu", MemoryOptions(cache="first-block"))


def test_a_record_has_it() -> None:
    options = MemoryOptions(cache="first-block:0.2")
    assert options.to_record() == {"cache": "first-block:0.2"}
    assert MemoryOptions.from_record(options.to_record()) == options
