"""What a video shows, measured on its frames alone.

Some of the limits are pixels: figures are comparable between videos of the same size only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.judge.outline import Frame, Mask
from benchmarks.judge.tracks import Gray, Points, carried, corners, follow, follow_points
from benchmarks.judge.verdicts import Motion

_MARGIN = 3
"""Pixels at the picture's edge where no point is followed."""
_SAME, _VANISHED, _TELLING, _CHANGED = 30, 15, 40, 15
"""Differences in levels of 255, of the channel that differs most: within which a moved thing is
still itself; within which a place is as before; from which on a thing differs from its ground; from
which on a pixel has changed."""
_DRAGGED = 0.01
"""Heights by which a point of the ground may move."""
_PATCH, _ALIKE = 9, 0.7
"""Side, in pixels, of what is around a point, and least correlation of it in two frames that both
show the same spot of the ground."""
_TOGETHER = 0.02
"""Heights within which a point of the ground that goes along is where the thing would take it."""
_BEST_PSNR = 60.0
_LEAST_PIXELS = 100
_LEAST_TELLING = 60
_LEAST_INNER = 200
_LEAST_REST = 0.03


class Measured(NamedTuple):
    """What was found of a video.

    Attributes:
        motion: of the thing, or of the whole picture.
        lost: in how many frames it could not be followed.
        peak: the frame in which it is farthest from where it began.
        most: how far in that frame any point of it has moved, in heights.
        rigid: share of the thing that in that frame looks like the thing of the first frame, moved
            by a similarity.
        bg_psnr: lowest PSNR, in dB, of what lies neither under nor near the thing, against the
            first frame; of every fourth frame, at most 60.
        bg_dragged: share of the ground's points, of those that are still seen, that have moved by
            1 % of the height.
        bg_swept: the same of all points that could be followed, also those that the thing covers
            and whose track then goes on with its outline.
        ghost: of the pixels that the thing has left, and that told it from its ground, the share
            that still look like it.

    The last four are None where too little is seen to tell, and of a whole picture.
    """

    motion: Motion
    lost: int
    peak: int
    most: float
    rigid: float | None = None
    bg_psnr: float | None = None
    bg_dragged: float | None = None
    bg_swept: float | None = None
    ghost: float | None = None

    def row(self) -> dict[str, Any]:
        """Its numbers by name, for JSON; those of the motion rounded to 4 digits."""
        series = {name: values.round(4).tolist() for name, values in self.motion._asdict().items()}
        return self._asdict() | {"motion": series}


def measure_camera(frames: Sequence[Frame]) -> Measured:
    """Measure how the picture as a whole moves."""
    grays = _grays(frames)
    height, width = grays[0].shape
    path, lost = follow(grays, _inside(grays[0]))
    motion = Motion.of_path(path, np.array([width / 2, height / 2]), height)
    amount = motion.amount(0.5)
    return Measured(motion, lost, int(amount.argmax()), float(amount.max()))


def measure_object(frames: Sequence[Frame], mask: Mask) -> Measured:
    """Measure how the thing in a mask of the first frame moves, and what else does."""
    grays = _grays(frames)
    height = len(grays[0])
    inner: Mask = cv2.erode(mask, np.ones((5, 5), np.uint8)).astype(np.uint8)
    if inner.sum() < _LEAST_INNER:
        inner = mask
    path, lost = follow(grays, inner)
    rows, columns = np.nonzero(mask)
    motion = Motion.of_path(path, np.array([columns.mean(), rows.mean()]), height)
    amount = motion.amount(math.sqrt(mask.sum() / math.pi) / height)
    peak = int(amount.argmax())
    dragged, swept = _dragged(grays[: peak + 1], mask, path[peak])
    return Measured(
        motion,
        lost,
        peak,
        float(amount.max()),
        rigid=_rigid(frames[0], frames[peak], inner, path[peak]),
        bg_psnr=_ground_psnr(frames, mask, path),
        bg_dragged=dragged,
        bg_swept=swept,
        ghost=_ghost(frames[0], frames[peak], mask, path[peak]),
    )


def pixel_flicker(frames: Sequence[Frame]) -> float:
    """Half the mean absolute second difference in time of each pixel's grey, in levels of 255."""
    grays = np.stack(_grays(frames)).astype(np.float32)
    return float(np.abs(grays[2:] - 2 * grays[1:-1] + grays[:-2]).mean() / 2)


def changed(frames: Sequence[Frame]) -> float:
    """Share of the pixels that differ from the first frame, in the frame where most do."""
    return max(float((_difference(frame, frames[0]) >= _CHANGED).mean()) for frame in frames)


def first_difference(frames: Sequence[Frame], picture: Frame) -> int:
    """Largest difference of the first frame from the picture, in levels of 255."""
    return int(_difference(frames[0], picture).max())


