"""Where a bridge starts: from a picture and a prompt to the latents of a video, in one pass.

The protocol and the priors that need torch alone; `fbridge.loaders.prior` builds them by name and
has the one that runs the embedded model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

from fbridge.types import Condition, Latents, View


class Prior(Protocol):
    """A deterministic first estimate of the video; frozen while a bridge trains on it."""

    def __call__(self, still: Latents, condition: Condition, view: View | None, /) -> Latents:
        """The bridge's start (B, F, C, H, W) from the codec's latents of the repeated picture.

        The view is the codec's encoding of the pictures, for a prior that needs their pixels.
        """


@dataclass(frozen=True)
class ReplicatePrior:
    """The picture repeated for all frames (FrameBridge, arXiv 2410.15371)."""

    def __call__(
        self,
        still: Latents,
        condition: Condition,  # noqa: ARG002
        view: View | None,  # noqa: ARG002
        /,
    ) -> Latents:
        """The still latents as they are."""
        return still


@dataclass(frozen=True)
class NeuralPrior:
    """A regression of the video on picture and prompt (FrameBridge, arXiv 2410.15371).

    With the motion codec the latents are motions, so the picture's own pixels are moved.

    Attributes:
        network: a backbone without time: (still latents, None, condition) -> latents.
    """

    network: nn.Module

    @torch.no_grad()
    def __call__(
        self,
        still: Latents,
        condition: Condition,
        view: View | None,  # noqa: ARG002
        /,
    ) -> Latents:
        """One forward pass."""
        guess: Latents = self.network(still, None, condition)
        return guess


@dataclass(frozen=True)
class MixPrior:
    """A weighted mean of the repeated picture and another prior's guess.

    Attributes:
        guess: the other prior.
        share: of the guess; the rest is the repeated picture.
    """

    guess: Prior
    share: float = 0.5

    def __call__(self, still: Latents, condition: Condition, view: View | None, /) -> Latents:
        """The mix share * guess + (1 - share) * still."""
        return torch.lerp(still, self.guess(still, condition, view), self.share)
