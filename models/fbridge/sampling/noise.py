"""Noise sources: the randomness that samplers are given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

NoiseSource: TypeAlias = Callable[[torch.Size], Tensor]
"""Standard normal noise of a shape (B, ...); every call gives fresh noise."""


def seeded_noise(
    seeds: Sequence[int], *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> NoiseSource:
    """Noise with one generator a video, so that a video depends on its seed, not on the batch.

    The numbers are drawn in float32 on the CPU and then moved: they are the same on every machine.

    Args:
        seeds: one seed for each video of the batch.
        device: of the noise.
        dtype: of the noise.

    Returns:
        A source for shapes (len(seeds), ...).
    """
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def draw(shape: torch.Size) -> Tensor:
        if shape[0] != len(generators):
            raise ValueError(
                f"noise is wanted for {shape[0]} videos but there are {len(generators)} seeds"
            )
        videos = [torch.randn(shape[1:], generator=generator) for generator in generators]
        return torch.stack(videos).to(device, dtype)

    return draw
