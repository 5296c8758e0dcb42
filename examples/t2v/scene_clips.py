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

from fbridge.data.scenes import SCENE_FRAMES, Scene, draw_scene

TRAIN_SEED, HELD_OUT_SEED = 0, 1
"""The clips of `fbridge finetune`'s demo have a third seed (fbridge.data.demo)."""
PORTION = 50
Value = TypeVar("Value")


def _portion(of: Callable[[Scene], Value], seed: int, frames: int, numbers: range) -> list[Value]:
    return [of(draw_scene(seed, number, count=frames)) for number in numbers]


def drawn(
    of: Callable[[Scene], Value],
    seed: int,
    count: int,
    first: int = 0,
    *,
    frames: int = SCENE_FRAMES,
) -> list[Value]:
    """What `of` makes of each of the scenes `first` to `first + count` of a seed.

    With one frame, scenes are their first frame alone.
    """
    portions = [
        range(at, min(at + PORTION, first + count)) for at in range(first, first + count, PORTION)
    ]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        work = partial(_portion, of, seed, frames)
        return [one for part in pool.map(work, portions) for one in part]


def frames_and_middle(scene: Scene) -> tuple[np.ndarray, tuple[int, int]]:
    """Frames (3, F, H, W) uint8, and (row, column) of a thing's middle in the clip's middle."""
    covered = scene.things[0].cover[scene.frames.shape[0] // 2]
    rows, columns = np.nonzero(covered > 0.5)
    middle = (int(rows.mean()), int(columns.mean())) if len(rows) else (32, 32)
    return scene.frames.transpose(3, 0, 1, 2).copy(), middle
