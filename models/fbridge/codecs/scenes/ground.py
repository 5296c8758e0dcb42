"""What stands before a plain ground, such as a product's picture: all that differs from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

EVEN = 2.0
"""Greatest median difference, in CIELAB units, of a plain ground from a smooth run of colours."""
CLEARLY = 10.0
"""Difference from the ground, in the same units, from which on something stands before it."""
PLAIN, APART = 0.88, 0.07
"""Least share of what is behind a thing that has the ground's colours, and greatest share that
neither has them nor touches the thing."""
REST = 0.35
"""Most that a thing is made larger by, as a share of it: more is another thing that touches it."""
WHOLE, OTHER_PART, STILL_PLAIN = 0.93, 1.5, 0.6
"""Unless both together are as good as convex, by at least this share of their hull, as a book is
whose lower half was missed: most that is added then, and least share of the ground's colours."""
PENUMBRA, NEAR, OPEN = 5.0, 4, 0.3
"""Median difference from the ground, in CIELAB units, from which on what is just beside a darker
part shows that it fades away, as a shadow does; up to how many pixels that is; and least share of
the part's outline that must be seen before the ground."""
ROUNDS = 8
BROAD = np.ones((5, 5), np.uint8)
"""The smallest square of pixels that a thing gets back before a plain ground: rims are softer."""


def with_the_rest(
    picture: NDArray[np.uint8],
    inside: NDArray[np.bool_],
    behind: NDArray[np.bool_],
    doubted: NDArray[np.bool_] | None = None,
) -> NDArray[np.bool_]:
    """A thing's pixels (h, w) and those joined to them that differ from a plain ground behind it.

    So the rim of a plate goes with it, the fringe of a sofa, and the half of a book that was
    missed, but no shadow that fades away. Returns `inside` where the ground is not plain.

    Args:
        picture: (h, w, 3).
        inside: the pixels found for the thing.
        behind: those surely not of it, nor of another thing that moves.
        doubted: those that may be of it, and were taken from it for their colours: a white page in
            a book before black.
    """
    off = _off_ground(picture, behind)
    differs = None if off is None else _standing(off, behind)
    if off is None or differs is None or not inside.any():
        return inside
    if doubted is not None:  # but for a rim, which is as soft as the ground behind it
        clear = doubted & (np.linalg.norm(off, axis=-1) > CLEARLY)
        broad = cv2.morphologyEx(clear.astype(np.uint8), cv2.MORPH_OPEN, BROAD)
        inside = inside | (broad > 0)
    differs = differs & ~_shadows(off, differs, inside, behind)
    _, parts = cv2.connectedComponents((inside | differs).astype(np.uint8))
    joined = np.isin(parts, np.unique(parts[inside]))
    rest, apart = differs & joined, differs & ~joined
    if apart.sum() > APART * behind.sum():
        return inside
    few = rest.sum() <= REST * inside.sum() and differs.sum() <= (1 - PLAIN) * behind.sum()
    part = rest.sum() <= OTHER_PART * inside.sum() and _convexity(inside | rest) >= WHOLE
    return inside | rest if few or part else inside


def _convexity(shown: NDArray[np.bool_]) -> float:
    """The share of its convex hull that a thing (h, w) covers."""
    outlines, _ = cv2.findContours(
        shown.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    hull = np.zeros(shown.shape, np.uint8)
    cv2.fillConvexPoly(hull, cv2.convexHull(np.concatenate(outlines)), 1)
    return float(shown.sum() / hull.sum())


def _shadows(
    off: NDArray[Any],
    differs: NDArray[np.bool_],
    inside: NDArray[np.bool_],
    behind: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Which of the parts (h, w) that differ from the ground are darker and fade into it."""
    error = np.linalg.norm(off, axis=-1)
    around = np.ones((2 * NEAR + 1, 2 * NEAR + 1), np.uint8)
    _, labels = cv2.connectedComponents(differs.astype(np.uint8))
    found = np.zeros_like(differs)
    for label in np.unique(labels[differs]):
        part = labels == label
        outline = part & ~cv2.erode(part.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
        free = outline & ~cv2.dilate(inside.astype(np.uint8), around).astype(bool)
        beside = cv2.dilate(free.astype(np.uint8), around).astype(bool) & behind & ~differs
        darker = np.median(off[part][:, 0]) < -CLEARLY / 2
        if darker and free.sum() >= OPEN * outline.sum() and beside.any():
            found |= part & (np.median(error[beside]) >= PENUMBRA)
    return found


def standing(picture: NDArray[np.uint8], behind: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """Which pixels behind a thing differ from the ground; None where it is not plain.

    Args:
        picture: (h, w, 3).
        behind: (h, w) the pixels that are not of the thing.
    """
    off = _off_ground(picture, behind)
    return None if off is None else _standing(off, behind)


def _standing(off: NDArray[Any], behind: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """The same, of what `_off_ground` tells."""
    error = np.linalg.norm(off, axis=-1)
    differs = behind & (error > CLEARLY)
    plain = np.median(error[behind]) <= EVEN and differs.sum() <= (1 - STILL_PLAIN) * behind.sum()
    return differs if plain else None


def _off_ground(picture: NDArray[np.uint8], behind: NDArray[np.bool_]) -> NDArray[Any] | None:
    """(h, w, 3) how far colours are from the ground's, in CIELAB; None where too little is behind.

    The ground is the quadratic surface of colours nearest to most pixels behind the thing.
    """
    height, width = behind.shape
    colours = cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], -1)
    used = behind
    for _ in range(ROUNDS):
        if used.sum() < 10 * terms.shape[-1]:
            return None
        weights, *_rest = np.linalg.lstsq(terms[used], colours[used], rcond=None)
        off = colours - terms @ weights
        error = np.linalg.norm(off, axis=-1)
        nearer = behind & (error < max(3.0, 2.5 * float(np.median(error[behind]))))
        if np.array_equal(nearer, used):
            break
        used = nearer
    return off
