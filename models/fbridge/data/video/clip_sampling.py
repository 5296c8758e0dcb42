"""Which frames of a file make clips, from the frames' times alone."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from fbridge.checks import check_choice, check_range
from fbridge.choices import DECODERS
from fbridge.data.video.buckets import Bucket
from fbridge.errors import ConfigError

MOST_SECONDS = 86_400

_MODE = re.compile(r"(head|middle)|(uniform|slide):([1-9]\d{0,8})")

_LATE = 0.2
"""Share of a frame's duration by which its time may be late: webm rounds to ms, gif to 10 ms."""


@dataclass(frozen=True)
class ClipSampling:
    """How files are cut into clips.

    Attributes:
        buckets: the shapes a clip may have.
        stride: every stride-th frame is taken; not together with `fps`.
        fps: frames per second that are taken, by their times, whatever the rate of the file.
        mode: which clips: "head" (one from the start), "middle" (one), "uniform:K" (K, evenly
            spread), "slide:STEP" (as many as fit, each STEP taken frames after the one before).
        min_seconds: shorter files are dropped.
        drop_still: drop clips without motion.
        drop_cuts: drop clips across a scene cut.
        drop_duplicates: fingerprint clips, so that equal ones can be found.
        decoder: "pyav" or "decord".

    Raises:
        ConfigError: for values that are not possible.
    """

    buckets: tuple[Bucket, ...]
    stride: int = 1
    fps: float | None = None
    mode: str = "head"
    min_seconds: float = 0.0
    drop_still: bool = False
    drop_cuts: bool = False
    drop_duplicates: bool = False
    decoder: str = "pyav"

    def __post_init__(self) -> None:
        if not self.buckets:
            raise ConfigError("no bucket is given; name at least one, such as 256x256x16")
        for bucket in self.buckets:
            if min(bucket) < 1:
                raise ConfigError(f"bucket {bucket}: width, height and frames are 1 or more")
        if self.stride < 1:
            raise ConfigError(
                f"stride {self.stride}: every how many frames one is taken, 1 or more"
            )
        if self.fps is not None and not (math.isfinite(self.fps) and self.fps > 0):
            raise ConfigError(f"fps {self.fps}: frames a second, more than 0")
        if self.fps is not None and self.stride != 1:
            raise ConfigError(f"fps {self.fps:g} and stride {self.stride}: give one of them")
        check_range("--min-seconds", self.min_seconds, 0, MOST_SECONDS)
        if not _MODE.fullmatch(self.mode):
            raise ConfigError(
                f"--clips {self.mode!r}: use head, middle, uniform:K or slide:STEP (1 or more)"
            )
        check_choice("--decoder", self.decoder, DECODERS)

    @property
    def pace(self) -> str:
        """The stride or rate, as a text for the user."""
        return f"at stride {self.stride}" if self.fps is None else f"at {self.fps:g} a second"


def choose_frames(
    times: Sequence[float], seconds: float, cutting: ClipSampling, frames: int
) -> list[list[int]]:
    """The indices of each clip's frames in `times`.

    Args:
        times: start of each frame in seconds, from 0 on, ascending.
        seconds: end of the last frame.
        cutting: the settings.
        frames: of a clip.

    Returns:
        No clip of a file that is too short; fewer than K if K different ones do not fit.
    """
    taken = take(times, seconds, cutting)
    return [taken[start : start + frames] for start in _starts(len(taken) - frames, cutting.mode)]


def take(times: Sequence[float], seconds: float, cutting: ClipSampling) -> list[int]:
    """The indices of the frames that clips are made of: every stride-th, or those shown at k / fps.

    With `fps`, frames of a slower file are repeated.
    """
    if not times:
        return []
    if cutting.fps is None:
        return list(range(0, len(times), cutting.stride))
    steps = [after - before for before, after in pairwise(times)]
    late = _LATE * median(steps) if steps else 0.0
    number = max(1, math.ceil((seconds - late) * cutting.fps))
    clock = (k / cutting.fps for k in range(number))
    return [max(0, bisect_right(times, moment + late) - 1) for moment in clock]


def _starts(room: int, mode: str) -> list[int]:
    """First frames of the clips, of which the last possible one is `room`."""
    if room < 0:
        return []
    kind, _, amount = mode.partition(":")
    if kind == "head":
        return [0]
    if kind == "middle":
        return [room // 2]
    if kind == "slide":
        return list(range(0, room + 1, int(amount)))
    number = min(int(amount), room + 1)
    if number == 1:
        return [room // 2]
    return [position * room // (number - 1) for position in range(number)]
