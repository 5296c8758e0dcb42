"""AMT-S (Li et al. 2023, arXiv 2304.09790): frame interpolation for VBench's motion smoothness.

Two frames are encoded, their flows to the frame between them are refined from coarse to fine with
the help of correlation, and several warped guesses are merged.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fbridge.evaluation.networks.flow_parts import Correlation, Encoder, grid, padded
from fbridge.evaluation.networks.load import MetricNetwork

_WIDTHS = (20, 32, 44, 56)  # of the pyramid, from fine to coarse
_SIDE = 20  # channels of the side convolutions in residual blocks
_GUESSES = 3
_RADIUS = 3
_STEP = 16  # pixels that sides must be multiples of


class Amt(MetricNetwork):
    """Interpolates the frame in the middle between two frames."""

    title = "AMT-S"
    weights = ("amt-s",)

    def __init__(self) -> None:
        super().__init__()
        finest, fine, coarse, coarsest = _WIDTHS
        self.feat_encoder = Encoder((32, 64, 96), 84, nn.InstanceNorm2d, bottleneck=True)
        pairs = zip((3, *_WIDTHS), _WIDTHS, strict=False)
        self.encoder = nn.ModuleDict({
            f"pyramid{number}": nn.Sequential(_convolution(a, b, 2), _convolution(b, b))
            for number, (a, b) in enumerate(pairs, 1)
        })  # fmt: skip
        self.decoder4 = _decoder(2 * coarsest + 1, 2 * coarsest, coarse + 4)
        self.decoder3 = _decoder(3 * coarse + 4, 3 * coarse, fine + 4)
        self.decoder2 = _decoder(3 * fine + 4, 3 * fine, finest + 4)
        self.decoder1 = _decoder(3 * finest + 4, 3 * finest, 8 * _GUESSES)
        self.update4, self.update3, self.update2 = _Update(coarse), _Update(fine), _Update(finest)
        self.comb_block = nn.Sequential(
            nn.Conv2d(3 * _GUESSES, 6 * _GUESSES, 3, 1, 1),
            nn.PReLU(6 * _GUESSES),
            nn.Conv2d(6 * _GUESSES, 3, 3, 1, 1),
        )

    def forward(self, first: Tensor, last: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] between frames (N, 3, H, W) in [0, 1]; sides multiples of 16."""
        mean = torch.cat([first, last], 2).mean((1, 2, 3), keepdim=True)
        first, last = first - mean, last - mean
        correlation = Correlation(self.feat_encoder(first), self.feat_encoder(last), _RADIUS)
        both = (correlation, correlation.turned)
        ones, twos = self._pyramid(first), self._pyramid(last)
        half = ones[3].new_full((len(first), 1, *ones[3].shape[2:]), 0.5)
        flows, hidden = self.decoder4(torch.cat([ones[3], twos[3], half], 1)).tensor_split([4], 1)
        flows, hidden = _refined(self.update4, both, flows, hidden, 1)
        for decode, update, scale, level in (
            (self.decoder3, self.update3, 2, 2),
            (self.decoder2, self.update2, 4, 1),
        ):
            made = decode(_seen(hidden, ones[level], twos[level], flows))
            change, hidden = made.tensor_split([4], 1)
            flows = change + 2 * _resized(flows, 2)
            flows, hidden = _refined(update, both, flows, hidden, scale)
        made = self.decoder1(_seen(hidden, ones[0], twos[0], flows))
        return self._merged(first, last, mean, flows, made)

    def _pyramid(self, x: Tensor) -> list[Tensor]:
        found = []
        for level in self.encoder.values():
            x = level(x)
            found.append(x)
        return found

    def _merged(
        self, first: Tensor, last: Tensor, mean: Tensor, flows: Tensor, made: Tensor
    ) -> Tensor:
        n = _GUESSES
        to_first, to_last, share, rest = made.tensor_split([2 * n, 4 * n, 5 * n], 1)
        large = 2 * _resized(flows, 2)
        to_first = to_first + large[:, :2].repeat(1, n, 1, 1)
        to_last = to_last + large[:, 2:].repeat(1, n, 1, 1)
        guesses = []
        for i in range(n):
            part = share[:, i : i + 1].sigmoid()
            ahead = _warped(first, to_first[:, 2 * i : 2 * i + 2])
            back = _warped(last, to_last[:, 2 * i : 2 * i + 2])
            guesses.append(part * ahead + (1 - part) * back + mean + rest[:, 3 * i : 3 * i + 3])
        merged = torch.stack(guesses).mean(0) + self.comb_block(torch.cat(guesses, 1))
        return merged.clamp(0, 1)

    @torch.inference_mode()
    def errors(self, frames: Tensor) -> Tensor:
        """(N,) mean absolute difference, on 0 to 255, of every second frame to its interpolation.

        Args:
            frames: (T, H, W, 3) uint8, T of 3 or more.

        Raises:
            DataError: The frames are smaller than 128 pixels.
        """
        device = self.comb_block[0].weight.device
        images, (rows, columns) = padded(frames[::2].permute(0, 3, 1, 2).float() / 255, _STEP)
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            guessed = [
                self(before.to(device), after.to(device)).cpu()
                for before, after in zip(images[:-1, None], images[1:, None], strict=True)
            ]
        levels = torch.cat(guessed).mul(255).byte()[:, :, rows, columns].permute(0, 2, 3, 1)
        left_out = frames[1::2][: len(levels)]
        return (left_out.float() - levels.float()).abs().flatten(1).mean(1)


