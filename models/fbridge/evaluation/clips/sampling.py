"""Choose the frames of each video's clip, in worker processes with a time limit."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import starmap
from pathlib import Path

from fbridge.data.latents.format import hash_file
from fbridge.data.pictures import open_picture, reading_of
from fbridge.data.sources import Media
from fbridge.data.video import Bucket, ClipSampling, Failure, Workers, survey_file
from fbridge.data.video.pool import failure_of
from fbridge.errors import DataError
from fbridge.evaluation.clips.listing import ListedVideo
from fbridge.files.atomic import shown

PATIENCE = 120.0
"""Time limit for one file in seconds."""


@dataclass(frozen=True)
class FrameSampling:
    """Which frames of its videos a side uses.

    Attributes:
        frames: of a clip.
        stride: step between them.
        seed: of the random first frame; None begins at the head.
    """

    frames: int
    stride: int
    seed: int | None = None

    def start(self, room: int, identity: str) -> int:
        """The first frame, among `room + 1` possible ones, in a file with this hash."""
        if self.seed is None:
            return 0
        drawn = hashlib.blake2b(f"{self.seed} {identity}".encode(), digest_size=8).digest()
        return int.from_bytes(drawn, "big") % (room + 1)


@dataclass(frozen=True)
class EvalClip:
    """The chosen frames of one video.

    Attributes:
        key, path, captions: as listed.
        media: the video; None for a folder of frames.
        pictures: the chosen files of a folder of frames.
        pts: presentation times of a video's chosen frames.
        width, height: as displayed, in pixels.
        codec: of the video; format of the pictures, such as "png", in a folder of frames.
        fps: frames per second of the file; 1 for a folder of frames.
        hash: sha256 over the file's content and which frames are taken.
    """

    key: str
    path: Path
    captions: tuple[str, ...]
    media: Media | None
    pictures: tuple[Path, ...]
    pts: tuple[int, ...]
    width: int
    height: int
    codec: str
    fps: float
    hash: str


@dataclass(frozen=True)
class FailedClip:
    """A video without a clip.

    Attributes:
        key, path: as listed.
        reason: why, in a line.
        short: whether it can be read but has too few frames.
    """

    key: str
    path: Path
    reason: str
    short: bool = False


def sample_clips(
    found: Sequence[ListedVideo], sampling: FrameSampling, *, workers: int
) -> Iterator[EvalClip | FailedClip]:
    """The clip of each video, in their order; with 0 `workers`, files are read in this process."""
    tasks = ((one, sampling) for one in found if not one.refused)
    with ExitStack() as stack:
        outcomes: Iterator[EvalClip | FailedClip | Failure]
        if workers:
            pool = stack.enter_context(Workers(workers, time_limit=PATIENCE))
            outcomes = iter(pool.map(sample_clip, tasks, 4 * workers))
        else:
            outcomes = starmap(_try_to_sample, tasks)
        for one in found:
            outcome = Failure(one.refused, transient=False) if one.refused else next(outcomes)
            if isinstance(outcome, Failure):
                outcome = FailedClip(one.key, one.path, outcome.reason)
            yield outcome


def sample_clip(found: ListedVideo, sampling: FrameSampling) -> EvalClip | FailedClip:
    """The clip of one video.

    Raises:
        DataError: it cannot be read.
    """
    if found.media is None:
        return _from_pictures(found, sampling)
    return _from_video(found, found.media, sampling)


def _try_to_sample(found: ListedVideo, sampling: FrameSampling) -> EvalClip | FailedClip | Failure:
    try:
        return sample_clip(found, sampling)
    except Exception as error:
        return failure_of(error)


def _from_video(found: ListedVideo, media: Media, sampling: FrameSampling) -> EvalClip | FailedClip:
    mode = "head" if sampling.seed is None else "slide:1"
    bucket = Bucket(1, 1, sampling.frames)
    survey = survey_file(media, ClipSampling((bucket,), stride=sampling.stride, mode=mode))
    pts = found.pts
    if not pts:
        if not survey.cuts:
            return _too_short(found, survey.frames, sampling)
        pts = survey.cuts[sampling.start(len(survey.cuts) - 1, survey.sha256)].pts
    elif len(pts) < sampling.frames:
        return _too_short(found, len(pts), sampling)
    pts = pts[: sampling.frames]
    return EvalClip(
        found.key, found.path, found.captions, media, (), pts,
        width=survey.width, height=survey.height, codec=survey.codec, fps=survey.fps,
        hash=_hash(survey.sha256, survey.decoder, *survey.reading, *pts),
    )  # fmt: skip


def _from_pictures(found: ListedVideo, sampling: FrameSampling) -> EvalClip | FailedClip:
    every = found.frames[:: sampling.stride]
    room = len(every) - sampling.frames
    if room < 0:
        return _too_short(found, len(found.frames), sampling)
    start = sampling.start(room, _hash(*(path.name for path in found.frames)))
    chosen = every[start : start + sampling.frames]
    first = open_picture(chosen[0])
    try:
        hashes = [hash_file(path) for path in chosen]
    except OSError as error:
        raise DataError(f"{shown(found.path)}: cannot be read ({error})") from None
    readings = sorted({*map(reading_of, chosen)} - {""})
    return EvalClip(
        found.key, found.path, found.captions, None, chosen, (),
        width=first.pixels.width, height=first.pixels.height, codec=first.format, fps=1.0,
        hash=_hash(*hashes, *readings),
    )  # fmt: skip


def _too_short(found: ListedVideo, frames: int, sampling: FrameSampling) -> FailedClip:
    needed = (sampling.frames - 1) * sampling.stride + 1
    pace = f" at stride {sampling.stride}" if sampling.stride > 1 else ""
    reason = f"too short: {frames} frames, {needed} needed for {sampling.frames}{pace}"
    return FailedClip(found.key, found.path, reason, short=True)


def _hash(*parts: object) -> str:
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()
