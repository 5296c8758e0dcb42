"""The words all rooms share.

Axis legend: B videos of a batch, F frames, C channels, H height, W width, L text tokens, D features
of a token. Latents are (B, F, C, H, W); times are float64 of shape (B,), **0 = data, 1 = prior**.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

from torch import Tensor

Latents: TypeAlias = Tensor
"""(B, F, C, H, W): a video as the denoiser sees it; for an embedded model these are motions."""

Times: TypeAlias = Tensor
"""(B,) float64 in [0, 1]; 0 = data, 1 = prior."""


@dataclass(frozen=True)
class Condition:
    """What a network is told besides the bridge state: the words and the picture.

    Attributes:
        text: (B, L, D) token embeddings of the prompt.
        text_mask: (B, L) bool, True where a token is real; a row may be False throughout.
        picture: (B, C', H, W) the codec's description of the picture, on the latent's grid.
        label: (B,) int64 classes of a class-conditional model, -1 = none; None of any other model.
        seen: (B, S, D') what an image encoder sees of the picture; None where the model has none.
    """

    text: Tensor
    text_mask: Tensor
    picture: Tensor
    label: Tensor | None = None
    seen: Tensor | None = None

    def with_text(self, text: Tensor, text_mask: Tensor) -> Condition:
        """The same picture and class under other words."""
        return replace(self, text=text, text_mask=text_mask)

    def without_picture(self) -> Condition:
        """The same words and class with all that describes the picture blanked (zeros)."""
        seen = None if self.seen is None else self.seen.new_zeros(self.seen.shape)
        return replace(self, picture=self.picture.new_zeros(self.picture.shape), seen=seen)
