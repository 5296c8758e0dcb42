"""What an accelerator makes is what the processor makes, with every switch that saves memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fbridge.errors import ConfigError
from fbridge.memory.apply import apply_memory_options
from fbridge.memory.options import MemoryOptions
from fbridge.pipeline import FrameBridgePipeline
from tests.pipelines import PUBLISHED, publish
from tests.whole import save_whole, unet

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
WHOLE = "videocrafter"
every = pytest.mark.parametrize("name", [*PUBLISHED, WHOLE])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("pipelines")
    for name in PUBLISHED:
        publish(name, folder / name)
    save_whole(folder, unet()).rename(folder / f"{WHOLE}.ckpt")
    exact = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FBRIDGE_CACHE", str(folder / "cache"))
        yield folder
    torch.backends.cudnn.allow_tf32 = exact


def loaded(home: Path, name: str, dtype: torch.dtype = torch.float32) -> Any:
    model = home / (f"{WHOLE}.ckpt" if name == WHOLE else name)
    return FrameBridgePipeline.from_pretrained(model, dtype=dtype)


def made(pipe: Any, name: str) -> torch.Tensor:
    latents: torch.Tensor = pipe(
        PICTURE, "a cat jumps", num_frames=4 if name == WHOLE else PUBLISHED[name].frames,
        size=(64, 64), num_inference_steps=2, guidance_scale=2.0,
    ).latents  # fmt: skip
    return latents.float().cpu()


def latents(
    home: Path, name: str, device: str, memory: MemoryOptions, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    pipe = loaded(home, name, dtype)
    apply_memory_options(pipe, device, memory)
    return made(pipe, name)


@pytest.fixture(scope="module")
def usual(home: Path) -> Callable[[str], torch.Tensor]:
    """What each makes on the processor."""
    return cache(lambda name: latents(home, name, "cpu", MemoryOptions()))


def gap(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


@every
@pytest.mark.parametrize(
    ("memory", "allowed"),
    [
        (MemoryOptions(), 2e-3),
        (MemoryOptions(offload="model"), 2e-3),
        (MemoryOptions(offload="group"), 2e-3),
        (MemoryOptions(cast="float8"), 0.1),
        (MemoryOptions(slicing=True), 2e-3),
    ],
    ids=["plain", "model", "group", "float8", "slicing"],
)
def test_it_makes_what_the_processor_makes(
    home: Path,
    usual: Callable[[str], torch.Tensor],
    name: str,
    memory: MemoryOptions,
    allowed: float,
) -> None:
    assert gap(latents(home, name, "cuda", memory), usual(name)) < allowed


@every
def test_half_precision_is_near(
    home: Path, usual: Callable[[str], torch.Tensor], name: str
) -> None:
    assert gap(latents(home, name, "cuda", MemoryOptions(), torch.bfloat16), usual(name)) < 0.1


@every
@pytest.mark.parametrize("kind", ["int8", "nf4"])
def test_few_bits_are_near(
    home: Path,
    usual: Callable[[str], torch.Tensor],
    name: str,
    kind: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip({"int8": "torchao", "nf4": "bitsandbytes"}[kind])
    monkeypatch.setattr("fbridge.backbones.family.FEWEST", 100)
    found = latents(home, name, "cuda", MemoryOptions(quantize=kind))
    assert gap(found, usual(name)) < {"int8": 0.05, "nf4": 0.4}[kind]


def test_flash_attention_is_near_and_chosen_for_one_network_alone(
    home: Path, usual: Callable[[str], torch.Tensor]
) -> None:
    memory = MemoryOptions(attention="_native_flash")
    with pytest.raises(ConfigError, match="half precision only"):
        latents(home, "wan", "cuda", memory)
    assert gap(latents(home, "wan", "cuda", memory, torch.bfloat16), usual("wan")) < 0.1
    assert gap(latents(home, "wan", "cuda", MemoryOptions()), usual("wan")) < 2e-3
    with pytest.raises(ConfigError, match="computes its own way"):
        latents(home, "cogvideox", "cuda", memory)


@pytest.mark.parametrize("offload", ["model", "group"])
def test_a_second_video_is_made_as_the_first(home: Path, offload: Any) -> None:
    pipe = loaded(home, "wan")
    apply_memory_options(pipe, "cuda", MemoryOptions(offload=offload))
    assert torch.equal(made(pipe, "wan"), made(pipe, "wan"))
    held = {parameter.device.type for parameter in pipe.transformer.parameters()}
    assert held == {"cpu"}
