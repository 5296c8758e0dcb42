"""Codecs: between pictures or videos and the latents that a bridge works on.

A codec first *looks* at pictures (led by the words, should it care), then turns latents into frames
and frames into latents. Whether a latent is a motion, a pixel or a VAE's code is its own business.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from fbridge.types import Latents


class View(NamedTuple):
    """What a codec has seen of B pictures.

    Attributes:
        condition: (B, C', H, W) what the networks are told of the pictures.
        still: (B, C, H, W) the latent of one frame of the unmoving picture; repeated over time it
            is the plain prior of FrameBridge.
        scenes: one entry a picture, private to the codec.
    """

    condition: Tensor
    still: Tensor
    scenes: tuple[Any, ...]

    def repeated(self, num_frames: int) -> Latents:
        """(B, F, C, H, W) the latents of the picture repeated."""
        return self.still[:, None].expand(-1, num_frames, -1, -1, -1)


class Codec(Protocol):
    """The one interface of all latent spaces."""

    def look(self, pictures: Sequence[Tensor], text: Tensor, text_mask: Tensor) -> View:
        """See pictures, each (3, H, W) in [0, 1], with their prompts' token embeddings."""
        ...

    def output_size(
        self, picture: tuple[int, int], requested: tuple[int, int] | None
    ) -> tuple[int, int]:
        """(width, height) of the video for a picture of a size, or for a size asked for."""
        ...

    def encode(self, videos: Sequence[Tensor], view: View) -> Latents:
        """Latents (B, F, C, H, W) of videos (F, 3, H, W) in [0, 1] that begin at the view."""
        ...

    def decode(self, latents: Latents, view: View) -> list[Tensor]:
        """Videos (F, 3, H, W) in [0, 1], each of its picture's size."""
        ...
