"""LPIPS over AlexNet, version 0.1 (Zhang et al. 2018, arXiv 1801.03924)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from fbridge.errors import DataError
from fbridge.evaluation.networks.load import MetricNetwork

_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)
_CHANNELS = (64, 192, 384, 256, 256)
_ENDS = (1, 4, 7, 9, 11)
"""Indices of AlexNet's ReLU layers whose outputs are compared."""
_EPS = 1e-10

SMALLEST = 31
"""Least height and width in pixels, set by AlexNet's second pooling."""


class Lpips(MetricNetwork):
    """Distance of two pictures in AlexNet's features, weighted to match human judgement."""

    title = "LPIPS"
    weights = ("alexnet", "lpips")

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(),
        )  # fmt: skip
        self.heads = nn.ParameterList(torch.zeros(1, c, 1, 1) for c in _CHANNELS)

    @classmethod
    def renamed(
        cls, trunk: Mapping[str, Tensor], heads: Mapping[str, Tensor]
    ) -> Iterator[tuple[str, Tensor]]:
        """Torchvision's AlexNet without its classifier, and the published linear layers."""
        for number in range(len(_CHANNELS)):
            yield f"heads.{number}", heads[f"lin{number}.model.1.weight"]
        yield from (item for item in trunk.items() if item[0].startswith("features."))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """(N,) distances of (N, 3, H, W) in [-1, 1]."""
        total = first.new_zeros(len(first))
        for a, b, head in zip(self._layers(first), self._layers(second), self.heads, strict=True):
            apart = (_normed(a) - _normed(b)).square()
            total = total + (apart * head).sum(1).mean(dim=(1, 2))
        return total

    @torch.inference_mode()
    def distance(self, first: Tensor, second: Tensor) -> Tensor:
        """(T,) distances between two sets of frames (T, H, W, 3) uint8, at their own size.

        Raises:
            DataError: The frames are too small for AlexNet.
            ValueError: The sides have different shapes or types.
        """
        if first.shape != second.shape or first.dtype != torch.uint8 or second.dtype != first.dtype:
            sides = " and ".join(f"{tuple(side.shape)} {side.dtype}" for side in (first, second))
            raise ValueError(f"LPIPS compares (T, H, W, 3) uint8 of equal shape, not {sides}")
        height, width = first.shape[1:3]
        if min(height, width) < SMALLEST:
            raise DataError(
                f"LPIPS needs frames of {SMALLEST} x {SMALLEST} pixels or more, these have "
                f"{width} x {height}; leave the metric out"
            )
        device = self.heads[0].device
        pairs = zip(first, second, strict=True)
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            return torch.cat([self(_prepared(a, device), _prepared(b, device)) for a, b in pairs])

    def _layers(self, x: Tensor) -> list[Tensor]:
        shift, scale = (x.new_tensor(v).reshape(1, 3, 1, 1) for v in (_SHIFT, _SCALE))
        x = (x - shift) / scale
        found = []
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in _ENDS:
                found.append(x)
        return found


def _normed(x: Tensor) -> Tensor:
    return x / (x.square().sum(1, keepdim=True).sqrt() + _EPS)


def _prepared(frame: Tensor, device: torch.device) -> Tensor:
    return frame.to(device).permute(2, 0, 1)[None].float() * (2 / 255) - 1
