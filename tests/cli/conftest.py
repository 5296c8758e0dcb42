"""A pipeline that shifts pixels instead of thinking: for what the command line does around it."""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fbridge.errors import ConfigError
from fbridge_cli import loading, main
from fbridge_cli.checks import DTYPES


class Limits(NamedTuple):
    default: int
    minimum: int
    maximum: int
    step: int


@dataclass
class Output:
    frames: list[NDArray[np.uint8]]


class FakePipeline:
    """Keeps the contract of FrameBridgePipeline; the environment may slow, break or change it."""

    frame_limits = Limits(8, 4, 64, 4)
    default_fps = 8.0
    batches: list[int] = []  # noqa: RUF012

    @property
    def defaults(self) -> dict[str, Any]:
        return {
            "num_inference_steps": 5,
            "sampler": "sde",
            "grid": "trailing",
            "start": "noised",
            "guidance_scale": float(os.environ.get("FAKE_GUIDANCE", "1.5")),
        }

    @property
    def model_hash(self) -> str:
        return os.environ.get("FAKE_HASH", "f" * 64)

    def output_size(
        self, picture_size: tuple[int, int], requested: tuple[int, int] | None
    ) -> tuple[int, int]:
        if requested is not None:
            if requested[0] % 2 or requested[1] % 2:
                raise ConfigError(f"size {requested[0]}x{requested[1]}: sides must be even")
            return requested
        shrink = min(1.0, 96 / max(picture_size))
        return tuple(max(16, 2 * round(side * shrink / 2)) for side in picture_size)  # type: ignore[return-value]

    def __call__(
        self,
        *,
        image: Sequence[Any],
        prompt: Sequence[str],
        negative_prompt: Sequence[str],
        seed: Sequence[int],
        num_frames: int,
        size: tuple[int, int],
        num_inference_steps: int,
        sampler: str,
        eta: float | None,
        grid: str,
        start: str,
        guidance_scale: float | None,
        image_guidance_scale: float,
        callback: Callable[[int, int], None],
    ) -> Output:
        lengths = {len(image), len(prompt), len(negative_prompt), len(seed)}
        assert len(lengths) == 1
        assert {picture.size for picture in image} == {size}
        self.batches.append(len(image))
        trouble = os.environ.get("FAKE_TROUBLE")
        for step in range(1, num_inference_steps + 1):
            time.sleep(float(os.environ.get("FAKE_DELAY", "0")))
            callback(step, num_inference_steps)
            if trouble == f"interrupt {len(self.batches)}":
                raise KeyboardInterrupt
            if trouble == "memory":
                raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
            if trouble == "bug":
                raise KeyError("latents")
        settings = f"{num_inference_steps} {sampler} {eta} {guidance_scale}"
        settings += f" {grid} {start} {image_guidance_scale}"
        videos = []
        for row, picture in enumerate(image):
            words = f"{prompt[row]}|{negative_prompt[row]}|{settings}"
            speed = 1 + (zlib.crc32(words.encode()) + seed[row]) % 7
            pixels = np.asarray(picture)
            videos.append(np.stack([np.roll(pixels, k * speed, 1) for k in range(num_frames)]))
        return Output(videos)


def load_fake(name: str, *, device: str, dtype: str, threads: int | None = None) -> loading.Loaded:
    assert name
    assert dtype in DTYPES
    return loading.Loaded(FakePipeline(), "cpu" if device == "auto" else device, threads or 2)


class Ran(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def fbridge(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], cat: Path) -> Run:
    """`fbridge("generate", "cat.png", ...)` where only cat.png lies, with the fake pipeline."""
    monkeypatch.setattr(loading, "load_pipeline", load_fake)
    monkeypatch.chdir(cat.parent)
    FakePipeline.batches.clear()

    def run(*args: object) -> Ran:
        code = main.run([str(arg) for arg in args])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run


@pytest.fixture
def cat(tmp_path: Path) -> Path:
    """A picture of 97 x 64 with edges and colours, named cat.png."""
    return draw_picture(tmp_path / "cat.png", (97, 64))


def draw_picture(path: Path, size: tuple[int, int] = (64, 48), shade: int = 0) -> Path:
    """A picture whose every pixel tells where it is."""
    across, down = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    pixels = np.stack([across * 2 + shade, down * 3, (across ^ down) * 2], -1) % 256
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return path


@pytest.fixture
def draw() -> Callable[..., Path]:
    """Puts such a picture anywhere."""
    return draw_picture


@pytest.fixture
def batches() -> list[int]:
    """How many videos each call of the pipeline made."""
    return FakePipeline.batches
