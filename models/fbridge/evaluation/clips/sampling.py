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
from fbridge.data.video import Bucket, Cutting, Failure, Workers, survey_file
from fbridge.errors import DataError
from fbridge.evaluation.clips.listing import Found

PATIENCE = 120.0
"""Seconds that looking into one file may take."""


@dataclass(frozen=True)
class Cut:
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
class Clip:
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
class Failed:
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


def cut_all(found: Sequence[Found], cut: Cut, *, workers: int) -> Iterator[Clip | Failed]:
    """The clip of each video, in their order; `workers` of 0 looks into files in this process."""
    usable = [one for one in found if not one.refused]
    look = partial(cut_one, cut=cut)
    if workers == 0:
        outcomes: Iterator[Clip | Failed | Failure] = (_tried(one, cut) for one in usable)
        yield from _in_order(found, outcomes)
        return
    with Workers(workers, time_limit=PATIENCE) as pool:
        yield from _in_order(found, pool.map(look, ((one,) for one in usable), 4 * workers))


def cut_one(found: Found, cut: Cut) -> Clip | Failed:
    """The clip of one video.

    Raises:
        DataError: when it cannot be read.
    """
    return _of_pictures(found, cut) if found.media is None else _of_video(found, found.media, cut)


def _tried(found: Found, cut: Cut) -> Clip | Failed | Failure:
    try:
        return cut_one(found, cut)
    except DataError as error:
        return Failure(str(error), transient=False)


def _in_order(
    found: Sequence[Found], outcomes: Iterator[Clip | Failed | Failure]
) -> Iterator[Clip | Failed]:
    for one in found:
        if one.refused:
            yield Failed(one.key, one.path, one.refused)
            continue
        outcome = next(outcomes)
        if isinstance(outcome, Failure):
            yield Failed(one.key, one.path, outcome.reason)
        else:
            yield outcome


def _of_video(found: Found, media: Media, cut: Cut) -> Clip | Failed:
    everywhere = "head" if cut.seed is None else "slide:1"
    cutting = Cutting((Bucket(1, 1, cut.frames),), stride=cut.stride, mode=everywhere)
    survey = survey_file(media, cutting)
    pts = found.pts
    if not pts:
        if not survey.cuts:
            return Failed(found.key, found.path, _short(survey.frames, cut), short=True)
        pts = survey.cuts[cut.start(len(survey.cuts) - 1, survey.sha256)].pts
    elif len(pts) < cut.frames:
        return Failed(found.key, found.path, _short(len(pts), cut), short=True)
    pts = pts[: cut.frames]
    return Clip(
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


def _of_pictures(found: Found, cut: Cut) -> Clip | Failed:
    every = found.frames[:: cut.stride]
    room = len(every) - cut.frames
    if room < 0:
        return Failed(found.key, found.path, _short(len(found.frames), cut), short=True)
    identity = _hash(*(path.name for path in found.frames))
    start = cut.start(room, identity)
    chosen = every[start : start + cut.frames]
    try:
        hashes = [hash_file(path) for path in chosen]
        with Image.open(chosen[0]) as picture:
            (width, height), kind = picture.size, (picture.format or "").lower()
    except OSError as error:
        raise DataError(f"{chosen[0].name} cannot be read ({error})") from None
    return Clip(
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


def _short(frames: int, cut: Cut) -> str:
    needed = (cut.frames - 1) * cut.stride + 1
    pace = f" at stride {cut.stride}" if cut.stride > 1 else ""
    return f"too short: {frames} frames, {needed} needed for {cut.frames}{pace}"


def _hash(*parts: object) -> str:
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()
