"""The embedded model without diffusers: nothing of it is imported, and the frames are the same."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fbridge.generate.load import is_plain
from fbridge.loaders.locate import EMBEDDED, locate_model
from fbridge.memory.options import MemoryOptions
from fbridge.pipeline import FrameBridgePipeline
from fbridge.pipeline.plain import PlainPipeline

ROOT = Path(__file__).parents[2]
HEAVY = ["diffusers", "transformers", "accelerate", "peft", "torchao", "torch._dynamo", "sympy",
         "pebble", "huggingface_hub"]  # fmt: skip
CALL: dict[str, Any] = {"seed": [0, 3], "num_frames": 5, "num_inference_steps": 2}


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    return Image.open(ROOT / "examples/cat.jpg").convert("RGB").resize((96, 64))


@pytest.fixture(scope="module")
def plain() -> PlainPipeline:
    return PlainPipeline(locate_model(EMBEDDED))


def test_generate_imports_nothing_that_the_embedded_model_does_not_use(tmp_path: Path) -> None:
    shutil.copy(ROOT / "examples/cat.jpg", tmp_path)
    program = (
        "import sys; from fbridge_cli.main import run; "
        "code = run(['generate', 'cat.jpg', '-p', 'jump', '--frames', '2', '--steps', '1', "
        "'--size', '64x64', '--device', 'cpu']); "
        f"print(code, *[name for name in {HEAVY} if name in sys.modules])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'models'}:{ROOT}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.splitlines()[-1] == "0"
    assert (tmp_path / "cat.mp4").is_file()


@pytest.mark.parametrize("guidance", [1.0, 1.5])
def test_both_ways_give_the_same_frames(
    plain: PlainPipeline, picture: Image.Image, guidance: float
) -> None:
    whole = FrameBridgePipeline.from_pretrained(EMBEDDED)
    one = plain(picture, "cat jumping", guidance_scale=guidance, **CALL)
    other = whole(picture, "cat jumping", guidance_scale=guidance, **CALL)
    assert torch.equal(one.latents, other.latents)
    assert all(np.array_equal(a, b) for a, b in zip(one.frames, other.frames, strict=True))
    assert plain.model_hash == whole.model_hash
    assert plain.defaults == whole.defaults
    assert plain.frame_limits == whole.frame_limits
    assert plain.output_size((451, 300)) == whole.output_size((451, 300))


def test_frames_are_handed_on_as_they_are_decoded(
    plain: PlainPipeline, picture: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fbridge.codecs.scenes.codec._AT_ONCE", 2)
    parts: list[tuple[int, Any]] = []
    made = plain(picture, "jump", on_frames=lambda *part: parts.append(part), **CALL)
    assert [(row, len(frames)) for row, frames in parts] == [
        (0, 2), (0, 2), (0, 1), (1, 2), (1, 2), (1, 1)
    ]  # fmt: skip
    for row, video in enumerate(made.frames):
        assert np.array_equal(np.concatenate([p for at, p in parts if at == row]), video)


def test_what_needs_diffusers_is_loaded_with_it() -> None:
    usual: dict[str, Any] = {
        "dtype": "float32", "components": None, "base": None, "memory": MemoryOptions()
    }  # fmt: skip
    assert is_plain(EMBEDDED, **usual)
    assert not is_plain("owner/name", **usual)
    for option in ({"dtype": "bfloat16"}, {"base": "x"}, {"memory": MemoryOptions(tiling=True)}):
        assert not is_plain(EMBEDDED, **{**usual, **option})
