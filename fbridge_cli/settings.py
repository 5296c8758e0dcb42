"""Options as the user typed them, checked before anything slow begins."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from fbridge.errors import CheckpointError, ConfigError

EMBEDDED = "embedded"
SAMPLERS = ("sde", "ode", "dbim", "dbim2", "dbim3", "sde2m", "heun")
"""The names of `fbridge.sampling.SAMPLERS`, repeated so that checking them needs no torch."""
GRIDS = ("trailing", "uniform", "logsnr", "karras")
"""The kinds of `fbridge.sampling.GridKind`, repeated for the same reason."""
STARTS = ("noised", "exact", "booted")
"""The kinds of `fbridge.sampling.Start`, likewise."""
WITH_ETA = ("dbim",)
FORMATS = ("mp4", "gif", "webp", "png")
DTYPES = ("float32", "float16", "bfloat16")
DEVICES = ("auto", "cpu", "cuda", "mps", "xpu")
MOST_STEPS = 1000
MOST_FPS = 240.0
MOST_BATCH = 1024
SIDES = (16, 8192)
SEEDS = (0, 2**63 - 1)
MOST_PIXELS = 2**28
"""Of all frames of one video together: 256 frames of 1024x1024."""


@dataclass(frozen=True)
class Settings:
    """How videos are made; None leaves the choice to the model."""

    model: str = EMBEDDED
    device: str = "auto"
    dtype: str = "float32"
    batch_size: int = 1
    frames: int | None = None
    fps: float | None = None
    size: tuple[int, int] | None = None
    steps: int | None = None
    sampler: str | None = None
    eta: float | None = None
    grid: str | None = None
    start: str | None = None
    guidance: float | None = None
    image_guidance: float | None = None

    def check(self) -> None:
        """Raise ConfigError, or CheckpointError for a model that is nowhere, at the first fault."""
        check_model(self.model)
        check_choice("--device", re.sub(r"^(cuda|xpu):\d+$", r"\1", self.device), DEVICES)
        check_choice("--dtype", self.dtype, DTYPES)
        check_range("--batch-size", self.batch_size, 1, MOST_BATCH)
        check_range("--frames", self.frames, 1, math.inf)
        if self.fps is not None and not 0 < self.fps <= MOST_FPS:
            raise ConfigError(f"--fps {self.fps:g}: must be above 0 and at most {MOST_FPS:g}")
        check_range("--steps", self.steps, 1, MOST_STEPS)
        check_range("--eta", self.eta, 0, 1)
        check_range("--guidance", self.guidance, 0, 100)
        check_range("--image-guidance", self.image_guidance, 0, 100)
        for option, value, allowed in (
            ("--sampler", self.sampler, SAMPLERS),
            ("--grid", self.grid, GRIDS),
            ("--start", self.start, STARTS),
        ):
            if value is not None:
                check_choice(option, value, allowed)
        if self.frames is not None and self.size is not None:
            check_work(self.frames, self.size)


def check_choice(option: str, value: str, allowed: Iterable[str]) -> None:
    """Raise ConfigError, with the nearest allowed word, unless `value` is allowed."""
    allowed = tuple(allowed)
    if value not in allowed:
        raise ConfigError(
            f"{option} {value}: unknown{did_you_mean(value, allowed)}; use {', '.join(allowed)}"
        )


def check_range(option: str, value: float | None, lowest: float, highest: float) -> None:
    """Raise ConfigError unless `value` is None or lies within; NaN never does."""
    if value is None or lowest <= value <= highest:
        return
    bounds = f"from {lowest:g} to {highest:g}" if math.isfinite(highest) else f"{lowest:g} or more"
    raise ConfigError(f"{option} {value:g}: must be {bounds}")


def check_work(frames: int, size: tuple[int, int]) -> None:
    """Raise ConfigError when a video would have more pixels than anybody waits for."""
    pixels = frames * size[0] * size[1]
    if pixels > MOST_PIXELS:
        raise ConfigError(
            f"{frames} frames of {size[0]}x{size[1]}: are {pixels / 1e6:.0f} million pixels, "
            f"a video may have {MOST_PIXELS / 1e6:.0f}; use fewer --frames or a smaller --size"
        )


def home_expanded(path: Path | str) -> Path:
    """The path with its ~ spelled out; as typed where there is no such user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def check_model(name: str) -> None:
    """Raise unless `name` is the embedded model, a folder, or has the form of a hub id."""
    if name == EMBEDDED or home_expanded(name).exists():
        return
    if "/" not in name and "\\" not in name:
        raise ConfigError(
            f"--model {name}: unknown{did_you_mean(name, [EMBEDDED])}; "
            f"use {EMBEDDED}, a folder, or a hub id such as owner/name"
        )
    if not re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", name):
        raise CheckpointError(
            f"--model {name}: no such folder; use {EMBEDDED}, a folder, or a hub id"
        )


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A suggestion to append, or nothing."""
    near = get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return f", did you mean {near[0]}?" if near else ""


def parse_size(text: str | None) -> tuple[int, int] | None:
    """(width, height) of "512x320".

    Raises:
        ConfigError: when it is none.
    """
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,6})[xX\u00d7](\d{1,6})", text.strip())
    if match is None:
        raise ConfigError(f"--size {text}: is not WIDTHxHEIGHT; write it like 512x320")
    size = int(match[1]), int(match[2])
    if not all(SIDES[0] <= side <= SIDES[1] for side in size):
        raise ConfigError(f"--size {text}: each side must be from {SIDES[0]} to {SIDES[1]} pixels")
    return size


def check_prompt(text: str, where: str) -> str:
    """The prompt, if it says anything.

    Raises:
        ConfigError: when it is empty or not text.
    """
    if not text.strip():
        raise ConfigError(f'{where}: is empty; say what shall happen, such as "cat jumping"')
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"{where}: is not valid UTF-8; check the terminal's encoding") from None
    return text


def check_seed(seed: int, where: str) -> int:
    """The seed, if generators accept it.

    Raises:
        ConfigError: when it is out of range.
    """
    if not SEEDS[0] <= seed <= SEEDS[1]:
        raise ConfigError(f"{where} {seed}: must be a whole number from 0 to 2^63 - 1")
    return seed
