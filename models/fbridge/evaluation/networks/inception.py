"""InceptionV3 of FID: the TensorFlow graph of 2015-12-05 (Szegedy et al. 2015).

It differs from the usual InceptionV3: averages within blocks leave padding out, the last block's
pool takes the maximum, and there are 1008 classes. Names are those of the converted weights of
pytorch-fid and torch-fidelity, batch normalisation has eps 1e-3.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from fbridge.evaluation.networks.load import load_network
from fbridge.evaluation.networks.pictures import in_parts
from fbridge.weights import INCEPTION_FID, load_weights

SIDE, FEATURES, CLASSES = 299, 2048, 1008

Kernel = int | tuple[int, int]
Pool = Literal["average", "maximum"]
Resize = Literal["tf1", "clean"]
"""Method of resizing to 299 x 299: see `prepare`."""


class InceptionV3(nn.Module):
    """Frames (N, 3, 299, 299), (x - 128) / 128, to pooled features (N, 2048)."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = _Unit(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = _Unit(32, 32, 3)
        self.Conv2d_2b_3x3 = _Unit(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = _Unit(64, 80, 1)
        self.Conv2d_4a_3x3 = _Unit(80, 192, 3)
        self.Mixed_5b = _BlockA(192, 32)
        self.Mixed_5c = _BlockA(256, 64)
        self.Mixed_5d = _BlockA(288, 64)
        self.Mixed_6a = _BlockB(288)
        self.Mixed_6b = _BlockC(128)
        self.Mixed_6c = _BlockC(160)
        self.Mixed_6d = _BlockC(160)
        self.Mixed_6e = _BlockC(192)
        self.Mixed_7a = _BlockD()
        self.Mixed_7b = _BlockE(1280, "average")
        self.Mixed_7c = _BlockE(2048, "maximum")
        self.fc = nn.Linear(FEATURES, CLASSES)

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> InceptionV3:
        """The network with these weights, ready to measure.

        Raises:
            CheckpointError: they are of another network.
        """
        return load_network("Inception", cls, state)

    def forward(self, x: Tensor) -> Tensor:
        """Pooled features (N, 2048)."""
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, 2)))
        x = F.max_pool2d(x, 3, 2)
        for block in (
            self.Mixed_5b, self.Mixed_5c, self.Mixed_5d, self.Mixed_6a, self.Mixed_6b,
            self.Mixed_6c, self.Mixed_6d, self.Mixed_6e, self.Mixed_7a, self.Mixed_7b,
            self.Mixed_7c,
        ):  # fmt: skip
            x = block(x)
        return x.mean(dim=(2, 3))

    @torch.inference_mode()
    def features(self, frames: Tensor, *, resize: Resize = "tf1") -> Tensor:
        """(T, 2048) of frames (T, H, W, 3) uint8, resized to 299 x 299 by `prepare`."""
        return in_parts(
            lambda part: self(prepare(part, resize=resize)), frames, self.fc.weight.device
        )

    @torch.inference_mode()
    def logits(self, features: Tensor) -> Tensor:
        """(T, 1008) of features (T, 2048), without bias, as the first Inception Score had them."""
        return features @ self.fc.weight.T


def load_inception(path: Path | None = None) -> InceptionV3:
    """The FID network with the published weights.

    Raises:
        CheckpointError: The weights are missing or not the genuine ones.
    """
    return InceptionV3.from_state(load_weights(INCEPTION_FID, path))


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
    """Convolution, batch normalisation, ReLU."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: Kernel,
        *,
        stride: int = 1,
        padding: Kernel = 0,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


def _averaged(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


class _BlockA(nn.Module):
    """Inception block at 35 x 35."""

    def __init__(self, inputs: int, pooled: int) -> None:
        super().__init__()
        self.branch1x1 = _Unit(inputs, 64, 1)
        self.branch5x5_1 = _Unit(inputs, 48, 1)
        self.branch5x5_2 = _Unit(48, 64, 5, padding=2)
        self.branch3x3dbl_1 = _Unit(inputs, 64, 1)
        self.branch3x3dbl_2 = _Unit(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = _Unit(96, 96, 3, padding=1)
        self.branch_pool = _Unit(inputs, pooled, 1)

    def forward(self, x: Tensor) -> Tensor:
        five = self.branch5x5_2(self.branch5x5_1(x))
        three = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch1x1(x), five, three, self.branch_pool(_averaged(x))], 1)


class _BlockB(nn.Module):
    """Reduction from 35 x 35 to 17 x 17."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.branch3x3 = _Unit(inputs, 384, 3, stride=2)
        self.branch3x3dbl_1 = _Unit(inputs, 64, 1)
        self.branch3x3dbl_2 = _Unit(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = _Unit(96, 96, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, F.max_pool2d(x, 3, 2)], 1)


