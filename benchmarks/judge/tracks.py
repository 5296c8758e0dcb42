"""How what lies within a mask moves through a video, by feature points alone.

Points are followed from frame to frame by Lucas and Kanade's method (pyramids, Bouguet 2000), each
also backwards; a similarity is fitted to them by RANSAC. Drift is taken out every few frames by
matching SIFT features (Lowe 2004) with those of the first frame.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2 as opencv
import numpy as np
from numpy.typing import NDArray

from benchmarks.judge.outline import Mask

cv2: Any = opencv
"""Its stubs do not know which arrays it takes and gives."""

Gray = NDArray[np.uint8]
"""(H, W)."""
Points = NDArray[np.float32]
"""(P, 2) of x, y in pixels."""
Similarity = NDArray[np.float64]
"""(2, 3): places in one frame to places in another, in pixels."""

_STILL: Similarity = np.eye(3)[:2]
_EVERY = 4
"""Frames between two looks for drift and for new points."""
_FEWEST_POINTS = 12
_BACK = 0.7
"""Pixels by which a point followed forth and back may miss its place."""
_STEP_GROWTH, _STEP_TURN = 0.2, 0.6
"""Log of scale, and radians, that no video has from one frame to the next."""
_BELIEVED = 0.3
"""Share of the points that must be followed and agree."""
_SPREAD = 0.03
"""Heights by which points may differ and still share a shift."""


class Tracked(NamedTuple):
    """The similarity (F, 2, 3) from the first frame to each, and in how many frames it is lost."""

    path: NDArray[np.float64]
    lost: int


def corners(gray: Gray, mask: Mask, most: int = 150) -> Points:
    """Points within a mask that can be followed (Shi and Tomasi 1994)."""
    inside = (mask > 0).astype(np.uint8) * 255
    found = cv2.goodFeaturesToTrack(gray, most, 0.01, 4, mask=inside, blockSize=5)
    return np.zeros((0, 2), np.float32) if found is None else found[:, 0].astype(np.float32)


def follow_points(before: Gray, after: Gray, points: Points) -> tuple[Points, NDArray[np.bool_]]:
    """Where points are in the next frame, and which of them are found there and back again."""
    if not len(points):
        return points, np.zeros(0, bool)
    options: dict[str, Any] = {"winSize": (15, 15), "maxLevel": 3, "criteria": (3, 20, 0.02)}
    start = points[:, None].astype(np.float32)
    there, found, _ = cv2.calcOpticalFlowPyrLK(before, after, start, None, **options)
    back, found_back, _ = cv2.calcOpticalFlowPyrLK(after, before, there, None, **options)
    near = np.linalg.norm(back[:, 0] - points, axis=1) < _BACK
    return there[:, 0], (found[:, 0] == 1) & (found_back[:, 0] == 1) & near


def follow(grays: Sequence[Gray], mask: Mask) -> Tracked:
    """Follow what is within a mask in the first frame through all frames."""
    anchor = _Anchor(grays[0], mask)
    points = corners(grays[0], mask)
    total, path, lost = _STILL, [_STILL], 0
    for number in range(1, len(grays)):
        moved, found = follow_points(grays[number - 1], grays[number], points)
        step = _step(points[found], moved[found], len(grays[0]))
        sure = step is not None and found.sum() >= _BELIEVED * len(points)
        if step is not None:
            total = _then(total, step)
        points = moved[found]
        if number % _EVERY == 0 or not sure or number == len(grays) - 1:
            known = anchor.find(grays[number])
            lost += known is None and not sure
            total = total if known is None else known
        path.append(total)
        if number % _EVERY == 0 or not sure or len(points) < _FEWEST_POINTS:
            points = corners(grays[number], carried(mask, total))
    return Tracked(np.array(path), lost)


def carried(mask: Mask, similarity: Similarity) -> Mask:
    """A mask moved by a similarity."""
    size = (mask.shape[1], mask.shape[0])
    moved: Mask = cv2.warpAffine(mask, similarity, size, flags=cv2.INTER_NEAREST).astype(np.uint8)
    return moved


class _Anchor:
    """The SIFT features within a mask in the first frame, to be found in later frames."""

    fewest = 10
    agreeing = 0.4
    """Share of the matches that must fit the similarity."""

    def __init__(self, gray: Gray, mask: Mask) -> None:
        self.sift = cv2.SIFT_create(400, contrastThreshold=0.015)
        inside = (mask > 0).astype(np.uint8) * 255
        self.places, self.descriptors = self.sift.detectAndCompute(gray, inside)

    def find(self, gray: Gray) -> Similarity | None:
        """The similarity from the first frame to this one; None where it cannot be told."""
        places, descriptors = self.sift.detectAndCompute(gray, None)
        if min(len(self.places), len(places)) < self.fewest:
            return None
        pairs = [
            nearest
            for nearest, *second in cv2.BFMatcher().knnMatch(self.descriptors, descriptors, k=2)
            if second and nearest.distance < 0.8 * second[0].distance
        ]
        if len(pairs) < self.fewest:
            return None
        before = np.array([self.places[pair.queryIdx].pt for pair in pairs], np.float32)
        after = np.array([places[pair.trainIdx].pt for pair in pairs], np.float32)
        found, fits = _fit(before, after, within=3.0)
        if found is None or fits.sum() < max(self.fewest, self.agreeing * len(pairs)):
            return None
        return found if 0.2 < _scale(found) < 4 else None


def _step(before: Points, after: Points, height: int) -> Similarity | None:
    """The similarity between neighbouring frames, or a shift alone; None if neither is believed."""
    found, fits = _fit(before, after, within=1.5, confidence=0.995) if len(before) > 3 else _NONE
    if (
        found is not None
        and abs(math.log(max(1e-3, _scale(found)))) <= _STEP_GROWTH
        and abs(math.atan2(found[1, 0], found[0, 0])) <= _STEP_TURN
        and fits.sum() >= max(4, _BELIEVED * len(before))
    ):
        return found
    if len(before) < 5:
        return None
    shift = np.median(after - before, axis=0)  # of a thing that is squashed, say
    spread = np.median(np.linalg.norm(after - before - shift, axis=1))
    return np.column_stack([np.eye(2), shift]) if spread < _SPREAD * height else None


_NONE: tuple[None, NDArray[np.bool_]] = (None, np.zeros(0, bool))


def _fit(
    before: Points, after: Points, *, within: float, confidence: float = 0.99
) -> tuple[Similarity | None, NDArray[np.bool_]]:
    """The similarity that most points fit to `within` pixels, and which do."""
    found, fits = cv2.estimateAffinePartial2D(
        before, after, ransacReprojThreshold=within, maxIters=2000, confidence=confidence
    )
    return (found, fits[:, 0] > 0) if found is not None else _NONE


def _scale(similarity: Similarity) -> float:
    return math.hypot(similarity[0, 0], similarity[1, 0])


def _then(first: Similarity, second: Similarity) -> Similarity:
    """Both similarities, one after the other."""
    both: Similarity = (np.vstack([second, [0, 0, 1]]) @ np.vstack([first, [0, 0, 1]]))[:2]
    return both
