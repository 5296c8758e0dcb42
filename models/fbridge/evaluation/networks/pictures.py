"""Preprocessing of frames for networks: size, resampling kernel, colour statistics.

A resize is part of a published metric, so no library default is used: Pillow's bicubic
(antialiased, a = -0.5, rounded to bytes) and torch's (a = -0.75, not rounded) are different things.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
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
    """A network's outputs for frames (T, H, W, 3) uint8, 8 at a time, in float32 without TF32.

    Raises:
        ValueError: The frames have another shape or type.
    """
    if frames.dtype != torch.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
        found = f"{tuple(frames.shape)} {frames.dtype}"
        raise ValueError(f"frames must be (T, H, W, 3) uint8, not {found}")
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # ten bits are too few
        return torch.cat([network(part.to(device)) for part in frames.split(_AT_ONCE)])


def planes(frames: Tensor) -> Tensor:
    """(T, 3, H, W) in [0, 1] of frames (T, H, W, 3) uint8."""
    return frames.permute(0, 3, 1, 2).float() / 255


def pad_same(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    """Zeros around (N, C, ...) so that ceil(size / stride) windows fit; the odd one goes last.

    Spelt out because at stride 2 the padding depends on the size and may be lopsided.
    """
    pads: list[int] = []
    for size, k, s in zip(x.shape[:1:-1], reversed(kernel), reversed(stride), strict=True):
        total = max((-(-size // s) - 1) * s + k - size, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads) if any(pads) else x


def fitted(height: int, width: int, side: int) -> tuple[int, int]:
    """(height, width) with the shorter side resized to `side`; the other is rounded down."""
    short = min(height, width)
    return (
        side if height == short else int(side * height / short),
        side if width == short else int(side * width / short),
    )


def middle(images: Tensor, side: int) -> Tensor:
    """Centre crop of (N, C, H, W) to `side`; half a pixel is rounded to even."""
    top, left = (round((size - side) / 2) for size in images.shape[2:])
    return images[:, :, top : top + side, left : left + side]


def by_pillow(frames: Tensor, size: tuple[int, int]) -> Tensor:
    """(T, 3, h, w) in [0, 1] of frames (T, H, W, 3) uint8: Pillow's bicubic to `size` (h, w).

    Values are bytes over 255: the resize rounds to uint8, as on a PIL image.
    """
    height, width = size
    resized = [
        np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC))
        for frame in frames.cpu().numpy()
    ]
    return planes(torch.from_numpy(np.stack(resized)).to(frames.device))
