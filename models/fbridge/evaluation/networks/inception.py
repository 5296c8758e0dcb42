"""InceptionV3 of FID: the TensorFlow graph of 2015-12-05 (Szegedy et al. 2015).

It differs from the usual InceptionV3: averages within blocks leave padding out, the last block's
pool takes the maximum, and there are 1008 classes. Names are those of the converted weights of
pytorch-fid and torch-fidelity, batch normalisation has eps 1e-3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from fbridge.evaluation.networks.load import MetricNetwork
from fbridge.evaluation.networks.pictures import in_parts

SIDE, FEATURES, CLASSES = 299, 2048, 1008

Step = tuple[int, int | tuple[int, int]]
"""Output channels of a convolution, and its kernel."""
Pool = Literal["average", "maximum", "reduction"]
"""Pooled branch: stride 1 before a convolution, or without one where a block halves the size."""
Resize = Literal["tf1", "clean"]
"""Method of resizing to 299 x 299: see `prepare`."""


class InceptionV3(MetricNetwork):
    """Frames (N, 3, 299, 299), (x - 128) / 128, to pooled features (N, 2048)."""

    title = "Inception"
    weights = ("inception",)

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = _Unit(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = _Unit(32, 32, 3, valid=True)
        self.Conv2d_2b_3x3 = _Unit(32, 64, 3)
        self.Conv2d_3b_1x1 = _Unit(64, 80, 1)
        self.Conv2d_4a_3x3 = _Unit(80, 192, 3, valid=True)
        self.Mixed_5b = _block_35(192, 32)
        self.Mixed_5c = _block_35(256, 64)
        self.Mixed_5d = _block_35(288, 64)
        self.Mixed_6a = _Block(
            288, {"3x3": [(384, 3)], "3x3dbl": [(64, 1), (96, 3), (96, 3)]}, "reduction"
        )
        self.Mixed_6b = _block_17(128)
        self.Mixed_6c = _block_17(160)
        self.Mixed_6d = _block_17(160)
        self.Mixed_6e = _block_17(192)
        seven: list[Step] = [(192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3)]
        self.Mixed_7a = _Block(768, {"3x3": [(192, 1), (320, 3)], "7x7x3": seven}, "reduction")
        self.Mixed_7b = _block_8(1280, "average")
        self.Mixed_7c = _block_8(2048, "maximum")
        self.fc = nn.Linear(FEATURES, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Pooled features (N, 2048)."""
        for name, layer in self.named_children():
            if layer is not self.fc:
                x = layer(x)
            if name in ("Conv2d_2b_3x3", "Conv2d_4a_3x3"):
                x = F.max_pool2d(x, 3, 2)
        return x.mean(dim=(2, 3))

    @torch.inference_mode()
    def features(self, frames: Tensor, *, resize: Resize = "tf1") -> Tensor:
        """(T, 2048) of frames (T, H, W, 3) uint8, resized to 299 x 299 by `prepare`."""
        device = self.fc.weight.device
        return in_parts(lambda part: self(prepare(part, resize=resize)), frames, device)

    @torch.inference_mode()
    def logits(self, features: Tensor) -> Tensor:
        """(T, 1008) of features (T, 2048), without bias, as the first Inception Score had them."""
        return features @ self.fc.weight.T


def prepare(frames: Tensor, *, resize: Resize = "tf1") -> Tensor:
    """(T, H, W, 3) uint8 to (T, 3, 299, 299), about -1 to 1: (x - 128) / 128.

    The aspect ratio is not kept. "tf1" samples as TensorFlow 1 in the original: bilinear, pixel i
    reads at i * H / 299, no half-pixel centres, no antialiasing. "clean" is Pillow's bicubic of a
    channel alone in float32, antialiased, not rounded (Parmar et al. 2022, arXiv 2104.11222).
    """
    images = _clean(frames) if resize == "clean" else _tf1(frames)
    return (images - 128) / 128


def _tf1(frames: Tensor) -> Tensor:
    images = frames.permute(0, 3, 1, 2).float()
    for axis in (3, 2):
        size = images.shape[axis]
        place = torch.arange(SIDE, device=images.device, dtype=torch.float32) * (size / SIDE)
        low = place.floor().long().clamp(max=size - 1)
        share = (place - low).reshape([-1 if a == axis else 1 for a in range(4)])
        before = images.index_select(axis, low)
        after = images.index_select(axis, (low + 1).clamp(max=size - 1))
        images = before + (after - before) * share
    return images


