"""Parts of optical-flow networks: frame encoders and all-pairs correlation.

Shared by RAFT (Teed & Deng 2020, arXiv 2003.12039) and AMT (Li et al. 2023, arXiv 2304.09790).
Names of parameters are those of the authors' files.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fbridge.errors import DataError

Norm = Callable[[int], nn.Module]
"""From a number of channels to a normalisation."""

SMALLEST = 128
"""Least pixels a side: below, the coarsest of four correlation levels has a single position."""


class Encoder(nn.Module):
    """(N, 3, H, W) to (N, outputs, H / 8, W / 8): a stem and three pairs of residual blocks.

    Args:
        widths: channels of the three pairs; the stem has those of the first.
        outputs: channels of the last layer.
        norm: behind every convolution but the last.
        bottleneck: blocks of three convolutions whose middle has a quarter of the channels.
    """

    def __init__(
        self, widths: tuple[int, int, int], outputs: int, norm: Norm, *, bottleneck: bool = False
    ) -> None:
        super().__init__()
        block = partial(_Residual, norm=norm, bottleneck=bottleneck)
        first, second, third = widths
        self.conv1 = nn.Conv2d(3, first, 7, 2, 3)
        self.norm1 = norm(first)
        self.layer1 = nn.Sequential(block(first, first, 1), block(first, first, 1))
        self.layer2 = nn.Sequential(block(first, second, 2), block(second, second, 1))
        self.layer3 = nn.Sequential(block(second, third, 2), block(third, third, 1))
        self.conv2 = nn.Conv2d(third, outputs, 1)

    def forward(self, frames: Tensor) -> Tensor:
        """Features of frames."""
        x = F.relu(self.norm1(self.conv1(frames)))
        found: Tensor = self.conv2(self.layer3(self.layer2(self.layer1(x))))
        return found


class _Residual(nn.Module):
    def __init__(
        self, inputs: int, outputs: int, stride: int, *, norm: Norm, bottleneck: bool
    ) -> None:
        super().__init__()
        inner = outputs // 4
        plain = ((inputs, outputs, 3, stride), (outputs, outputs, 3, 1))
        narrow = ((inputs, inner, 1, 1), (inner, inner, 3, stride), (inner, outputs, 1, 1))
        self.layers: list[tuple[str, str]] = []
        for number, (a, b, kernel, step) in enumerate(narrow if bottleneck else plain, 1):
            self.layers.append((f"conv{number}", f"norm{number}"))
            self.add_module(f"conv{number}", nn.Conv2d(a, b, kernel, step, kernel // 2))
            self.add_module(f"norm{number}", norm(b))
        self.downsample = nn.Sequential()
        if stride > 1:
            self.downsample.extend([nn.Conv2d(inputs, outputs, 1, stride), norm(outputs)])

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for conv, norm in self.layers:
            y = F.relu(self.get_submodule(norm)(self.get_submodule(conv)(y)))
        return F.relu(self.downsample(x) + y)


class Correlation:
    """Correlation of each position of one frame with all positions of another, on four scales.

    Args:
        first: (N, D, h, w) features of the one.
        second: of the other.
        radius: places on either side that `around` looks at.
    """

    def __init__(self, first: Tensor, second: Tensor, radius: int) -> None:
        n, d, h, w = first.shape
        products = torch.einsum("ndp,ndq->npq", first.flatten(2), second.flatten(2)) / d**0.5
        self._place(products.reshape(n * h * w, 1, h, w), radius)

    def _place(self, level: Tensor, radius: int) -> None:
        self.levels = [level]
        for _ in range(3):
            self.levels.append(F.avg_pool2d(self.levels[-1], 2, 2))
        self.radius = radius

    @property
    def turned(self) -> Correlation:
        """Of the other frame to the one."""
        finest = self.levels[0]
        h, w = finest.shape[2:]
        pairs = finest.reshape(-1, h * w, h * w).mT.reshape(-1, 1, h, w)
        other = object.__new__(Correlation)
        other._place(pairs, self.radius)
        return other

    def around(self, places: Tensor) -> Tensor:
        """(N, 4 (2 radius + 1)^2, h, w): likeness to what is around places (N, 2, h, w), (x, y).

        The window's first axis goes along x, as the authors' files have learnt it.
        """
        n, _, h, w = places.shape
        steps = torch.arange(-self.radius, self.radius + 1, device=places.device).float()
        window = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), -1)
        middle = places.permute(0, 2, 3, 1).reshape(n * h * w, 1, 1, 2)
        found = [
            _read(level, middle / 2**number + window).reshape(n, h, w, -1)
            for number, level in enumerate(self.levels)
        ]
        return torch.cat(found, -1).permute(0, 3, 1, 2)


def grid(like: Tensor) -> Tensor:
    """(N, 2, h, w) the places (x, y) of a tensor (N, C, h, w), in pixels."""
    n, _, h, w = like.shape
    y, x = torch.meshgrid(
        torch.arange(h, device=like.device), torch.arange(w, device=like.device), indexing="ij"
    )
    return torch.stack([x, y]).float().expand(n, 2, h, w)


def padded(frames: Tensor, step: int) -> tuple[Tensor, tuple[slice, slice]]:
    """Frames (N, C, H, W) whose edges are repeated up to multiples of `step`, and where they lie.

    Raises:
        DataError: they are too small.
    """
    height, width = frames.shape[2:]
    if min(height, width) < SMALLEST:
        raise DataError(
            f"optical flow needs frames of {SMALLEST} x {SMALLEST} pixels or more, these have "
            f"{width} x {height}; leave the metric out"
        )
    top, left = (-height % step) // 2, (-width % step) // 2
    around = (left, -width % step - left, top, -height % step - top)
    inside = (slice(top, top + height), slice(left, left + width))
    return F.pad(frames, around, mode="replicate"), inside


def _read(level: Tensor, places: Tensor) -> Tensor:
    """Between the pixels of (M, 1, h, w) at places (M, a, b, 2) in pixels; zero outside."""
    h, w = level.shape[2:]
    scale = places.new_tensor([w - 1, h - 1])
    return F.grid_sample(level, 2 * places / scale - 1, align_corners=True)
