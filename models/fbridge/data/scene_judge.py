"""What a clip of the world of `fbridge.data.scenes` shows, by measurement alone.

Things are told from the background by its smooth colour, their colour is the nearest one of the
palette, their shape the drawn outline that overlaps best, their motion what their middle, size,
angle and contrast do. Nothing here is learnt.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fbridge.data.shapes import COLOURS, ROUND, SHAPES

Array = NDArray[np.float64]
_PALETTE = np.array(list(COLOURS.values()))
CONTRAST = 0.16
"""Distance in RGB from the background from which a pixel is a thing's."""
LEAST = 20
"""Pixels that a thing has at least."""
FEW = 10
"""Pixels of which less cannot be looked at in a later frame."""
GRID = 24
"""Side of the pictures in which outlines are compared."""
TURNS = 48
"""Angles at which an outline is tried."""


@dataclass(frozen=True)
class Track:
    """What a thing of one colour does over time; all (F,).

    Attributes:
        x, y: its middle in frame units, the last known one where it is not seen.
        area: in pixels.
        contrast: of its pixels with the background, relative to the first frame.
        masks: (F, H, W) its pixels.
    """

    x: Array
    y: Array
    area: Array
    contrast: Array
    masks: NDArray[np.bool_]


def background_of(frame: Array) -> Array:
    """(H, W, 3) the smooth colour behind the things of a frame (H, W, 3) in [0, 1]."""
    height, width = frame.shape[:2]
    line_y, line_x = np.linspace(-1, 1, height), np.linspace(-1, 1, width)
    x, y = np.meshgrid(line_x, line_y)
    basis = np.stack([x**i * y**j for i in range(4) for j in range(4 - i)], -1).reshape(
        height * width, -1
    )
    pixels, weight = frame.reshape(-1, 3), np.ones(height * width)
    fitted = pixels
    for width_of in (0.3, 0.15, 0.1, 0.07, 0.07):
        root = np.sqrt(weight)[:, None]
        solved = np.linalg.lstsq(basis * root, pixels * root, rcond=None)[0]
        fitted = basis @ solved
        off = np.linalg.norm(pixels - fitted, axis=1)
        weight = 1 / (1 + (off / width_of) ** 4)
    return fitted.reshape(frame.shape)


def colour_masks(frames: NDArray[np.uint8]) -> tuple[NDArray[np.int64], Array]:
    """Of each pixel (F, H, W) the palette's number, -1 for the background, and its contrast."""
    shown = frames / 255.0
    behind = np.stack([background_of(frame) for frame in shown])
    away = shown - behind
    contrast = np.linalg.norm(away, axis=-1)
    toward = _PALETTE - behind[..., None, :]
    along = (away[..., None, :] * toward).sum(-1) / np.linalg.norm(toward, axis=-1)
    agree = along / np.maximum(contrast[..., None], 1e-6)  # cosine with each colour's direction
    share = along / np.linalg.norm(toward, axis=-1)
    agree = np.where(share > 1.25, agree - 0.2, agree)
    solid = np.linalg.norm(shown[..., None, :] - _PALETTE, axis=-1)
    nearest = np.where(contrast > 0.3, solid.argmin(-1), agree.argmax(-1))
    return np.where(contrast > CONTRAST, nearest, -1), contrast


def track(frames: NDArray[np.uint8], colour: str) -> Track | None:
    """What the thing of a colour does; None where there is none in the first frame."""
    number = list(COLOURS).index(colour)
    numbers, contrast = colour_masks(frames)
    masks = numbers == number
    if masks[0].sum() < LEAST:
        return None
    height, width = frames.shape[1:3]
    line_y, line_x = np.linspace(-1, 1, height), np.linspace(-1, 1, width)
    x, y, area, seen = [], [], [], []
    first = contrast[0][masks[0]].mean()
    for mask, strength in zip(masks, contrast, strict=True):
        many = int(mask.sum())
        area.append(float(many))
        if many >= FEW:
            rows, columns = np.nonzero(mask)
            x.append(float(line_x[columns].mean()))
            y.append(float(line_y[rows].mean()))
            seen.append(float(np.percentile(strength[mask], 70) / max(first, 1e-6)))
        else:
            x.append(x[-1])
            y.append(y[-1])
            seen.append(0.0)
    return Track(np.array(x), np.array(y), np.array(area), np.array(seen), masks)


@lru_cache(maxsize=1)
def _outlines() -> dict[str, Array]:
    """Of each shape (TURNS, GRID, GRID) its outline at each angle, of one area and middle."""
    found = {}
    line = np.linspace(-1.6, 1.6, 4 * GRID)
    x, y = np.meshgrid(line, line)
    for name, distance in SHAPES.items():
        turned = []
        for angle in np.arange(TURNS) * 2 * np.pi / TURNS:
            cos, sin = np.cos(angle), np.sin(angle)
            turned.append(_standard(distance(cos * x + sin * y, cos * y - sin * x) < 0))
        found[name] = np.stack(turned)
    return found


def _standard(mask: NDArray[np.bool_]) -> Array:
    """(GRID, GRID) a mask moved to the middle and scaled to one area, by bilinear sampling."""
    rows, columns = np.nonzero(mask)
    scale = np.sqrt(len(rows)) / (0.5 * GRID)
    line = (np.arange(GRID) - (GRID - 1) / 2) * scale
    at_y, at_x = rows.mean() + line, columns.mean() + line
    low_y, low_x = np.floor(at_y).astype(int), np.floor(at_x).astype(int)
    part_y, part_x = (at_y - low_y)[:, None], (at_x - low_x)[None]
    margin = GRID * 4
    wide = np.pad(mask.astype(float), margin)
    value = np.zeros((GRID, GRID))
    for dy, weight_y in ((0, 1 - part_y), (1, part_y)):
        for dx, weight_x in ((0, 1 - part_x), (1, part_x)):
            ys = np.clip(low_y + dy + margin, 0, wide.shape[0] - 1)
            xs = np.clip(low_x + dx + margin, 0, wide.shape[1] - 1)
            value += weight_y * weight_x * wide[np.ix_(ys, xs)]
    return value


