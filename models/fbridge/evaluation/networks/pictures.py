"""Frames as networks want them: sizes, kernels and colours, each spelt out.

A resize is part of a published number, so none is left to a library's default: Pillow's bicubic
(antialiased, a = -0.5, rounded to bytes) and torch's (a = -0.75, not rounded) are different things.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fbridge.conditioning.image import MEAN, STD

_AT_ONCE = 8  # frames in a network, for memory's sake


class Colours(NamedTuple):
    """Mean and standard deviation of red, green and blue, on 0 to 1."""

    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]

    def standardised(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] to about zero mean and unit variance."""
        mean, deviation = (images.new_tensor(of).reshape(1, 3, 1, 1) for of in self)
        return (images - mean) / deviation


IMAGENET = Colours((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLIP = Colours(MEAN, STD)


def in_parts(network: Callable[[Tensor], Tensor], frames: Tensor, device: torch.device) -> Tensor:
    """A network's rows for frames (T, H, W, 3) uint8, a few at a time, in full float32.

    Raises:
        ValueError: The frames have another shape or type.
    """
    if frames.dtype != torch.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
        found = f"{tuple(frames.shape)} {frames.dtype}"
        raise ValueError(f"frames must be (T, H, W, 3) uint8, not {found}")
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # ten bits are too few
        return torch.cat([network(part.to(device)) for part in frames.split(_AT_ONCE)])


def fitted(height: int, width: int, side: int) -> tuple[int, int]:
    """(height, width) once the shorter side is `side`; the other is rounded down."""
    short = min(height, width)
    return (
        side if height == short else int(side * height / short),
        side if width == short else int(side * width / short),
    )


def middle(images: Tensor, side: int) -> Tensor:
    """The central square of (N, C, H, W); half a pixel goes to the even neighbour."""
    top, left = (round((size - side) / 2) for size in images.shape[2:])
    return images[:, :, top : top + side, left : left + side]


def by_pillow(frames: Tensor, size: tuple[int, int]) -> Tensor:
    """(T, 3, h, w) in [0, 1] of frames (T, H, W, 3) uint8: Pillow's bicubic to `size` (h, w).

    Results are bytes over 255, as of a picture that was resized before it became a tensor.
    """
    height, width = size
    resized = [
        np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC))
        for frame in frames.cpu().numpy()
    ]
    return torch.from_numpy(np.stack(resized)).to(frames.device).permute(0, 3, 1, 2).float() / 255
