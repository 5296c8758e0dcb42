"""The properties of a video file, and the clips that are cut from it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import av

from fbridge.data.video.buckets import Bucket, choose_bucket, cover_size
from fbridge.data.video.clip import decode_clip
from fbridge.data.video.clip_sampling import ClipSampling, choose_frames, take
from fbridge.data.video.container import MAX_PIXELS, Readable
from fbridge.data.video.facts import read_facts
from fbridge.data.video.filters import fingerprint, has_scene_cut, is_still, luma, small
from fbridge.data.video.integrity import Ending, read_ending
from fbridge.data.video.timestamps import Timeline
from fbridge.data.video.with_decord import load_decord
from fbridge.errors import DataError

_CHUNK = 1 << 20

_MOST_FRAMES = 10_000_000  # a file with broken timestamps may claim to last for years


@dataclass(frozen=True)
class ClipSpan:
    """One clip of a file.

    Attributes:
        pts: stamps of its frames, the argument of `decode_clip`.
        times: seconds of each frame after the file's first, rounded to microseconds.
        dropped: the filter that refuses it: "still", "scene cut"; empty if none does.
        look: fingerprint in hex, if requested: near duplicates differ in few bits.
    """

    pts: tuple[int, ...]
    times: tuple[float, ...]
    dropped: str = ""
    look: str = ""


@dataclass(frozen=True)
class Survey:
    """A video file.

    Attributes:
        sha256: of its bytes.
        size: in bytes.
        codec: of the video stream.
        width, height: as shown: after rotation, with square pixels.
        frames: number of frames.
        seconds: end of the last frame.
        fps: frames per second on average.
        variable: whether the frames' intervals are unequal.
        bucket: the shape of its clips; None if none fits.
        cuts: its clips.
        dropped: why there are none.
        decoder: of the clips, with version.
        track: index of the video track among the file's streams.
        notes: what is unusual, each as "kind" or "kind: details".
        reading: what decides the frames' pixels besides the file and their stamps, where a file
            needs more than them; other readers may have taken another track or orientation.
    """

    sha256: str
    size: int
    codec: str
    width: int
    height: int
    frames: int
    seconds: float
    fps: float
    variable: bool
    bucket: Bucket | None
    cuts: tuple[ClipSpan, ...]
    dropped: str = ""
    decoder: str = ""
    track: int = 0
    notes: tuple[str, ...] = ()
    reading: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        bucket = None if self.bucket is None else list(self.bucket)
        cuts = [_plain(cut) for cut in self.cuts]
        lists = {"notes": list(self.notes), "reading": list(self.reading)}
        return {**asdict(self), "bucket": bucket, "cuts": cuts, **lists}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Survey:
        """From the values of `to_json`."""
        bucket = values["bucket"]
        cuts = (
            ClipSpan(**{**cut, "pts": tuple(cut["pts"]), "times": tuple(cut["times"])})
            for cut in values["cuts"]
        )
        known = Bucket(*bucket) if bucket is not None else None
        lists = {name: tuple(values.get(name, ())) for name in ("notes", "reading")}
        return cls(**{**values, "bucket": known, "cuts": tuple(cuts), **lists})


def survey_file(media: Readable, cutting: ClipSampling) -> Survey:
    """Read all packets and one frame of a video, and choose its clips.

    Frames of clips are decoded, at a small size, only for filters.

    Raises:
        DataError: the file cannot be used: damaged, truncated, no video, ...
        DependencyError: the decoder is not installed.
    """
    sha256, size, ending = _read_bytes(media)
    facts = read_facts(media, ending)
    timeline = facts.timeline
    if len(timeline.stamps) == 1:
        raise DataError("holds a single picture; leave it out")
    survey = Survey(
        sha256=sha256,
        size=size,
        codec=facts.codec,
        width=facts.width,
        height=facts.height,
        frames=len(timeline.stamps),
        seconds=timeline.seconds,
        fps=timeline.fps,
        variable=timeline.variable,
        bucket=None,
        cuts=(),
        decoder=_version(cutting.decoder),
        track=facts.track,
        notes=facts.notes,
        reading=facts.reading,
    )
    return _with_cuts(survey, timeline, cutting, media)


def _with_cuts(
    survey: Survey, timeline: Timeline, cutting: ClipSampling, media: Readable
) -> Survey:
    if cutting.fps is not None and timeline.seconds * cutting.fps > _MOST_FRAMES:
        return replace(survey, dropped=f"too long: {timeline.seconds:.0f} s {cutting.pace}")
    available = len(take(timeline.times, timeline.seconds, cutting))
    bucket = choose_bucket(cutting.buckets, survey.width, survey.height, available)
    if bucket is None:
        needed = min(bucket.frames for bucket in cutting.buckets)
        reason = f"too short: {available} frames {cutting.pace}, {needed} needed"
        return replace(survey, dropped=reason)
    if timeline.seconds < cutting.min_seconds:
        reason = f"too short: {timeline.seconds:.2f} s, {cutting.min_seconds:g} s needed"
        return replace(survey, dropped=reason)
    wide, high = cover_size(survey.width, survey.height, bucket)
    if wide * high > MAX_PIXELS:
        reason = f"too narrow: {survey.width}x{survey.height} cannot be enlarged to {bucket}"
        return replace(survey, dropped=reason)
    clips = choose_frames(timeline.times, timeline.seconds, cutting, bucket.frames)
    cuts = tuple(
        _filtered(
            ClipSpan(
                tuple(timeline.stamps[position] for position in clip),
                tuple(timeline.times[position] for position in clip),
            ),
            media,
            bucket,
            cutting,
        )
        for clip in clips
    )
    return replace(survey, bucket=bucket, cuts=cuts)


def _filtered(cut: ClipSpan, media: Readable, bucket: Bucket, cutting: ClipSampling) -> ClipSpan:
    """The clip with the results of the filters."""
    if not (cutting.drop_still or cutting.drop_cuts or cutting.drop_duplicates):
        return cut
    levels = luma(decode_clip(media, cut.pts, small(bucket), cutting.decoder).frames)
    if cutting.drop_still and is_still(levels):
        cut = replace(cut, dropped="still")
    elif cutting.drop_cuts and has_scene_cut(levels):
        cut = replace(cut, dropped="scene cut")
    return replace(cut, look=fingerprint(levels)) if cutting.drop_duplicates else cut


def _read_bytes(media: Readable) -> tuple[str, int, Ending]:
    """The sha256 and size, and how the file ends."""
    digest, size = hashlib.sha256(), 0
    try:
        with media.open() as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
            file.seek(0)
            return digest.hexdigest(), size, read_ending(file, size)
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror or error}); check the file") from None


def _version(decoder: str) -> str:
    if decoder == "decord":
        return f"decord {load_decord().__version__}"
    codecs = ".".join(map(str, av.library_versions["libavcodec"]))
    return f"pyav {av.__version__}, libavcodec {codecs}"


def _plain(cut: ClipSpan) -> dict[str, Any]:
    return {**asdict(cut), "pts": list(cut.pts), "times": list(cut.times)}
