"""Sizes of the videos that move a picture's own pixels."""

from __future__ import annotations

from fbridge.errors import ConfigError

MIN_SIDE, USUAL_SIDE, MAX_SIDE = 64, 512, 2048


def usual_size(picture: tuple[int, int]) -> tuple[int, int]:
    """(width, height) near a picture's with even sides, the longer one at most 512."""
    shrink = min(1.0, USUAL_SIDE / max(picture))
    grow = max(1.0, MIN_SIDE / (min(picture) * shrink))
    width, height = (
        min(max(2 * int(side * shrink * grow / 2), MIN_SIDE), MAX_SIDE) for side in picture
    )
    return width, height


def check_size(size: tuple[int, int]) -> tuple[int, int]:
    """The (width, height) itself.

    Raises:
        ConfigError: a side is odd or out of the limits; names the nearest possible size.
    """
    if any(side % 2 or not MIN_SIDE <= side <= MAX_SIDE for side in size):
        near = [min(max(side // 2 * 2, MIN_SIDE), MAX_SIDE) for side in size]
        raise ConfigError(
            f"size {size[0]}x{size[1]} is not possible; sides must be even and "
            f"from {MIN_SIDE} to {MAX_SIDE}: use {near[0]}x{near[1]}"
        )
    return size