class _BlockC(nn.Module):
    """Inception block at 17 x 17, kernels split into 1 x 7 and 7 x 1."""

    def __init__(self, inner: int) -> None:
        super().__init__()
        wide: dict[str, Kernel] = {"kernel": (1, 7), "padding": (0, 3)}
        high: dict[str, Kernel] = {"kernel": (7, 1), "padding": (3, 0)}
        self.branch1x1 = _Unit(768, 192, 1)
        self.branch7x7_1 = _Unit(768, inner, 1)
        self.branch7x7_2 = _Unit(inner, inner, **wide)  # type: ignore[arg-type]
        self.branch7x7_3 = _Unit(inner, 192, **high)  # type: ignore[arg-type]
        self.branch7x7dbl_1 = _Unit(768, inner, 1)
        self.branch7x7dbl_2 = _Unit(inner, inner, **high)  # type: ignore[arg-type]
        self.branch7x7dbl_3 = _Unit(inner, inner, **wide)  # type: ignore[arg-type]
        self.branch7x7dbl_4 = _Unit(inner, inner, **high)  # type: ignore[arg-type]
        self.branch7x7dbl_5 = _Unit(inner, 192, **wide)  # type: ignore[arg-type]
        self.branch_pool = _Unit(768, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        seven = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat([self.branch1x1(x), seven, double, self.branch_pool(_averaged(x))], 1)


class _BlockD(nn.Module):
    """Reduction from 17 x 17 to 8 x 8."""

    def __init__(self) -> None:
        super().__init__()
        self.branch3x3_1 = _Unit(768, 192, 1)
        self.branch3x3_2 = _Unit(192, 320, 3, stride=2)
        self.branch7x7x3_1 = _Unit(768, 192, 1)
        self.branch7x7x3_2 = _Unit(192, 192, (1, 7), padding=(0, 3))
        self.branch7x7x3_3 = _Unit(192, 192, (7, 1), padding=(3, 0))
        self.branch7x7x3_4 = _Unit(192, 192, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        seven = self.branch7x7x3_2(self.branch7x7x3_1(x))
        seven = self.branch7x7x3_4(self.branch7x7x3_3(seven))
        return torch.cat([self.branch3x3_2(self.branch3x3_1(x)), seven, F.max_pool2d(x, 3, 2)], 1)


class _BlockE(nn.Module):
    """Inception block at 8 x 8; the graph of 2015 differs in its pooling."""

    def __init__(self, inputs: int, pool: Pool) -> None:
        super().__init__()
        self.pool = pool
        self.branch1x1 = _Unit(inputs, 320, 1)
        self.branch3x3_1 = _Unit(inputs, 384, 1)
        self.branch3x3_2a = _Unit(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3_2b = _Unit(384, 384, (3, 1), padding=(1, 0))
        self.branch3x3dbl_1 = _Unit(inputs, 448, 1)
        self.branch3x3dbl_2 = _Unit(448, 384, 3, padding=1)
        self.branch3x3dbl_3a = _Unit(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3dbl_3b = _Unit(384, 384, (3, 1), padding=(1, 0))
        self.branch_pool = _Unit(inputs, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        three = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        pooled = _averaged(x) if self.pool == "average" else F.max_pool2d(x, 3, 1, 1)
        parts = [
            self.branch1x1(x),
            self.branch3x3_2a(three),
            self.branch3x3_2b(three),
            self.branch3x3dbl_3a(double),
            self.branch3x3dbl_3b(double),
            self.branch_pool(pooled),
        ]
        return torch.cat(parts, 1)
