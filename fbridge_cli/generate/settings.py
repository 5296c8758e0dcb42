"""Options as the user typed them, checked before anything slow begins."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from fbridge.errors import CheckpointError, ConfigError
from fbridge_cli.checks import (
    EMBEDDED,
    check_choice,
    check_device,
    check_range,
    did_you_mean,
    home_expanded,
)

SAMPLERS = ("sde", "ode", "dbim", "dbim2", "dbim3", "sde2m", "heun")
"""The names of `fbridge.sampling.SAMPLERS`, repeated so that checking them needs no torch."""
GRIDS = ("trailing", "uniform", "logsnr", "karras")
"""The kinds of `fbridge.sampling.GridKind`, repeated for the same reason."""
STARTS = ("noised", "exact", "booted")
"""The kinds of `fbridge.sampling.Start`, likewise."""
WITH_ETA = ("dbim",)
FORMATS = ("mp4", "gif", "webp", "png")
DTYPES = ("float32", "float16", "bfloat16")
MOST_STEPS = 1000
MOST_FPS = 240.0
MOST_BATCH = 1024
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
        check_device(self.device)
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


def check_work(frames: int, size: tuple[int, int]) -> None:
    """Raise ConfigError when a video would have more pixels than anybody waits for."""
    pixels = frames * size[0] * size[1]
    if pixels > MOST_PIXELS:
        raise ConfigError(
            f"{frames} frames of {size[0]}x{size[1]}: are {pixels / 1e6:.0f} million pixels, "
            f"a video may have {MOST_PIXELS / 1e6:.0f}; use fewer --frames or a smaller --size"
        )


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
