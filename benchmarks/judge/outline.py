"""Where the named thing is: drawn by hand, or by GrabCut in a box; no model has a part in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2 as opencv
import numpy as np
from numpy.typing import NDArray

cv2: Any = opencv
"""Its stubs do not know which arrays it takes and gives."""

Frame = NDArray[np.uint8]
"""(H, W, 3) RGB."""
Mask = NDArray[np.uint8]
"""(H, W), 1 within and 0 outside."""
Box = tuple[float, float, float, float]
"""Left, top, right, bottom as shares of width and height."""
Outline = tuple[tuple[float, float], ...]
"""Corners of a polygon, as shares of width and height."""

_LEAST_GROUND = 0.06
"""Share of the picture outside the box from which GrabCut can learn the ground's colours."""
_FILLED = (0.2, 0.97)
"""Share of the box between which GrabCut's mask is believed."""
_INSCRIBED = 0.38
"""Half axes of the ellipse in place of a mask, as a share of the box's sides."""


def object_mask(picture: Frame, box: Box) -> tuple[Mask, str]:
    """The thing in a box, by GrabCut (Rother et al. 2004), or an ellipse where that fails.

    Returns:
        The mask, and "grabcut" or "ellipse".
    """
    height, width = picture.shape[:2]
    left, right = (round(share * width) for share in box[::2])
    top, bottom = (round(share * height) for share in box[1::2])
    labels: Mask = np.full((height, width), cv2.GC_BGD, np.uint8)
    labels[top:bottom, left:right] = cv2.GC_PR_FGD
    found = _cut(picture, labels) if (labels == cv2.GC_BGD).mean() >= _LEAST_GROUND else None
    size = (right - left, bottom - top)
    if found is not None and _FILLED[0] < found.sum() / max(1, size[0] * size[1]) < _FILLED[1]:
        return found, "grabcut"
    centre = ((left + right) // 2, (top + bottom) // 2)
    axes = [max(2, int(side * _INSCRIBED)) for side in size]
    return cv2.ellipse(np.zeros_like(labels), centre, axes, 0, 0, 360, 1, -1), "ellipse"


def drawn_mask(
    outlines: Sequence[Outline], before: tuple[int, int], after: tuple[int, int]
) -> Mask:
    """What lies in one of the outlines, once a picture of one size is cropped to fill another.

    Args:
        outlines: of the whole picture.
        before: width and height of it.
        after: of the mask.
    """
    mask: Mask = np.zeros(after[::-1], np.uint8)
    for outline in outlines:
        corners = np.array([_fitted(corner, before, after) for corner in outline])
        cv2.fillPoly(mask, [np.rint(corners * after - 0.5).astype(np.int32)], 1)
    return mask


def fitted_box(box: Box, before: tuple[int, int], after: tuple[int, int]) -> Box:
    """A box in a picture of one size (width, height), once it is cropped to fill another."""
    ends = [_fitted(corner, before, after) for corner in (box[:2], box[2:])]
    left, top, right, bottom = (min(max(share, 0.0), 1.0) for end in ends for share in end)
    return left, top, right, bottom


def _fitted(
    point: tuple[float, float], before: tuple[int, int], after: tuple[int, int]
) -> tuple[float, float]:
    """A point of the whole picture in the cropped one; beyond 0 and 1 where it is cut off."""
    scale = max(after[0] / before[0], after[1] / before[1])
    kept = [after[axis] / scale / before[axis] for axis in (0, 1)]
    across, down = ((share - 0.5) / size + 0.5 for share, size in zip(point, kept, strict=True))
    return across, down


def _cut(picture: Frame, labels: Mask) -> Mask | None:
    """GrabCut's foreground without specks; None where the colours cannot be told apart."""
    models: list[NDArray[Any]] = [np.zeros((1, 65)), np.zeros((1, 65))]
    cv2.setRNGSeed(0)
    try:
        cv2.grabCut(picture, labels, [0, 0, 0, 0], *models, 5, cv2.GC_INIT_WITH_MASK)
    except cv2.error:
        return None
    found = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    found = cv2.morphologyEx(found, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, parts, facts, _ = cv2.connectedComponentsWithStats(found)
    if count < 2:
        return found
    areas = facts[:, cv2.CC_STAT_AREA]
    large = [part for part in range(1, count) if areas[part] > 0.1 * areas[1:].max()]
    return np.isin(parts, large).astype(np.uint8)
