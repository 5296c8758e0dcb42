"""Where a bridge starts: from a picture and words to the latents of a video, in one pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

from fbridge.types import Condition, Latents


class Prior(Protocol):
    """A deterministic first guess; frozen while a bridge trains on it."""

    def __call__(self, still: Latents, condition: Condition, /) -> Latents:
        """Where the bridge starts, from the codec's latents (B, F, C, H, W) of a still picture."""
        ...


@dataclass(frozen=True)
class ReplicatePrior:
    """The picture standing still: FrameBridge's plain prior (arXiv 2410.15371)."""

    def __call__(self, still: Latents, condition: Condition, /) -> Latents:  # noqa: ARG002
        """The still latents as they are."""
        return still


@dataclass(frozen=True)
class NeuralPrior:
    """The mean of all videos that picture and words allow, regressed (arXiv 2410.15371).

    With the motion codec the latents are motions, so this moves the picture's own pixels.

    Attributes:
        network: a backbone with time removed; it sees the still picture and the condition.
    """

    network: nn.Module

    @torch.no_grad()
    def __call__(self, still: Latents, condition: Condition, /) -> Latents:
        """One forward pass."""
        guess: Latents = self.network(still, None, condition)
        return guess