def overlaps(mask: NDArray[np.bool_], *, turned: bool) -> dict[str, Array]:
    """Of each shape (TURNS,) how well its outline at each angle fits.

    Args:
        mask: (H, W) the thing.
        turned: try all angles; else those that are nearly upright, and others are -1.
    """
    seen = _standard(mask)
    near = np.arange(TURNS) if turned else np.array([-2, -1, 0, 1, 2])
    found = {}
    for name, outlines in _outlines().items():
        fit = np.full(TURNS, -1.0)
        some = outlines[near]
        both = np.minimum(some, seen).sum((1, 2)) / np.maximum(some, seen).sum((1, 2))
        fit[near] = both
        found[name] = fit
    return found


def shape_of(seen: Track, *, turned: bool) -> str:
    """The shape whose outline fits best, over the frames in which the thing is large enough."""
    total = dict.fromkeys(SHAPES, 0.0)
    for mask, area in zip(seen.masks[::2], seen.area[::2], strict=True):
        if area >= LEAST:
            for name, fit in overlaps(mask, turned=turned).items():
                total[name] += float(fit.max())
    return max(total, key=lambda name: total[name])


def turn_of(seen: Track, shape: str) -> float:
    """Degrees by which the thing turns in all, whichever way, as far as its outline tells."""
    ways = {"square": 4, "cross": 4, "star": 5, "triangle": 3}.get(shape, 1)
    sector, before, turned = 2 * np.pi / ways, None, 0.0
    if shape in ROUND:
        return 0.0
    for mask, area in zip(seen.masks, seen.area, strict=True):
        if area < LEAST:
            continue
        fit = overlaps(mask, turned=True)[shape]
        best = int(fit.argmax())
        left, right = fit[best - 1], fit[(best + 1) % TURNS]
        bent = left - 2 * fit[best] + right
        angle = (best + (0.5 * (left - right) / bent if bent < 0 else 0)) * 2 * np.pi / TURNS
        if before is not None:
            step = (angle - before + sector / 2) % sector - sector / 2
            turned += step
        before = angle
    return float(np.degrees(turned))


@dataclass(frozen=True)
class Moved:
    """What a thing does from the first frame to the last; lengths in frame units.

    Attributes:
        right, down: how far its middle goes.
        rise: how far it is above its start at most.
        back: how far it comes down again after having been higher.
        grown: its area at the end, as a share of that at the start.
        seen: its contrast at the end, as a share of that at the start; 0 where it is gone.
        turned: degrees, whichever way.
    """

    right: float
    down: float
    rise: float
    back: float
    grown: float
    seen: float
    turned: float

    @property
    def far(self) -> float:
        """How far its middle goes."""
        return float(np.hypot(self.right, self.down))


def moved(seen: Track, shape: str) -> Moved:
    """What a track shows of a thing of a shape."""
    known = seen.area >= FEW
    return Moved(
        right=float(seen.x[-1] - seen.x[0]),
        down=float(seen.y[-1] - seen.y[0]),
        rise=float(seen.y[0] - seen.y.min()),
        back=float((seen.y - np.minimum.accumulate(seen.y)).max()),
        grown=float(np.median(seen.area[known][-3:]) / np.median(seen.area[:2])),
        seen=float(seen.contrast[-1]) if known[-1] else 0.0,
        turned=abs(turn_of(seen, shape)),
    )


def _straight(along: float, across: float) -> bool:
    return along > 0.2 and abs(across) < 0.6 * along


RULES: dict[str, Callable[[Moved], bool]] = {
    "left": lambda m: _straight(-m.right, m.down),
    "right": lambda m: _straight(m.right, m.down),
    "up": lambda m: _straight(-m.down, m.right),
    "down": lambda m: _straight(m.down, m.right),
    "fall": lambda m: _straight(m.down, m.right),
    "jump": lambda m: m.rise > 0.08 and m.back > 0.3 * m.rise and abs(m.right) < 0.3,
    "closer": lambda m: m.grown > 1.3 and m.far < 0.35,
    "away": lambda m: m.grown < 0.75 and m.far < 0.45 and (m.seen == 0 or m.seen > 0.5),
    "vanish": lambda m: m.seen < 0.45 and m.far < 0.3,
    "spin": lambda m: m.turned > 30 and m.far < 0.4,
    "stay": lambda m: m.far < 0.08 and 0.8 < m.grown < 1.25 and m.seen > 0.7 and m.turned < 20,
}
"""What a thing does whose verb is one of `fbridge.data.scenes.KNOWN`."""


@dataclass(frozen=True)
class Verdict:
    """Whether a thing is as its caption says; shape and motion are false where colour is."""

    colour: bool
    shape: bool
    motion: bool


def judge(frames: NDArray[np.uint8], colour: str, shape: str, verb: str) -> Verdict:
    """Look for a thing in a clip.

    Args:
        frames: (F, H, W, 3) sRGB.
        colour: a name in `COLOURS`.
        shape: a name in `SHAPES`.
        verb: a key of `RULES`.
    """
    seen = track(frames, colour)
    if seen is None:
        return Verdict(False, False, False)
    told = shape_of(seen, turned=verb in ("spin", "fall"))
    return Verdict(True, told == shape, RULES[verb](moved(seen, shape)))
