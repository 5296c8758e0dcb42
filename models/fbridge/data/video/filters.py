"""Filters on a clip's frames at a small size: no motion, scene cuts, and fingerprints."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from fbridge.data.video.buckets import Bucket

STILL_LEVELS = 1.0
"""Mean difference of 8-bit luma up to which frames are equal but for coding noise."""

CUT_LEVELS = 30.0
"""Minimum mean difference of neighbouring frames at a scene cut ..."""

CUT_RATIO = 4.0
"""... which is also so many times the clip's median, unlike in a fast pan."""

_SIDE = 64  # of a square with the area of the small pictures
_LUMA = np.array([0.299, 0.587, 0.114])


def small(bucket: Bucket) -> Bucket:
    """The same crop with fewer pixels."""
    shrink = min(1.0, _SIDE / math.sqrt(bucket.width * bucket.height))
    width, height = (max(9, round(side * shrink)) for side in (bucket.width, bucket.height))
    return Bucket(width, height, bucket.frames)


def luma(frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """(F, H, W) luma from 0 to 255."""
    return frames @ _LUMA


def is_still(levels: npt.NDArray[np.float64]) -> bool:
    """Whether no frame differs from the first; luma (F, H, W)."""
    return bool(np.abs(levels - levels[:1]).mean(axis=(1, 2)).max() <= STILL_LEVELS)


def has_scene_cut(levels: npt.NDArray[np.float64]) -> bool:
    """Whether neighbouring frames differ as at a scene cut; luma (F, H, W)."""
    if len(levels) < 2:
        return False
    jumps = np.abs(np.diff(levels, axis=0)).mean(axis=(1, 2))
    return bool(jumps.max() > CUT_LEVELS and jumps.max() > CUT_RATIO * np.median(jumps))


def fingerprint(levels: npt.NDArray[np.float64]) -> str:
    """Difference hashes of the first, middle and last frame, 64 bits each, as hex.

    A bit says whether one of 8x9 fields is brighter than its right neighbour, which brightness and
    coding noise hardly change.
    """
    chosen = levels[[0, (len(levels) - 1) // 2, -1]]
    rows = np.array_split(chosen, 8, axis=1)
    fields = [[part.mean(axis=(1, 2)) for part in np.array_split(row, 9, axis=2)] for row in rows]
    grid = np.moveaxis(np.array(fields), -1, 0)  # (3, 8, 9)
    return np.packbits(grid[:, :, :-1] > grid[:, :, 1:]).tobytes().hex()
