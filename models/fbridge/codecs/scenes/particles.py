"""Rain, snow and sparks, drawn over the frames of a video; and steam and smoke that rise.

Nothing is drawn on frame 0: what falls fades in, what rises climbs out of its source. What is drawn
depends only on the seed, the frame and the size of the picture.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fbridge.codecs.scenes.plumes import PLUMES, Plume, Source, source_of

Array = npt.NDArray[Any]
"""Of float32."""

_FADE_IN = 12
"""Frames over which what falls becomes fully visible."""
_SUBPIXEL = 4
"""Bits of the fraction of a pixel in OpenCV's drawing coordinates."""
_LIFE = 26
"""Frames that a spark lives."""


class _Layer(NamedTuple):
    """Drops or flakes at one distance. Lengths are in frame units (the frame's area is 4).

    Attributes:
        number: in the frame.
        speed: distance that they fall in a frame.
        size: radius of a flake; half the width of a streak.
        opacity: at the centre.
    """

    number: int
    speed: float
    size: float
    opacity: float


_LAYERS = {
    "rain": (
        _Layer(280, 0.10, 0.0020, 0.30),
        _Layer(150, 0.16, 0.0032, 0.36),
        _Layer(50, 0.25, 0.0050, 0.36),
    ),
    "snow": (
        _Layer(240, 0.009, 0.0065, 0.60),
        _Layer(100, 0.014, 0.0110, 0.75),
        _Layer(26, 0.022, 0.0200, 0.80),
    ),
    "sparks": (_Layer(26, 0.020, 0.0055, 0.9), _Layer(10, 0.032, 0.0085, 0.9)),
}
"""The farthest first."""
_COLOURS = {
    "rain": (0.84, 0.87, 0.90),
    "snow": (0.97, 0.98, 1.0),
    "sparks": (1.0, 0.66, 0.22),
    "steam": (0.95, 0.95, 0.95),
    "smoke": (0.50, 0.50, 0.52),
}
PARTICLES = tuple(_COLOURS)


def overlay(
    frames: Tensor,
    kind: str,
    frames_range: range,
    total: int,
    seed: int,
    source: Tensor | None = None,
) -> Tensor:
    """Frames (F, 3, H, W) with what falls or rises drawn over them.

    Args:
        frames: (F, 3, H, W) in [0, 1].
        kind: one of `PARTICLES`.
        frames_range: the numbers of these frames.
        total: frames of the video.
        seed: of where and how they fall or rise.
        source: (H, W) mask of what steam, smoke or sparks rise from; None: the lower centre.

    Raises:
        ValueError: `kind` is not drawn over a picture.
    """
    if kind not in PARTICLES:
        raise ValueError(f"kind = {kind!r}: not drawn over; known are {', '.join(PARTICLES)}")
    height, width = frames.shape[-2:]
    colour = frames.new_tensor(_COLOURS[kind])[:, None, None]
    origin = source_of(source, (height, width))
    plume = Plume(kind, origin, (height, width), total, seed) if kind in PLUMES else None
    drawn = frames.clone()
    for at, frame in enumerate(frames_range):
        if frame > 0:
            cover = plume(frame) if plume else _fallen(kind, origin, frame, (height, width), seed)
            drawn[at] = torch.lerp(frames[at], colour, torch.from_numpy(cover))
    return drawn


def _fallen(kind: str, source: Source, frame: int, size: tuple[int, int], seed: int) -> Array:
    """(H, W) cover of the picture by drops, flakes or sparks at a frame."""
    import cv2

    unit = math.sqrt(size[0] * size[1]) / 2
    wind = np.random.default_rng(seed).uniform(-0.16, 0.16)
    clear = np.ones(size, np.float32)
    for depth, layer in enumerate(_LAYERS[kind]):
        random = np.random.default_rng([seed, depth + 1])
        canvas: Array = np.zeros(size, np.float32)
        if kind == "rain":
            _draw_rain(canvas, layer, wind, frame, unit, random)
        elif kind == "snow":
            _draw_snow(canvas, layer, wind, frame, unit, random)
        else:
            _draw_sparks(canvas, layer, source, frame, unit, random)
        canvas = cv2.GaussianBlur(canvas, (0, 0), max(0.5, 0.4 * layer.size * unit))
        clear *= 1 - layer.opacity * np.minimum(canvas, 1)
    share = min(1.0, frame / _FADE_IN)
    return (1 - clear) * np.float32(share * share * (3 - 2 * share))


