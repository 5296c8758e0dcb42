"""The layers that I3D is made of, as a processor computes them fast.

The same sums as in the plain network, in other orders: products of matrices for kernels of one,
Winograd's tiles for large planes, maxima one axis after the other.
"""

from __future__ import annotations

from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fbridge.evaluation.networks.i3d import winograd
from fbridge.evaluation.networks.pictures import pad_same


class Unit(nn.Module):
    """Convolution with batch normalisation folded in, then ReLU; output ceil(size / stride).

    With `tiles` a kernel of three is computed in Winograd's tiles on a processor, which pays where
    planes are large. It takes the kernel in another form, made when weights are there.
    """

    def __init__(
        self, inputs: int, outputs: int, *, kernel: int, stride: int = 1, tiles: bool = False
    ) -> None:
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, kernel, stride)
        self.tiles = tiles
        self._transformed: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, T, H, W) to (B, outputs, ...)."""
        padded = pad_same(x, self.conv.kernel_size, self.conv.stride)
        if not self.tiles or x.device.type != "cpu":
            return F.relu_(self.conv(padded))
        if self._transformed is None:
            self._transformed = winograd.transformed(self.conv.weight.detach())
        assert self.conv.bias is not None
        rows = [winograd.convolved(clip, self._transformed) for clip in padded]
        return F.relu_(torch.stack(rows).add_(self.conv.bias.reshape(-1, 1, 1, 1)))


class Pointwise(nn.Module):
    """The same with a kernel of one: a product of matrices, much faster on a processor."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, T, H, W) to (B, outputs, ...)."""
        assert self.conv.bias is not None
        flat = torch.matmul(self.conv.weight.flatten(1), x.flatten(2))
        flat.add_(self.conv.bias[:, None])
        return F.relu_(flat).unflatten(2, x.shape[2:])


class Mixed(nn.Module):
    """Inception block: four branches side by side, joined along the channels.

    The three that begin with a kernel of one over the same input share one product.
    """

    def __init__(
        self,
        inputs: int,
        one: int,
        two: tuple[int, int],
        three: tuple[int, int],
        four: int,
        *,
        tiles: bool = False,
    ) -> None:
        super().__init__()
        self.parts = (one, two[0], three[0])
        self.reduced = Pointwise(inputs, sum(self.parts))
        self.b1 = Unit(two[0], two[1], kernel=3, tiles=tiles)
        self.b2 = Unit(three[0], three[1], kernel=3, tiles=tiles)
        self.b3pool = MaxPool((3, 3, 3), (1, 1, 1))
        self.b3 = Pointwise(inputs, four)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, T, H, W) to the four branches' outputs."""
        one, two, three = self.reduced(x).split(self.parts, dim=1)
        return torch.cat([one, self.b1(two), self.b2(three), self.b3(self.b3pool(x))], dim=1)


class MaxPool(nn.Module):
    """Maximum over a window, one axis after the other (much faster than max_pool3d on CPU).

    Padding with zeros equals padding with -inf here: all inputs come out of a ReLU.
    """

    def __init__(self, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> None:
        super().__init__()
        self.kernel = kernel
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) to ceil(size / stride) of each."""
        x = pad_same(x, self.kernel, self.stride)
        for axis, (kernel, stride) in enumerate(zip(self.kernel, self.stride, strict=True), 2):
            steps = (x.shape[axis] - kernel) // stride + 1
            reach = (steps - 1) * stride + 1
            windows = [x.narrow(axis, i, reach) for i in range(kernel)]
            if stride > 1:
                strided = (slice(None),) * axis + (slice(None, None, stride),)
                windows = [window[strided] for window in windows]
            x = reduce(torch.maximum, windows)
        return x
