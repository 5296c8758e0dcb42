"""Codecs: between pictures or videos and the latents that a bridge works on.

A codec first *looks* at pictures (led by the words, should it care), then turns latents into frames
and frames into latents. Whether a latent is a motion, a pixel or a VAE's code is its own business.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from torch import Tensor

from fbridge.types import Latents
from fbridge.types import View as View


class Gaussian(NamedTuple):
    """Latents as a codec tells them.

    Attributes:
        mean: (B, F', C, H, W) what is decoded where nothing is drawn.
        log_variance: of the same shape; None of a codec that is not stochastic.
    """

    mean: Latents
    log_variance: Tensor | None = None

    def sample(self, noise: Tensor) -> Latents:
        """Latents drawn with standard normal noise of the mean's shape."""
        if self.log_variance is None:
            return self.mean
        return self.mean + (self.log_variance / 2).exp() * noise


class Codec(Protocol):
    """The one interface of all latent spaces."""

    @property
    def reads_text(self) -> bool:
        """Whether what it sees in a picture depends on the words."""
        ...

    @property
    def repeats(self) -> bool:
        """Whether still latents are one latent frame repeated; not those of a causal video VAE."""
        ...

    @property
    def needs_picture(self) -> bool:
        """Whether decoding needs the picture's own pixels."""
        ...

    def view(self, pictures: Sequence[Tensor], prompt_embeds: Tensor, prompt_mask: Tensor) -> View:
        """Encode pictures, each (3, H, W) in [0, 1], with their prompts' token embeddings."""
        ...

    def output_size(
        self, picture: tuple[int, int], requested: tuple[int, int] | None
    ) -> tuple[int, int]:
        """(width, height) of the video for a picture of a size, or for a size asked for."""
        ...

    def check_shape(self, width: int, height: int, frames: int) -> None:
        """Raise a ConfigError that names the nearest possible sizes or numbers of frames."""
        ...

    def encode(self, videos: Sequence[Tensor], view: View) -> Gaussian:
        """Latents (B, F', C, H, W) of videos (F, 3, H, W) in [0, 1] that begin at the view."""
        ...

    def still(self, view: View, num_frames: int) -> Gaussian:
        """Latents (B, F', C, H, W) of the pictures repeated for a number of video frames.

        Their mean is the plain prior of FrameBridge.
        """
        ...

    def decode(self, latents: Latents, view: View) -> list[Tensor]:
        """Videos (F, 3, H, W) in [0, 1], each of its picture's size."""
        ...

    def tile(self) -> bool:
        """Go on in tiles, which need less memory; False where it cannot or already does."""
        ...
