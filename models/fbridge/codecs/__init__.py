"""Codecs: from pictures and videos to the latents that a bridge works on, and back.

A codec first encodes the pictures (`view`); with this view it encodes videos and decodes latents.
Latents may be those of a VAE, pixels or motions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from torch import Tensor

from fbridge.types import Latents
from fbridge.types import View as View


class Gaussian(NamedTuple):
    """The distribution of latents that a codec encodes to.

    Attributes:
        mean: (B, F', C, H, W).
        log_variance: of the same shape; None of a deterministic codec.
    """

    mean: Latents
    log_variance: Tensor | None = None

    def map(self, function: Callable[[Tensor], Tensor]) -> Gaussian:
        """The same function of mean and log-variance, such as a change of shape."""
        log_variance = self.log_variance
        return Gaussian(
            function(self.mean), None if log_variance is None else function(log_variance)
        )

    def sample(self, noise: Tensor) -> Latents:
        """Latents drawn with standard normal noise of the mean's shape."""
        if self.log_variance is None:
            return self.mean
        return self.mean + (self.log_variance / 2).exp() * noise


class Codec(Protocol):
    """The interface of all latent spaces."""

    @property
    def reads_text(self) -> bool:
        """Whether the encoding of a picture depends on the prompt."""

    @property
    def repeats(self) -> bool:
        """Whether `still` repeats one latent frame, unlike a causal video VAE."""

    @property
    def first_frame_alone(self) -> bool:
        """Whether the first latent frame is the view's image latent, whatever follows it."""

    @property
    def needs_picture(self) -> bool:
        """Whether decoding needs the picture's own pixels."""

    def view(
        self,
        pictures: Sequence[Tensor],
        prompt_embeds: Tensor,
        prompt_mask: Tensor,
        prompts: Sequence[str] | None = None,
    ) -> View:
        """Encode pictures, each (3, H, W) in [0, 1], with their prompts.

        Args:
            pictures: B of them.
            prompt_embeds: (B, L, D) token embeddings.
            prompt_mask: (B, L) of real tokens.
            prompts: as text; needed by codecs that read words themselves.
        """

    def output_size(
        self, picture: tuple[int, int], requested: tuple[int, int] | None
    ) -> tuple[int, int]:
        """(width, height) of the video for a picture's (width, height) and a requested size."""

    def check_shape(self, width: int, height: int, frames: int) -> None:
        """Raise ConfigError, with the nearest possible values, for a shape that is not possible."""

    def encode(self, videos: Sequence[Tensor], view: View) -> Gaussian:
        """Latents (B, F', C, H, W) of videos (F, 3, H, W) in [0, 1] that start at the view."""

    def still(self, view: View, num_frames: int) -> Gaussian:
        """Latents (B, F', C, H, W) of the pictures repeated for a number of frames.

        Their mean is FrameBridge's prior without a neural prior.
        """

    def decode(self, latents: Latents, view: View) -> list[Tensor]:
        """Videos (F, 3, H, W) in [0, 1] of the pictures' sizes."""

    def tile(self) -> bool:
        """Switch to tiles, which need less memory; False if not possible or already on."""


@runtime_checkable
class InParts(Protocol):
    """A codec that need not decode a whole video at once."""

    def decode_parts(self, latents: Latents, view: View) -> Iterator[tuple[int, Tensor]]:
        """What `decode` gives, one video after the other: its number, its next (f, 3, H, W).

        Frames may be uint8 up to 255 in place of [0, 1].
        """


@runtime_checkable
class Rewords(Protocol):
    """A codec whose image latents tell what shall happen."""

    def reworded(self, view: View, prompts: Sequence[str]) -> Tensor:
        """The view's image latents as other prompts would give them, for guidance."""
