"""Read the frames of an evaluated pair again, from the files that the evaluation names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from fbridge.data.sources import Media
from fbridge.errors import DataError
from fbridge.evaluation.clips import EvalClip, FrameSampling, ListedVideo, read_clip, read_picture
from fbridge.evaluation.clips.listing import pictures_in
from fbridge.evaluation.clips.sampling import sample_clip
from fbridge.evaluation.result import ClipPair, Evaluation

Here = Callable[[str], Path]
"""The local file of a name in a result."""


def load_frames(evaluation: Evaluation, here: Here, pair: ClipPair, side: str) -> Tensor | None:
    """(T, H, W, 3) uint8 of the "generated", "reference" or "picture" side.

    None where the file is missing or has changed since it was measured.
    """
    size = evaluation.size
    assert size is not None, "an evaluation knows its size"
    try:
        if side == "picture":
            if pair.picture:
                return read_picture(here(pair.picture), size)
            real = load_frames(evaluation, here, pair, "reference")
            return None if real is None else real[:1]
        path, expected = getattr(pair, side), getattr(pair, f"{side}_hash")
        clip = _find_clip(here(path), expected, evaluation) if path else None
        return None if clip is None else read_clip(clip, size)
    except DataError:
        return None


def _find_clip(path: Path, expected: str, evaluation: Evaluation) -> EvalClip | None:
    """The clip of a file that has the expected hash, at the reference's stride or at 1."""
    pictures = pictures_in(path) if path.is_dir() else ()
    found = ListedVideo(path.stem, path, None if pictures else Media(str(path)), pictures)
    for stride in dict.fromkeys((evaluation.stride, 1)):
        clip = sample_clip(found, FrameSampling(evaluation.frames, stride))
        if isinstance(clip, EvalClip) and clip.hash == expected:
            return clip
    return None
