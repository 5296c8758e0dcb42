"""Which frames of a video make its clip, found in processes that can be killed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL import Image

from fbridge.data.latents.format import hash_file
from fbridge.data.sources import Media
from fbridge.data.video import Bucket, ClipSampling, Failure, Workers, survey_file
from fbridge.errors import DataError
from fbridge.evaluation.clips.listing import ListedVideo

PATIENCE = 120.0
"""Seconds that looking into one file may take."""


@dataclass(frozen=True)
class FrameSampling:
    """How a side's clips are cut.

    Attributes:
        frames: of a clip.
        stride: every how many-th frame.
        seed: of the places where clips begin; None begins at the head.
    """

    frames: int
    stride: int
    seed: int | None = None

    def start(self, room: int, identity: str) -> int:
        """Where a clip begins among `room + 1` places, in a file with this hash."""
        if self.seed is None:
            return 0
        drawn = hashlib.blake2b(f"{self.seed} {identity}".encode(), digest_size=8).digest()
        return int.from_bytes(drawn, "big") % (room + 1)


@dataclass(frozen=True)
class EvalClip:
    """The frames of one video that are looked at.

    Attributes:
        key, path, captions: as listed.
        media: the video, or None of a folder of frames.
        pictures: the chosen frames of a folder of frames.
        pts: the stamps of a video's chosen frames.
        width, height: as shown, in pixels.
        codec: of its pictures, "png" of a folder of frames.
        fps: frames a second of the file; of a folder of frames, which carries none, 1.
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
        short: whether it is whole but has too few frames.
    """

    key: str
    path: Path
    reason: str
    short: bool = False


def sample_clips(
    found: Sequence[ListedVideo], cut: FrameSampling, *, workers: int
) -> Iterator[EvalClip | FailedClip]:
    """The clip of each video, in their order; `workers` of 0 looks into files in this process."""
    usable = [one for one in found if not one.refused]
    look = partial(sample_clip, cut=cut)
    if workers == 0:
        outcomes: Iterator[EvalClip | FailedClip | Failure] = (_tried(one, cut) for one in usable)
        yield from _in_order(found, outcomes)
        return
    with Workers(workers, time_limit=PATIENCE) as pool:
        yield from _in_order(found, pool.map(look, ((one,) for one in usable), 4 * workers))


def sample_clip(found: ListedVideo, cut: FrameSampling) -> EvalClip | FailedClip:
    """The clip of one video.

    Raises:
        DataError: when it cannot be read.
    """
    return _of_pictures(found, cut) if found.media is None else _of_video(found, found.media, cut)


def _tried(found: ListedVideo, cut: FrameSampling) -> EvalClip | FailedClip | Failure:
    try:
        return sample_clip(found, cut)
    except DataError as error:
        return Failure(str(error), transient=False)


def _in_order(
    found: Sequence[ListedVideo], outcomes: Iterator[EvalClip | FailedClip | Failure]
) -> Iterator[EvalClip | FailedClip]:
    for one in found:
        if one.refused:
            yield FailedClip(one.key, one.path, one.refused)
            continue
        outcome = next(outcomes)
        if isinstance(outcome, Failure):
            yield FailedClip(one.key, one.path, outcome.reason)
        else:
            yield outcome


def _of_video(found: ListedVideo, media: Media, cut: FrameSampling) -> EvalClip | FailedClip:
    everywhere = "head" if cut.seed is None else "slide:1"
    cutting = ClipSampling((Bucket(1, 1, cut.frames),), stride=cut.stride, mode=everywhere)
    survey = survey_file(media, cutting)
    pts = found.pts
    if not pts:
        if not survey.cuts:
            return FailedClip(found.key, found.path, _short(survey.frames, cut), short=True)
        pts = survey.cuts[cut.start(len(survey.cuts) - 1, survey.sha256)].pts
    elif len(pts) < cut.frames:
        return FailedClip(found.key, found.path, _short(len(pts), cut), short=True)
    pts = pts[: cut.frames]
    return EvalClip(
        found.key,
        found.path,
        found.captions,
        media,
        (),
        pts,
        survey.width,
        survey.height,
        survey.codec,
        survey.fps,
        _hash(survey.sha256, survey.decoder, *pts),
    )


def _of_pictures(found: ListedVideo, cut: FrameSampling) -> EvalClip | FailedClip:
    every = found.frames[:: cut.stride]
    room = len(every) - cut.frames
    if room < 0:
        return FailedClip(found.key, found.path, _short(len(found.frames), cut), short=True)
    identity = _hash(*(path.name for path in found.frames))
    start = cut.start(room, identity)
    chosen = every[start : start + cut.frames]
    try:
        hashes = [hash_file(path) for path in chosen]
        with Image.open(chosen[0]) as picture:
            (width, height), kind = picture.size, (picture.format or "").lower()
    except OSError as error:
        raise DataError(f"{chosen[0].name} cannot be read ({error})") from None
    return EvalClip(
        found.key,
        found.path,
        found.captions,
        None,
        chosen,
        (),
        width,
        height,
        kind,
        1.0,
        _hash(*hashes),
    )


def _short(frames: int, cut: FrameSampling) -> str:
    needed = (cut.frames - 1) * cut.stride + 1
    pace = f" at stride {cut.stride}" if cut.stride > 1 else ""
    return f"too short: {frames} frames, {needed} needed for {cut.frames}{pace}"


def _hash(*parts: object) -> str:
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()
