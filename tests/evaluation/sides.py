"""Small sides of an evaluation: folders of videos and of frames, real ones and damaged copies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from fbridge.data.shapes import draw_clip
from fbridge.data.video_files import write_video
from fbridge.evaluation.clips import EvalClip, FrameSampling, list_clips, sample_clips

FRAMES, SIDE = 6, 40


def scene(number: int, frames: int = FRAMES, side: int = SIDE) -> npt.NDArray[np.uint8]:
    """(F, H, W, 3) something that moves."""
    return draw_clip(9, number, verb=("left", "down")[number % 2], count=frames, size=side).frames


def write_side(
    folder: Path, numbers: range, *, as_frames: bool = False, frames: int = FRAMES
) -> Path:
    for number in numbers:
        name = f"{number:02d}" if as_frames else f"{number:02d}.mp4"
        write_video(scene(number, frames), folder / name, 8.0)
    return folder


def damaged(folder: Path, numbers: range, how: str) -> Path:
    """Copies as folders of frames: "noise", "freeze", "shuffle"."""
    rng = np.random.default_rng(0)
    for number in numbers:
        clip = scene(number)
        if how == "noise":
            clip = np.clip(clip + rng.normal(0, 2, clip.shape), 0, 255).astype(np.uint8)
        elif how == "freeze":
            clip = np.repeat(clip[:1], len(clip), 0)
        elif how == "shuffle":
            clip = clip[[3, 0, 5, 1, 4, 2]]
        write_video(clip, folder / f"{number:02d}", 8.0)
    return folder


def clips_of(folder: Path, cut: FrameSampling | None = None) -> list[EvalClip]:
    found = list(sample_clips(list_clips(folder).found, cut or FrameSampling(FRAMES, 1), workers=0))
    assert all(isinstance(clip, EvalClip) for clip in found)
    return found  # type: ignore[return-value]
