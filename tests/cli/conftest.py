"""A pipeline that shifts pixels instead of thinking: for what the command line does around it."""

from __future__ import annotations

import io
import os
import time
import zlib
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fbridge.choices import DTYPES
from fbridge.errors import ConfigError
from fbridge.generate import load
from fbridge_cli import main
from tests.data.stores.conftest import fill, proxy, s3_port  # noqa: F401 - fixtures


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
    untrained = False
    notice = ""
    loras = lora_notes = ()
    batches: list[int] = []  # noqa: RUF012

    def defaults_with(self, image_input: str | None) -> dict[str, Any]:
        return {
            "image_input": image_input or "bridge",
            "first_frame": "free",
            "num_inference_steps": 5,
            "sampler": "sde",
            "grid": "trailing",
            "time_shift": 1.0,
            "start": "noised",
            "strength": 1.0,
            "guidance_scale": float(os.environ.get("FAKE_GUIDANCE", "1.5")),
        }

    @property
    def world(self) -> str:
        return os.environ.get("FAKE_WORLD", "")

    @property
    def taught_guidance(self) -> float | None:
        taught = os.environ.get("FAKE_TAUGHT")
        return None if taught is None else float(taught)

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

    def sampling_times(self, *_: object) -> None:
        pass

    second_backbone = None

    def guidance_scales(self, first: float | None, _: float | None) -> tuple[float, float]:
        scale = float(self.defaults_with(None)["guidance_scale"] if first is None else first)
        return scale, scale

    def describe_unread(self, prompts: Sequence[str]) -> str:
        long = [prompt for prompt in prompts if len(prompt) > 1000]
        return f"not read is the end of {long[0][:9]!r}" if long else ""

    def describe_intent(self, prompts: Sequence[str]) -> list[str]:
        return [f"no motion is known for {one!r}" for one in prompts if "gallop" in one]

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
        time_shift: float,
        start: str,
        strength: float,
        image_input: str,
        first_frame: str,
        guidance_scale: float | None,
        image_guidance_scale: float,
        callback: Callable[[int, int], None],
        on_frames: Callable[[int, Any], None],
        on_note: Callable[[int, str], None],
    ) -> Output:
        lengths = {len(image), len(prompt), len(negative_prompt), len(seed)}
        assert len(lengths) == 1
        assert image_input == "bridge"
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
        settings += f" {grid} {time_shift} {start} {strength} {image_input} {first_frame}"
        settings += f" {image_guidance_scale}"
        videos = []
        for row, picture in enumerate(image):
            words = f"{prompt[row]}|{negative_prompt[row]}|{settings}"
            speed = 1 + (zlib.crc32(words.encode()) + seed[row]) % 7
            pixels = np.asarray(picture)
            if "unicorn" in prompt[row]:
                on_note(row, "no unicorn is found in the picture")
            videos.append(np.stack([np.roll(pixels, k * speed, 1) for k in range(num_frames)]))
            on_frames(row, videos[-1])
        return Output(videos)


def load_fake(
    name: str,
    *,
    device: str,
    dtype: str,
    threads: int | None = None,
    components: str | None = None,
    expert: str | None = None,
    base: str | None = None,
    download: bool = False,
    memory: object = None,
    loras: Sequence[object] = (),
    local_files_only: bool = False,
) -> load.Loaded:
    assert name
    assert local_files_only in (True, False)
    assert components is None
    assert expert is None
    assert base is None
    assert not download
    assert not loras
    assert memory is not None
    assert dtype in DTYPES
    pipeline: Any = FakePipeline()
    return load.Loaded(pipeline, "cpu" if device == "auto" else device, threads or 2)


class Ran(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def fbridge(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], cat: Path) -> Run:
    """`fbridge("generate", "cat.png", ...)` where only cat.png lies, with the fake pipeline."""
    monkeypatch.setattr(load, "load_pipeline", load_fake)
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


class Workshop:
    """A folder with a tiny base and prepared clips, and the real command line in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.base = folder / "mini-t2v.safetensors"
        self.data = folder / "latents"

    def run(self, *args: object, where: Path | None = None) -> Ran:
        """`fbridge args` in `where`, else in the workshop."""
        out, err, before = io.StringIO(), io.StringIO(), Path.cwd()
        os.chdir(where or self.folder)
        try:
            with redirect_stdout(out), redirect_stderr(err):
                code = main.run([str(arg) for arg in args])
        finally:
            os.chdir(before)
        return Ran(code, out.getvalue(), err.getvalue())

    def words(self, *more: object, steps: int = 4, base: bool = True) -> list[str]:
        """What makes a run short, before what a test wants of it."""
        short = {
            "train.checkpoint_every": 2,
            "train.warmup": 2,
            "train.workers": 0,
            "validation.rows": 4,
            "validation.clips": 1,
            "validation.steps": 2,
            "validation.every": 100,
            "log.every": 1,
            "log.trackers": "[]",
        }
        typed = ["--base", str(self.base)] if base else []
        typed += ["--data", str(self.data), "--steps", str(steps), "--batch-size", "2"]
        typed += ["--device", "cpu"]
        for key, value in short.items():
            typed += ["--set", f"{key}={value}"]
        return [*typed, *map(str, more)]


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """A base and a data set that its codec made, by the road of any user."""
    from fbridge.data.shapes import write_clips
    from tests.bases import tiny_base

    shop = Workshop(tmp_path_factory.mktemp("workshop"))
    tiny_base(shop.base)
    write_clips(shop.folder / "clips", 24, seed=9)
    ran = shop.run(
        "prepare", "clips", "-o", "latents", "--codec", shop.base, "--size", "64x64",
        "--frames", "8", "--device", "cpu", "--workers", "1",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    draw_picture(shop.folder / "cat.png", (64, 64))
    return shop