def _draw_rain(
    canvas: Array, layer: _Layer, wind: float, frame: int, unit: float, random: np.random.Generator
) -> None:
    """Streaks as long as a drop falls in the exposure, four fifths of a frame."""
    import cv2

    height, width = canvas.shape
    radius, fall = layer.size * unit, layer.speed * unit
    x, y, pace = random.uniform(size=(3, layer.number))
    pace = 0.85 + 0.3 * pace
    length = 0.8 * fall * pace
    y = (y * (height + fall) + frame * fall * pace) % (height + fall) - length
    x = x * (width + abs(wind) * height) - max(0.0, wind) * height + wind * y
    thick = max(1, round(2 * radius))
    ends = np.stack([x, y, x + wind * length, y + length], 1) * 2**_SUBPIXEL
    for left, top, right, bottom in np.rint(ends).astype(int).tolist():
        cv2.line(
            canvas,
            (left, top),
            (right, bottom),
            min(1.0, 2.4 * radius),
            thick,
            cv2.LINE_AA,
            _SUBPIXEL,
        )


def _draw_snow(
    canvas: Array, layer: _Layer, wind: float, frame: int, unit: float, random: np.random.Generator
) -> None:
    """Round flakes that sway as they fall."""
    height, width = canvas.shape
    x, y, pace, turn, grow = random.uniform(size=(5, layer.number))
    radius = layer.size * unit * (0.7 + 0.6 * grow)
    margin = 2 * layer.size * unit
    y = (y * (height + 2 * margin) + frame * layer.speed * unit * (0.8 + 0.4 * pace)) % (
        height + 2 * margin
    ) - margin
    sway = np.sin(2 * math.pi * (frame / 40 * (0.6 + pace) + turn))
    x = x * width + wind * layer.speed * unit * frame + 1.2 * margin * sway
    _draw_dots(canvas, x % (width + 2 * margin) - margin, y, radius, np.ones_like(x))


def _draw_sparks(
    canvas: Array,
    layer: _Layer,
    source: Source,
    frame: int,
    unit: float,
    random: np.random.Generator,
) -> None:
    """Glowing dots that fly up from the source, meander and go out."""
    x, turn, pace, birth, sink = random.uniform(size=(5, layer.number))
    age = ((frame + birth * _LIFE) % _LIFE) / _LIFE
    rise = layer.speed * unit * _LIFE * (0.6 + 0.8 * pace) * age
    wander = 0.05 * unit * age * np.sin(2 * math.pi * (1.3 * age + turn))
    left = source.x + (2 * x - 1) * source.half + wander + 0.4 * (2 * turn - 1) * rise
    bright = (1 - age) * np.minimum(1, 8 * age) * (frame >= (1 - birth) * _LIFE * 0.5)
    radius = np.full_like(x, layer.size * unit)
    _draw_dots(canvas, left, source.y + 0.3 * sink * source.half - rise, radius, bright)


def _draw_dots(canvas: Array, x: Array, y: Array, radius: Array, bright: Array) -> None:
    import cv2

    places = np.rint(np.stack([x, y, radius], 1) * 2**_SUBPIXEL).astype(int).tolist()
    for (left, top, reach), light in zip(places, bright.tolist(), strict=True):
        cv2.circle(canvas, (left, top), reach, light, -1, cv2.LINE_AA, _SUBPIXEL)
