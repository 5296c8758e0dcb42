"""Steam and smoke that rise from a source, as the share of each pixel that they cover."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fbridge.codecs.scenes.currents import smooth_noise

Array = npt.NDArray[Any]
"""Of float32."""

_GRAIN = 192
"""Side of the repeating texture of wisps."""
_RISE = 26
"""Frames in which a plume climbs to its height."""


class Source(NamedTuple):
    """Where something rises from: the middle of its rim and half its width, in pixels."""

    x: float
    y: float
    half: float


def source_of(mask: Tensor | None, size: tuple[int, int]) -> Source:
    """The rim of a mask (H, W); the lower centre of a frame (height, width) where there is none."""
    height, width = size
    if mask is None or float(mask.amax()) < 0.5:
        return Source(width / 2, 0.7 * height, 0.12 * width)
    inside = mask > 0.5
    rows, columns = (torch.nonzero(inside.any(axis)).flatten() for axis in (1, 0))
    top, bottom = int(rows[0]), int(rows[-1])
    # An open vessel is seen from above: what is in it lies below its highest row. If the source is
    # cut by the frame's top, it rises from farther down, where there is room to be seen.
    y = max(top + 0.3 * (bottom - top), min(0.35 * height, 0.5 * (top + bottom)))
    across = torch.nonzero(inside[min(bottom, round(y))]).flatten()
    across = across if len(across) else columns
    left, right = float(across[0]), float(across[-1])
    return Source((left + right) / 2, y, max(2.0, 0.36 * (right - left)))


class _Look(NamedTuple):
    """How a kind of plume looks.

    Attributes:
        opacity: where it is densest.
        spread: width at the top over that at the source.
        height: over the source's width.
        strands: whether its texture are strands; or else billows.
    """

    opacity: float
    spread: float
    height: float
    strands: bool


PLUMES = {"steam": _Look(0.75, 1.9, 2.4, True), "smoke": _Look(0.85, 2.4, 3.0, False)}


class Plume:
    """A plume of wisps, drawn at half the picture's size: it is soft."""

    def __init__(
        self, kind: str, source: Source, size: tuple[int, int], total: int, seed: int
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.look, self.size, self.total = PLUMES[kind], size, total
        strands = self.look.strands
        self.wisps, self.veil = (_texture(cells, strands, generator) for cells in (5, 9))
        self.turn = float(torch.rand((), generator=generator))
        self.half = max(source.half, 0.05 * size[1])
        self.climb = min(max(self.look.height * 2 * self.half, 0.4 * size[0]), 1.2 * size[0])
        y = np.arange(0.5, size[0], 2, dtype=np.float32)[:, None]
        x = np.arange(0.5, size[1], 2, dtype=np.float32)[None]
        self.up = (source.y - y) / self.climb
        self.across = x - source.x

    def __call__(self, frame: int) -> Array:
        """(H, W) share of each pixel that is covered at a frame."""
        import cv2

        up, look = self.up, self.look
        climbed = np.clip(up, 0, 1.2)
        time = frame / _RISE
        width = self.half * (0.75 + (look.spread - 0.75) * climbed)
        bend = np.sin(2 * math.pi * (0.9 * climbed - 0.7 * time + self.turn))
        bend += 0.5 * np.sin(2 * math.pi * (2.1 * climbed - 1.1 * time + 3 * self.turn))
        across = (self.across - 0.45 * self.half * climbed * bend) / width
        stretch = self.climb / (2 * self.half)
        veil = self._sample(self.veil, 0.30 * across, 0.22 * stretch * (up - 0.75 * time))
        wisps = self._sample(
            self.wisps,
            0.24 * across + 0.10 * veil * climbed,
            0.13 * stretch * (up - time) + 0.05 * veil,
        )
        if look.strands:
            density = np.clip(1.25 * wisps + 0.35 * veil - 0.12, 0, 1)
        else:
            density = np.clip(2.2 * (wisps + 0.3 * veil) - 0.5, 0, 1)
        front = 1.15 * time
        shape = np.exp(-1.6 * across * across) * _ramp(up, -0.06, 0.16) * (1 - _ramp(up, 0.35, 1.0))
        shape = shape * (1 - _ramp(up, front - 0.35, front))
        cover = look.opacity * density * shape
        cover = cv2.resize(
            cover.astype(np.float32), self.size[::-1], interpolation=cv2.INTER_LINEAR
        )
        return np.clip(cover, 0, 1)

    @staticmethod
    def _sample(texture: Array, x: Array, y: Array) -> Array:
        """The repeating texture at places in units of its side."""
        import cv2

        x, y = np.broadcast_arrays(x * _GRAIN, y * _GRAIN)
        x, y = ((part % _GRAIN).astype(np.float32) for part in (x, y))
        return cv2.remap(texture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def _texture(cells: int, strands: bool, generator: torch.Generator) -> Array:
    """(192, 192) repeating texture in [0, 1]: smooth noise, or its ridges: thin strands."""
    texture = torch.zeros(_GRAIN, _GRAIN)
    for octave, weight in ((1, 0.6), (2, 0.3), (4, 0.15)):
        noise = smooth_noise((_GRAIN, _GRAIN), cells * octave, generator, repeats=True)
        texture += weight * ((1 - (0.9 * noise).abs()).clamp_min(0) if strands else noise)
    if not strands:
        texture = (0.5 + 0.45 * texture).clamp_min(0)
    return (texture / texture.amax()).numpy()


def _ramp(value: Array, low: float, high: float) -> Array:
    share = np.clip((value - low) / max(1e-6, high - low), 0, 1)
    return share * share * (3 - 2 * share)
