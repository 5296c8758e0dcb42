"""Drawn clips with captions: a coloured shape moves over a pale background.

Shapes are signed distance functions, antialiased at any position, size and angle. A clip depends
only on its seed and number. The scenes of `fbridge.data.scenes` are drawn with them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fbridge.data.shape_motions import (
    ANGLE,
    FADE,
    LOG_SCALE,
    SHEAR,
    STRETCH,
    TX,
    TY,
    VERBS,
    Array,
    Body,
    Rng,
)
from fbridge.data.video_files import write_video
from fbridge.files.atomic import write_text

FRAMES, SIZE, FPS = 8, 64, 8.0
"""Frames, side in pixels, and frames per second of a clip."""


def _polar(x: Array, y: Array, sides: int) -> tuple[Array, Array]:
    """Coordinates (along, across) folded into half a sector of `sides`; the first points up."""
    sector = np.pi / sides
    angle = np.abs((np.arctan2(x, -y) + sector) % (2 * sector) - sector)
    radius = np.hypot(x, y)
    return radius * np.cos(angle), radius * np.sin(angle)


def _circle(x: Array, y: Array) -> Array:
    return np.hypot(x, y) - 0.9


def _square(x: Array, y: Array) -> Array:
    return np.maximum(np.abs(x), np.abs(y)) - 0.8


def _triangle(x: Array, y: Array) -> Array:
    return _polar(x, -(y - 0.2), 3)[0] - 0.58


def _star(x: Array, y: Array) -> Array:
    along, across = _polar(x, y, 5)
    tip, notch = np.array([1.1, 0.0]), 0.46 * np.array([np.cos(np.pi / 5), np.sin(np.pi / 5)])
    edge = (notch - tip) / np.linalg.norm(notch - tip)
    return (along - tip[0]) * edge[1] - (across - tip[1]) * edge[0]


def _heart(x: Array, y: Array) -> Array:
    y = y + 0.1
    point = (np.abs(x) + np.abs(y)) / np.sqrt(2) - 0.525
    lobe = np.hypot(np.abs(x) - 0.371, y + 0.371) - 0.525
    return np.minimum(point, lobe)


def _ring(x: Array, y: Array) -> Array:
    return np.abs(np.hypot(x, y) - 0.68) - 0.24


def _cross(x: Array, y: Array) -> Array:
    x, y = np.abs(x), np.abs(y)
    return np.maximum(np.maximum(x, y) - 0.95, np.minimum(x, y) - 0.28)


def _moon(x: Array, y: Array) -> Array:
    return np.maximum(np.hypot(x, y) - 0.95, 0.78 - np.hypot(x - 0.55, y + 0.1))


SHAPES: dict[str, Callable[[Array, Array], Array]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "heart": _heart,
    "ring": _ring,
    "cross": _cross,
    "moon": _moon,
}
"""Signed distances, negative inside, of shapes with a half size of about 1; x right, y down."""
ROUND = frozenset({"circle", "ring"})
"""Shapes that look the same at any angle: their captions never say that they spin."""
COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.86, 0.08, 0.10),
    "orange": (0.98, 0.52, 0.05),
    "yellow": (0.98, 0.90, 0.10),
    "green": (0.10, 0.62, 0.18),
    "blue": (0.10, 0.24, 0.88),
    "purple": (0.52, 0.12, 0.66),
    "white": (0.98, 0.98, 0.98),
    "black": (0.04, 0.04, 0.05),
}
"""sRGB in [0, 1]."""


class DrawnClip(Protocol):
    """A clip with its caption; frames are (F, H, W, 3) uint8 sRGB."""

    @property
    def frames(self) -> NDArray[np.uint8]:
        """Its frames."""

    @property
    def caption(self) -> str:
        """Its caption."""


@dataclass(frozen=True)
class ShapeClip:
    """A clip and its caption.

    Attributes:
        frames: (F, H, W, 3) uint8 sRGB.
        caption: such as "a red star moves left".
        shape, colour, verb: names in `SHAPES`, `COLOURS` and `VERBS`.
    """

    frames: NDArray[np.uint8]
    caption: str
    shape: str
    colour: str
    verb: str


def draw_clip(
    seed: int,
    number: int,
    *,
    shape: str | None = None,
    colour: str | None = None,
    verb: str | None = None,
    count: int = FRAMES,
    size: int = SIZE,
) -> ShapeClip:
    """Clip `number` of the data set of `seed`: what is not given is drawn at random.

    Another `count` of frames or `size` in pixels gives the same second at another resolution.
    """
    rng = np.random.default_rng([seed, number])
    colour = _chosen(colour, list(COLOURS), rng)
    shape = _chosen(shape, list(SHAPES), rng)
    able = [v for v in VERBS if v.name != "spin" or shape not in ROUND]
    chosen = {v.name: v for v in VERBS}[_chosen(verb, [v.name for v in able], rng)]
    caption = chosen.wordings[rng.integers(len(chosen.wordings))].format(noun(colour, shape))
    half = rng.uniform(*chosen.half_size)
    x, y = (_start(side, half, rng) for side in chosen.start)
    body = Body(half, half, *(max(way + 1 - half, 0.0) for way in (x, -x, y, -y)))
    u = np.linspace(0.0, 1.0, count)
    motion = chosen.program(np.minimum(u * chosen.speed, 1), body, rng)
    tint = np.clip(np.array(COLOURS[colour]) + rng.normal(0, 0.02, 3), 0, 1)
    covered = cover(SHAPES[shape], motion, (x, y), half, size)[..., None]
    pictures = covered * tint + (1 - covered) * background(rng, size)
    frames = np.clip(pictures * 255 + 0.5, 0, 255).astype(np.uint8)
    return ShapeClip(frames, caption, shape, colour, chosen.name)


def write_clips(folder: Path, count: int, *, seed: int, first: int = 0) -> None:
    """Write `count` clips from `first` on as <number>.mp4 and <number>.txt, unless they exist.

    Raises:
        DependencyError: a file cannot be written.
    """
    write_drawn(folder, range(first, first + count), lambda n: draw_clip(seed, n), FPS)


def write_drawn(folder: Path, numbers: range, draw: Callable[[int], DrawnClip], fps: float) -> None:
    """Write what is drawn for each number as <number>.mp4 and <number>.txt, unless they exist.

    Raises:
        DependencyError: a file cannot be written.
    """
    for number in numbers:
        video, caption = folder / f"{number:05d}.mp4", folder / f"{number:05d}.txt"
        if video.exists() and caption.exists():
            continue
        clip = draw(number)
        write_text(caption, clip.caption + "\n")
        write_video(clip.frames, video, fps)


def noun(colour: str, shape: str) -> str:
    """Such as "an orange star"."""
    return f"{'an' if colour[0] in 'aeiou' else 'a'} {colour} {shape}"


def _chosen(named: str | None, among: Sequence[str], rng: Rng) -> str:
    drawn = among[int(rng.integers(len(among)))]
    return drawn if named is None else named


def _start(side: int, half: float, rng: Rng) -> float:
    """Coordinate of a shape's centre on an axis in [-1, 1]; the whole shape is inside."""
    most = 1 - half
    return float(side * rng.uniform(0.3, 1.0) * most if side else rng.uniform(-0.8, 0.8) * most)


