"""Buckets, the shapes of clips, and the crop of a picture that fills one.

Sizes of pictures are as shown: after rotation, with square pixels.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from fbridge.checks import check_range, check_work, parse_size
from fbridge.errors import ConfigError

ASPECTS = ((9, 16), (2, 3), (3, 4), (1, 1), (4, 3), (3, 2), (16, 9))
"""Usual aspect ratios (width, height), from upright to wide."""

AUTO = "auto"
FRAMES, SIZE = "16", "256x256"
"""Shape of clips where the user gives none."""
MULTIPLE = 16
"""Sides of automatic buckets are multiples of it, as most video VAEs and backbones require."""

_BUCKET = re.compile(r"(\d{1,5})x(\d{1,5})x(\d{1,5})")


class Bucket(NamedTuple):
    """The shape of a clip; clips of one bucket can be batched."""

    width: int
    height: int
    frames: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}x{self.frames}"


class Crop(NamedTuple):
    """The box of a picture that is kept, in pixels."""

    width: int
    height: int
    left: int
    top: int


def choose_bucket(
    buckets: Iterable[Bucket], width: int, height: int, available: int
) -> Bucket | None:
    """The bucket for `available` frames of a size, or None.

    Of those with at most so many frames: the one with the nearest aspect ratio, then the longest,
    then the largest that needs no upscaling (the smallest if all need it).
    """

    def misfit(bucket: Bucket) -> tuple[float, int, bool, int, Bucket]:
        ratio = math.log(bucket.width * height) - math.log(bucket.height * width)
        enlarges = upscaled(width, height, bucket)
        area = bucket.width * bucket.height
        # rounded: 256x144 and 512x288 must have equal ratios
        return round(abs(ratio), 9), -bucket.frames, enlarges, area if enlarges else -area, bucket

    return min((b for b in buckets if b.frames <= available), key=misfit, default=None)


@lru_cache(maxsize=1024)  # asked for every clip, of which most have one of few sizes
def cover(width: int, height: int, bucket: Bucket) -> Crop:
    """The largest centred box with the bucket's aspect ratio."""
    wide, high = width, height
    if width * bucket.height > height * bucket.width:
        wide = max(1, round(height * bucket.width / bucket.height))
    else:
        high = max(1, round(width * bucket.height / bucket.width))
    return Crop(wide, high, (width - wide) // 2, (height - high) // 2)


def cover_size(width: int, height: int, bucket: Bucket) -> tuple[int, int]:
    """(width, height) to which the picture is resized before the centre crop."""
    scale = _scale(width, height, bucket)
    return max(bucket.width, round(width * scale)), max(bucket.height, round(height * scale))


def crop_loss(width: int, height: int, bucket: Bucket) -> float:
    """The share of the picture that is cut away."""
    crop = cover(width, height, bucket)
    return 1 - crop.width * crop.height / (width * height)


def upscaled(width: int, height: int, bucket: Bucket) -> bool:
    """Whether the picture must be enlarged for the bucket."""
    return _scale(width, height, bucket) > 1


def parse_buckets(text: str) -> tuple[Bucket, ...]:
    """Read "512x320x16,320x512x16": width, height and frames of each bucket.

    Raises:
        ConfigError: for anything else.
    """
    buckets: dict[Bucket, None] = {}
    for part in text.split(","):
        match = _BUCKET.fullmatch(part.strip().lower())
        if match is None or "0" in {number.lstrip("0") or "0" for number in match.groups()}:
            raise ConfigError(
                f"--buckets {text!r}: {part.strip()!r} is no bucket; write WIDTHxHEIGHTxFRAMES, "
                "several with commas: 512x320x16,320x512x16"
            )
        buckets[Bucket(*map(int, match.groups()))] = None
    return tuple(buckets)


def parse_shapes(buckets: str | None, size: str | None, frames: str | None) -> tuple[Bucket, ...]:
    """The buckets that --buckets, --size and --frames describe together, as the user wrote them.

    Raises:
        ConfigError: they contradict each other, or a bucket is not possible.
    """
    explicit = buckets is not None and buckets.strip().lower() != AUTO
    if explicit and (size is not None or frames is not None):
        option = "--size" if size is not None else "--frames"
        raise ConfigError(
            f"--buckets {buckets}: says width, height and frames; drop {option}, "
            f"or use --buckets {AUTO}"
        )
    if explicit:
        shapes = parse_buckets(str(buckets))
    else:
        wanted = parse_size(SIZE if size is None else size)
        assert wanted is not None
        lengths = _parse_frames(FRAMES if frames is None else frames)
        if buckets is None:
            shapes = tuple(Bucket(*wanted, number) for number in lengths)
        else:
            shapes = aspect_buckets(*wanted, lengths, MULTIPLE)
    for shape in shapes:
        check_work(shape.frames, (shape.width, shape.height))
    return shapes


def _parse_frames(text: str) -> tuple[int, ...]:
    """Each of the lengths in "16,32"."""
    lengths = []
    for part in text.split(","):
        if not re.fullmatch(r"\s*\d{1,6}\s*", part):
            raise ConfigError(f"--frames {text}: is no number; write 16, or several like 16,32")
        check_range("--frames", int(part), 1, math.inf)
        lengths.append(int(part))
    return tuple(dict.fromkeys(lengths))


def aspect_buckets(
    width: int, height: int, frames: Sequence[int], multiple: int
) -> tuple[Bucket, ...]:
    """Buckets of all `ASPECTS` with about the area of width x height, in each length of `frames`.

    Sides are multiples of `multiple`.
    """
    shapes: dict[tuple[int, int], None] = {}
    for across, down in ASPECTS:
        ideal = math.sqrt(width * height * across / down)
        wide = max(1, round(ideal / multiple)) * multiple
        high = max(1, round(ideal * down / across / multiple)) * multiple
        shapes[wide, high] = None
    return tuple(Bucket(wide, high, number) for wide, high in shapes for number in frames)


def _scale(width: int, height: int, bucket: Bucket) -> float:
    return max(bucket.width / width, bucket.height / height)
