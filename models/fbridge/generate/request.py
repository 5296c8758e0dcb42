"""Options as the user typed them, checked before anything slow begins."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from fbridge.checks import (
    MOST_BATCH,
    check_choice,
    check_device,
    check_fps,
    check_range,
    check_text,
    check_work,
)
from fbridge.choices import DTYPES, EMBEDDED, GRIDS, SAMPLERS, STARTS
from fbridge.errors import ConfigError
from fbridge.loaders.names import check_model
from fbridge.memory.options import MemoryOptions

MOST_STEPS = 1000
SEEDS = (0, 2**63 - 1)


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
    strength: float | None = None
    components: str | None = None
    download: bool = False
    memory: MemoryOptions = field(default_factory=MemoryOptions)
    guidance: float | None = None
    image_guidance: float | None = None

    def check(self) -> None:
        """Raise ConfigError, or CheckpointError for a model that is nowhere, at the first fault."""
        check_model("--model", self.model)
        check_device(self.device)
        check_choice("--dtype", self.dtype, DTYPES)
        check_range("--batch-size", self.batch_size, 1, MOST_BATCH)
        check_range("--frames", self.frames, 1, math.inf)
        check_fps(self.fps)
        check_range("--steps", self.steps, 1, MOST_STEPS)
        check_range("--eta", self.eta, 0, 1)
        check_range("--strength", self.strength, 0.01, 1)
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


def check_prompt(text: str, where: str) -> str:
    """The prompt, if it says anything.

    Raises:
        ConfigError: when it is empty or not text.
    """
    if not text.strip():
        raise ConfigError(f'{where}: is empty; say what shall happen, such as "cat jumping"')
    check_text(text, where)
    return text


def check_seed(seed: int, where: str) -> int:
    """The seed, if generators accept it.

    Raises:
        ConfigError: when it is out of range.
    """
    if not SEEDS[0] <= seed <= SEEDS[1]:
        raise ConfigError(f"{where} {seed}: must be a whole number from 0 to 2^63 - 1")
    return seed