def _grid(size: int) -> tuple[Array, Array]:
    """(H, W) x and y of the pixels' centres in frame units."""
    line = (np.arange(size) + 0.5) / size * 2 - 1
    x, y = np.meshgrid(line, line)
    return x, y


def cover(
    shape: Callable[[Array, Array], Array],
    motion: Array,
    middle: tuple[float, float],
    half: float,
    size: int,
) -> Array:
    """(F, H, W) coverage of each pixel by a moved shape."""
    m = motion.T[..., None, None]
    x, y = _grid(size)
    x, y = x - middle[0] - m[TX], y - middle[1] - m[TY]
    cos, sin = np.cos(m[ANGLE]), np.sin(m[ANGLE])
    x, y = cos * x + sin * y, cos * y - sin * x
    x = (x - m[SHEAR] * y) * np.exp(m[STRETCH] / 2 - m[LOG_SCALE])
    y = y * np.exp(-m[STRETCH] / 2 - m[LOG_SCALE])
    pixels = shape(x / half, y / half) * half * np.exp(m[LOG_SCALE]) * size / 2
    return np.clip(0.5 - pixels, 0, 1) * (1 - np.clip(m[FADE], 0, 1))


def background(rng: Rng, size: int) -> Array:
    """(H, W, 3) a gradient between two pale colours with a faint, smooth pattern."""
    x, y = _grid(size)
    ends = rng.uniform(0.38, 0.78, (2, 1)) + rng.normal(0, 0.06, (2, 3))
    angle = rng.uniform(0, 2 * np.pi)
    blend = 0.5 + 0.35 * (np.cos(angle) * x + np.sin(angle) * y)
    ways = rng.uniform(-4.5, 4.5, (3, 2))
    waves = [np.sin(a * x + b * y + rng.uniform(0, 2 * np.pi)) for a, b in ways]
    pattern = rng.uniform(0, 0.02) * np.sum(waves, 0)
    return np.clip(ends[0] + blend[..., None] * (ends[1] - ends[0]) + pattern[..., None], 0, 1)
