"""Sizes of the videos that move a picture's own pixels."""

from __future__ import annotations

from fbridge.errors import ConfigError

MIN_SIDE, USUAL_SIDE, MAX_SIDE = 64, 512, 2048


class EvenSized:
    """A codec of videos with even sides within the limits, and any number of frames."""

    def output_size(
        self, picture: tuple[int, int], requested: tuple[int, int] | None
    ) -> tuple[int, int]:
        """The requested size, else the picture's with even sides, the longer one at most 512."""
        if requested is not None:
            self.check_shape(*requested, 1)
            return requested
        shrink = min(1.0, USUAL_SIDE / max(picture))
        grow = max(1.0, MIN_SIDE / (min(picture) * shrink))
        width, height = (
            min(max(2 * int(side * shrink * grow / 2), MIN_SIDE), MAX_SIDE) for side in picture
        )
        return width, height

    def check_shape(self, width: int, height: int, frames: int) -> None:
        """Even sides within the limits; any number of frames."""
        sides = (width, height)
        if any(side % 2 or not MIN_SIDE <= side <= MAX_SIDE for side in sides):
            near = [min(max(side // 2 * 2, MIN_SIDE), MAX_SIDE) for side in sides]
            raise ConfigError(
                f"size {width}x{height} is not possible; sides must be even and "
                f"from {MIN_SIDE} to {MAX_SIDE}: use {near[0]}x{near[1]}"
            )
