"""The one door to the model: torch is imported here, when a command needs it, and kept quiet."""

from __future__ import annotations

import logging
import os
import platform
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Protocol

import fbridge
from fbridge.data.video_writers import Frames
from fbridge.errors import DependencyError
from fbridge.memory.options import MemoryOptions
from fbridge_cli.checks import home_expanded
from fbridge_cli.exit_codes import debugging


class FrameLimits(Protocol):
    """How many frames a model makes: minimum + k * step, up to maximum."""

    @property
    def default(self) -> int:
        """Where the user does not say."""

    @property
    def minimum(self) -> int:
        """At least so many."""

    @property
    def maximum(self) -> int:
        """At most so many."""

    @property
    def step(self) -> int:
        """From one possible number to the next."""


class Videos(Protocol):
    """What a pipeline returns."""

    @property
    def frames(self) -> Sequence[Frames]:
        """One (F, H, W, 3) uint8 array per video."""


class Pipeline(Protocol):
    """The part of `fbridge.pipeline.FrameBridgePipeline` that the command line uses."""

    @property
    def model_hash(self) -> str:
        """sha256 over weights and config."""

    @property
    def untrained(self) -> bool:
        """Whether it is a text-to-video base as it is."""

    @property
    def notice(self) -> str:
        """What the user should know of how it is used, after its name."""

    @property
    def frame_limits(self) -> FrameLimits:
        """How many frames this model makes."""

    @property
    def default_fps(self) -> float:
        """The speed at which its motion looks right."""

    @property
    def defaults(self) -> Mapping[str, Any]:
        """What is done where the user is silent: num_inference_steps, sampler, strength, ..."""

    def output_size(
        self, picture_size: tuple[int, int], requested: tuple[int, int] | None
    ) -> tuple[int, int]:
        """(width, height) of the video."""

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
        grid: Any,
        start: Any,
        strength: float,
        guidance_scale: float | None,
        image_guidance_scale: float,
        callback: Callable[[int, int], None],
    ) -> Videos:
        """One video per entry of the lists."""


@dataclass(frozen=True)
class Loaded:
    """A model where it will run.

    Attributes:
        pipeline: ready to be called.
        device: "cpu", "cuda:0", ...: never "auto".
        threads: cores that the arithmetic is spread over.
    """

    pipeline: Pipeline
    device: str
    threads: int


def load_pipeline(
    name: str,
    *,
    device: str,
    dtype: str,
    threads: int | None = None,
    components: str | None = None,
    download: bool = False,
    memory: MemoryOptions | None = None,
) -> Loaded:
    """The model `name` on `device`; `threads` repeats the rounding of an earlier run on the CPU.

    `components` is the folder of what a base's transformer alone lacks; `download` fetches that.

    Raises:
        CheckpointError: when there is no such model.
        DependencyError: when the device is not there.
    """
    import torch

    from fbridge.memory.apply import apply_memory_options
    from fbridge.pipeline import FrameBridgePipeline

    device = present_device(device)
    # Said even when it changes nothing: until it is said, MKL takes other numbers of threads for
    # itself now and then, and a sum over other threads rounds otherwise.
    torch.set_num_threads(threads if threads and device == "cpu" else torch.get_num_threads())
    folder = home_expanded(name)
    name = str(folder) if folder.exists() else name
    pipeline = FrameBridgePipeline.from_pretrained(
        name,
        torch_dtype=getattr(torch, dtype),
        components=None if components is None else str(home_expanded(components)),
        download=download,
    )
    apply_memory_options(pipeline, device, memory or MemoryOptions())
    return Loaded(pipeline, device, torch.get_num_threads())


def versions() -> dict[str, str]:
    """What a video depends on, without importing any of it."""
    found = {"fbridge": fbridge.__version__, "python": platform.python_version()}
    for package in ("torch", "diffusers"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "unknown"
    return found


@contextmanager
def quiet() -> Iterator[None]:
    """Keep libraries' warnings from the user, unless he debugs."""
    with warnings.catch_warnings():
        if not debugging():
            warnings.simplefilter("ignore")
            os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
            os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
            os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
            for name in ("torchao", "torch.utils._pytree"):  # of kernels that are for others
                logging.getLogger(name).setLevel(logging.ERROR)
        yield


def _silence_libraries() -> None:
    """Nobody's progress bar but ours."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    for theirs in (diffusers_logging, transformers_logging):
        theirs.set_verbosity_error()
        theirs.disable_progress_bar()


def present_device(device: str, local: int | None = None) -> str:
    """The device meant, if this machine has it; never "auto".

    Where several processes share a machine, `local` is this one's number: each takes another GPU.

    Raises:
        DependencyError: when the device is not there.
    """
    import torch

    if not debugging():
        _silence_libraries()
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and local is not None and torch.cuda.is_available():
        return f"cuda:{local % torch.cuda.device_count()}"
    kind, _, number = device.partition(":")
    count: dict[str, Callable[[], int]] = {
        "cpu": lambda: 1,
        "cuda": torch.cuda.device_count,
        "mps": lambda: int(torch.backends.mps.is_available()),
        "xpu": lambda: torch.xpu.device_count() if hasattr(torch, "xpu") else 0,
    }
    present = count[kind]()
    if not present:
        raise DependencyError(f"--device {device}: this machine has none; use --device cpu")
    if number and int(number) >= present:
        raise DependencyError(
            f"--device {device}: this machine has {kind}:0 to {kind}:{present - 1}; use one of them"
        )
    return device