def _rigid(
    first: Frame, frame: Frame, inner: Mask, similarity: NDArray[np.float64]
) -> float | None:
    there = carried(inner, similarity) > 0
    if there.sum() <= _LEAST_PIXELS:
        return None
    size = (there.shape[1], there.shape[0])
    soft = cv2.blur(first, (3, 3))
    moved = cv2.warpAffine(soft, similarity, size, borderMode=cv2.BORDER_REPLICATE)
    same = _difference(moved, cv2.blur(frame, (3, 3))) < _SAME
    return float(same[there].mean())


def _ground_psnr(frames: Sequence[Frame], mask: Mask, path: NDArray[np.float64]) -> float | None:
    return min(_ground_psnrs(frames, mask, path), default=None)


def _ground_psnrs(
    frames: Sequence[Frame], mask: Mask, path: NDArray[np.float64]
) -> Iterator[float]:
    """Of every fourth frame with enough ground."""
    before = _widened(mask)
    for number in range(4, len(frames), 4):
        ground = (before | _widened(carried(mask, path[number]))) == 0
        if ground.mean() > _LEAST_REST:
            error = (frames[number].astype(np.float32) - frames[0])[ground]
            square = max(float(np.square(error).mean()), 1e-3)
            yield min(_BEST_PSNR, 10 * math.log10(255**2 / square))


def _dragged(
    grays: Sequence[Gray], mask: Mask, similarity: NDArray[np.float64]
) -> tuple[float | None, float | None]:
    """`Measured.bg_dragged` and `bg_swept`.

    A point is still seen where the ground around it looks as it did, or has gone with the thing.
    """
    ground = ((_widened(mask) == 0) & (_inside(mask) > 0)).astype(np.uint8)
    start = corners(grays[0], ground, 200)
    if len(start) < 8:
        return None, None
    points, alive = start, np.ones(len(start), bool)
    for number in range(1, len(grays)):
        moved, found = follow_points(grays[number - 1], grays[number], points)
        alive &= found
        points = np.where(alive[:, None], moved, points)
    far = np.linalg.norm(points - start, axis=1) > _DRAGGED * len(grays[0])
    taken = start @ similarity[:, :2].T + similarity[:, 2]
    along = np.linalg.norm(points - taken, axis=1) < _TOGETHER * len(grays[0])
    seen = alive & (along | _alike(grays[0], start, grays[-1], points))
    dragged, swept = (
        float(far[kept].mean()) if kept.sum() >= 6 else None for kept in (seen, alive)
    )
    return dragged, swept


def _alike(before: Gray, here: Points, after: Gray, there: Points) -> NDArray[np.bool_]:
    """Of each point, whether what is around it in one frame is so in the other too."""
    patches = []
    for gray, points in ((before, here), (after, there)):
        cut = [cv2.getRectSubPix(gray, (_PATCH, _PATCH), tuple(map(float, p))) for p in points]
        flat = np.stack(cut).reshape(len(points), -1).astype(np.float32)
        flat -= flat.mean(1, keepdims=True)
        patches.append(flat / np.linalg.norm(flat, axis=1, keepdims=True).clip(1e-3))
    alike: NDArray[np.bool_] = (patches[0] * patches[1]).sum(1) >= _ALIKE
    return alike


def _ghost(first: Frame, frame: Frame, mask: Mask, similarity: NDArray[np.float64]) -> float | None:
    """The ground behind the thing is guessed by inpainting (Telea 2004), to know where it shows."""
    moved = cv2.dilate(carried(mask, similarity), np.ones((5, 5), np.uint8))
    hole = cv2.dilate(mask, np.ones((9, 9), np.uint8))
    ground = cv2.inpaint(first, hole, 5, cv2.INPAINT_TELEA)
    telling = (mask > 0) & (moved == 0) & (_difference(first, ground) > _TELLING)
    if telling.sum() <= _LEAST_TELLING:
        return None
    return float((_difference(frame, first) < _VANISHED)[telling].mean())


def _grays(frames: Sequence[Frame]) -> list[Gray]:
    return [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.uint8) for frame in frames]


def _inside(like: Gray) -> Mask:
    inside: Mask = np.zeros(like.shape, np.uint8)
    inside[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN] = 1
    return inside


def _widened(mask: Mask) -> Mask:
    """By a twenty-fifth of the height, at least 3 pixels, on each side."""
    side = 2 * max(3, len(mask) // 25) + 1
    return cv2.dilate(mask, np.ones((side, side), np.uint8)).astype(np.uint8)


def _difference(one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.int16]:
    """(H, W), of the channel that differs most."""
    difference: NDArray[np.int16] = np.abs(one.astype(np.int16) - other).max(2)
    return difference
