"""The clips that the small text-to-video model learns from, drawn into memory on all cores.

They are drawn rather than read from files: half a minute for ten thousand, the same each time.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from fbridge.data.scenes import SCENE_FRAMES, Scene, draw_scene

TRAIN_SEED, HELD_OUT_SEED = 0, 1
"""The clips of `fbridge finetune`'s demo have a third seed (fbridge.data.demo)."""
PORTION = 50
Value = TypeVar("Value")


def _portion(
    of: Callable[[Scene], Value], seed: int, frames: int, things: int | None, numbers: range
) -> list[Value]:
    return [of(draw_scene(seed, number, count=frames, things=things)) for number in numbers]


def drawn(
    of: Callable[[Scene], Value],
    seed: int,
    count: int,
    first: int = 0,
    *,
    frames: int = SCENE_FRAMES,
    things: int | None = None,
) -> list[Value]:
    """What `of` makes of each of the scenes `first` to `first + count` of a seed.

    With one frame, scenes are their first frame alone; `things` in each, else one or two.
    """
    portions = [
        range(at, min(at + PORTION, first + count)) for at in range(first, first + count, PORTION)
    ]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        work = partial(_portion, of, seed, frames, things)
        return [one for part in pool.map(work, portions) for one in part]


def frames_and_things(
    scene: Scene,
) -> tuple[NDArray[np.uint8], NDArray[np.bool_], list[tuple[int, int]]]:
    """Frames (3, F, H, W); (F, H, W) where things are; (row, column) of each one's middle.

    The middles are those in the clip's middle, always two: of one thing the same twice.
    """
    middles = []
    for thing in scene.things:
        rows, columns = np.nonzero(thing.cover[len(scene.frames) // 2] > 0.5)
        side = scene.frames.shape[1] // 2
        middles.append((int(rows.mean()), int(columns.mean())) if len(rows) else (side, side))
    covered = np.stack([thing.cover for thing in scene.things]).max(0) > 0.02
    return scene.frames.transpose(3, 0, 1, 2).copy(), covered, [middles[0], middles[-1]]
