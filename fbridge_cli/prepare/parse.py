"""Words of the command line that stand for more than one value."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fbridge.errors import ConfigError
from fbridge_cli.checks import DTYPES, check_choice, check_range, check_work, parse_size

if TYPE_CHECKING:
    from fbridge.data.video.buckets import Bucket

MODES = ("head", "middle", "uniform:4", "slide:16")
CAPTIONLESS = ("keep", "drop")
"""The names of `fbridge.prepare.options.CAPTIONLESS`, repeated so that checking needs no torch."""
DECODERS = ("pyav", "decord")
"""The names of `fbridge.data.video.clip_sampling.DECODERS`, without importing a decoder."""
FRAMES, SIZE = "16", "256x256"
AUTO = "auto"
MULTIPLE = 16
"""Sides of automatic buckets: what nearly every video VAE and backbone together divide by."""

_SHORT = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}


def parse_dtype(name: str) -> str:
    """The full name of a kind of number.

    Raises:
        ConfigError: when there is none.
    """
    name = _SHORT.get(name.lower(), name)
    check_choice("--dtype", name, DTYPES)
    return name


def parse_percent(text: str) -> float:
    """The share that "1%" is.

    Raises:
        ConfigError: when it is no percentage from 0% to 100%.
    """
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{0,9})?)\s*%", text.strip())
    if match is None:
        raise ConfigError(f"--max-bad {text}: is no percentage; write it like 1% or 0.5%")
    if float(match[1]) > 100:
        raise ConfigError(f"--max-bad {text}: must be from 0% to 100%")
    return float(match[1]) / 100


def parse_frames(text: str) -> tuple[int, ...]:
    """Each of the lengths in "16,32".

    Raises:
        ConfigError: when one is no number of frames.
    """
    lengths = []
    for part in text.split(","):
        if not re.fullmatch(r"\s*\d{1,6}\s*", part):
            raise ConfigError(f"--frames {text}: is no number; write 16, or several like 16,32")
        check_range("--frames", int(part), 1, math.inf)
        lengths.append(int(part))
    return tuple(dict.fromkeys(lengths))


def parse_shapes(buckets: str | None, size: str | None, frames: str | None) -> tuple[Bucket, ...]:
    """The shapes that clips may have, of --buckets, --size and --frames together.

    Raises:
        ConfigError: when they contradict each other, or one cannot be.
    """
    explicit = buckets is not None and buckets.strip().lower() != AUTO
    if explicit and (size is not None or frames is not None):
        option = "--size" if size is not None else "--frames"
        raise ConfigError(
            f"--buckets {buckets}: says width, height and frames; drop {option}, "
            f"or use --buckets {AUTO}"
        )
    wanted = parse_size(SIZE if size is None else size)
    assert wanted is not None
    lengths = parse_frames(FRAMES if frames is None else frames)
    from fbridge.data.video.buckets import Bucket, aspect_buckets, parse_buckets

    shapes: Sequence[Bucket]
    if buckets is None:
        shapes = [Bucket(*wanted, number) for number in lengths]
    elif not explicit:
        shapes = aspect_buckets(*wanted, lengths, MULTIPLE)
    else:
        try:
            shapes = parse_buckets(buckets)
        except ConfigError as error:
            raise ConfigError(f"--{error}") from None
    for shape in shapes:
        check_work(shape.frames, (shape.width, shape.height))
    return tuple(shapes)