class _Side(nn.Module):
    """Residual block in which the last channels pass two more convolutions of their own."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.conv3 = _convolution(width, width), _convolution(width, width)
        self.conv2, self.conv4 = _convolution(_SIDE, _SIDE), _convolution(_SIDE, _SIDE)
        self.conv5 = nn.Conv2d(width, width, 3, 1, 1)
        self.prelu = nn.PReLU(width)

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for whole, side in ((self.conv1, self.conv2), (self.conv3, self.conv4)):
            most, some = whole(y).tensor_split([-_SIDE], 1)
            y = torch.cat([most, side(some)], 1)
        out: Tensor = self.prelu(x + self.conv5(y))
        return out


class _Update(nn.Module):
    """Updates hidden state and flows from the correlation, at 1/8 of the frame's size."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convc1 = nn.Conv2d(2 * 4 * (2 * _RADIUS + 1) ** 2, 64, 1)
        self.convf1 = nn.Conv2d(4, 40, 7, padding=3)
        self.convf2 = nn.Conv2d(40, 20, 3, padding=1)
        self.conv = nn.Conv2d(64 + 20, 68, 3, padding=1)
        self.gru = _pair(68 + 4 + width, 76)
        self.feat_head = _pair(76, width)
        self.flow_head = _pair(76, 4)

    def forward(self, hidden: Tensor, flows: Tensor, alike: Tensor) -> tuple[Tensor, Tensor]:
        leaky = partial(F.leaky_relu, negative_slope=0.1)
        moved = leaky(self.convf2(leaky(self.convf1(flows))))
        seen = leaky(self.conv(torch.cat([leaky(self.convc1(alike)), moved], 1)))
        out = self.gru(torch.cat([seen, flows, hidden], 1))
        return self.feat_head(out), self.flow_head(out)


def _decoder(inputs: int, width: int, outputs: int) -> nn.Sequential:
    """Decodes features and flows to the next, twice as large level."""
    block = nn.Sequential(
        _convolution(inputs, width), _Side(width), nn.ConvTranspose2d(width, outputs, 4, 2, 1)
    )
    return nn.Sequential(OrderedDict(convblock=block))


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1), nn.PReLU(outputs))


def _pair(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, 76, 3, padding=1), nn.LeakyReLU(0.1), nn.Conv2d(76, outputs, 3, padding=1)
    )


def _refined(
    update: nn.Module,
    both: tuple[Correlation, Correlation],
    flows: Tensor,
    hidden: Tensor,
    scale: int,
) -> tuple[Tensor, Tensor]:
    """Flows (N, 4, h, w) to the first and to the last frame, corrected; motion is taken as steady.

    `both` correlates the first frame with the last, and back; `flows` and `hidden` have `scale`
    times an eighth of the frame's size.
    """
    small = _resized(flows, 1 / scale) / scale
    place = grid(small)
    alike = torch.cat(
        [both[0].around(place + 2 * small[:, 2:]), both[1].around(place + 2 * small[:, :2])], 1
    )
    more, change = update(_resized(hidden, 1 / scale), small, alike)
    return flows + scale * _resized(change, scale), hidden + _resized(more, scale)


def _seen(hidden: Tensor, first: Tensor, last: Tensor, flows: Tensor) -> Tensor:
    ahead, back = _warped(first, flows[:, :2]), _warped(last, flows[:, 2:])
    return torch.cat([hidden, ahead, back, flows], 1)


def _resized(x: Tensor, scale: float) -> Tensor:
    if scale == 1:
        return x
    return F.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=False)


def _warped(image: Tensor, flow: Tensor) -> Tensor:
    """An image read where its pixels come from; edges go on outside."""
    h, w = flow.shape[2:]
    places = (grid(image) + flow).permute(0, 2, 3, 1)
    scale = places.new_tensor([w - 1, h - 1])
    return F.grid_sample(image, 2 * places / scale - 1, padding_mode="border", align_corners=True)