def _clean(frames: Tensor) -> Tensor:
    planes = frames.permute(0, 3, 1, 2).float()
    resized = [
        np.asarray(Image.fromarray(plane).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
        for plane in planes.flatten(0, 1).cpu().numpy()
    ]
    images = torch.from_numpy(np.stack(resized)).to(frames.device)
    return images.unflatten(0, planes.shape[:2]).clamp(0, 255)


class _Unit(nn.Module):
    """Convolution, batch normalisation, ReLU; it pads unless it is `valid` or has a stride."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int | tuple[int, int],
        *,
        stride: int = 1,
        valid: bool = False,
    ) -> None:
        super().__init__()
        high, wide = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (0, 0) if valid or stride > 1 else (high // 2, wide // 2)
        self.conv = nn.Conv2d(inputs, outputs, (high, wide), stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class _Block(nn.Module):
    """Inception block: chains of units side by side and a pooled branch, joined along the channels.

    Args:
        inputs: channels.
        chains: steps of each branch by its name; units are called after it, numbered if several.
        pool: the last branch. At "reduction" the last step of each chain has stride 2.
        pooled: channels of the unit behind the pool.
        ends: chains that part at the end into 1 x 3 and 3 x 1, each of as many channels.
    """

    def __init__(
        self,
        inputs: int,
        chains: Mapping[str, Sequence[Step]],
        pool: Pool,
        *,
        pooled: int = 0,
        ends: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.pool = pool
        self.branches: list[tuple[list[str], list[str]]] = []
        for branch, steps in chains.items():
            several = len(steps) > 1 or branch in ends
            names, width = [], inputs
            for number, (outputs, kernel) in enumerate(steps, 1):
                stride = 2 if pool == "reduction" and number == len(steps) else 1
                names.append(f"branch{branch}_{number}" if several else f"branch{branch}")
                self.add_module(names[-1], _Unit(width, outputs, kernel, stride=stride))
                width = outputs
            parted = [f"branch{branch}_{len(steps) + 1}{end}" for end in "ab" if branch in ends]
            for name, split in zip(parted, ((1, 3), (3, 1)), strict=False):
                self.add_module(name, _Unit(width, width, split))
            self.branches.append((names, parted))
        if pooled:
            self.branch_pool = _Unit(inputs, pooled, 1)

    def forward(self, x: Tensor) -> Tensor:
        parts = []
        for names, ends in self.branches:
            y = x
            for name in names:
                y = self.get_submodule(name)(y)
            parts += [self.get_submodule(end)(y) for end in ends] or [y]
        if self.pool == "average":
            aside = F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
        else:
            aside = F.max_pool2d(x, 3, 2) if self.pool == "reduction" else F.max_pool2d(x, 3, 1, 1)
        parts.append(aside if self.pool == "reduction" else self.branch_pool(aside))
        return torch.cat(parts, 1)


def _block_35(inputs: int, pooled: int) -> _Block:
    """At 35 x 35."""
    return _Block(
        inputs,
        {"1x1": [(64, 1)], "5x5": [(48, 1), (64, 5)], "3x3dbl": [(64, 1), (96, 3), (96, 3)]},
        "average",
        pooled=pooled,
    )


def _block_17(inner: int) -> _Block:
    """At 17 x 17, kernels of 7 x 7 split into 1 x 7 and 7 x 1."""
    wide, high = (1, 7), (7, 1)
    chains: dict[str, list[Step]] = {
        "1x1": [(192, 1)],
        "7x7": [(inner, 1), (inner, wide), (192, high)],
        "7x7dbl": [(inner, 1), (inner, high), (inner, wide), (inner, high), (192, wide)],
    }
    return _Block(768, chains, "average", pooled=192)


def _block_8(inputs: int, pool: Pool) -> _Block:
    """At 8 x 8; the graph of 2015 differs in its pooling."""
    chains: dict[str, list[Step]] = {
        "1x1": [(320, 1)], "3x3": [(384, 1)], "3x3dbl": [(448, 1), (384, 3)],
    }  # fmt: skip
    return _Block(inputs, chains, pool, pooled=192, ends=("3x3", "3x3dbl"))
