"""Decoding with decord, of formats for which it gives the right frames.

decord 0.6 numbers frames correctly only if they are read one after the other: after a seek
(`reader[n]`, `get_batch`, `skip_frames`) it returns other frames under the same numbers and times
in files with open GOPs, in AVI and in transport streams. So every frame up to the last wanted one
is read in turn. decord does not report damaged frames.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from typing import Any

import av
import numpy as np

from fbridge.data.video.container import AGAIN, Readable, opened
from fbridge.data.video.decode import DecodedFrame
from fbridge.data.video.timestamps import Timeline, read_timeline
from fbridge.errors import DataError, DependencyError

_TRUSTED = {"mp4", "matroska", "avi", "flv"}

_NO_SUBSTITUTES = 1e-6  # share of frames that decord may replace by neighbours


def load_decord() -> Any:
    """The module decord, without its log messages.

    Raises:
        DependencyError: it is not installed.
    """
    try:
        decord = importlib.import_module("decord")
    except ImportError:
        raise DependencyError(
            "decord is not installed or has no build for this machine; use the decoder pyav"
        ) from None
    decord.logging.set_level(decord.logging.QUIET)
    return decord


def read_with_decord(media: Readable, stamps: Sequence[int]) -> Iterator[DecodedFrame]:
    """The frames with these stamps, once each, in the order in which they are shown.

    Raises:
        DataError: decord cannot decode them, or its number of frames or their times are wrong.
        DependencyError: decord is not installed.
    """
    decord = load_decord()
    with opened(media) as source:
        if not _TRUSTED & set(source.container.format.name.split(",")):
            raise DataError("is of a format that decord misreads; use the decoder pyav")
        timeline = read_timeline(source, cut=False)
        aspect, clocked = source.aspect, source.clocked
        stored = source.stream.width, source.stream.height
    wanted = set(stamps)
    if not wanted <= set(timeline.stamps):
        raise DataError(f"has not all the frames that it had; {AGAIN}")
    try:
        with media.open() as file:
            reader = decord.VideoReader(file, num_threads=1, fault_tol=_NO_SUBSTITUTES)
        _check(reader, timeline, clocked=clocked)
        for stamp in timeline.stamps[: timeline.stamps.index(max(wanted)) + 1]:
            image = reader.next().asnumpy()
            if stamp in wanted:
                turned = image.shape[1::-1] != stored  # by decord, by the file's rotation
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
                yield DecodedFrame(stamp, frame, 1 / aspect if turned else aspect)
    except (decord.DECORDError, decord.DECORDLimitReachedError, StopIteration):
        raise DataError("cannot be decoded by decord; use the decoder pyav") from None


def _check(reader: Any, timeline: Timeline, *, clocked: bool) -> None:
    """Check by number and times that decord's n-th frame is the n-th that is shown."""
    if len(reader) != len(timeline.stamps):
        raise DataError(
            f"has {len(timeline.stamps)} frames, but {len(reader)} for decord; use the decoder pyav"
        )
    if not clocked or len(timeline.stamps) == 1:
        return
    times = np.asarray(timeline.times)
    theirs = reader.get_frame_timestamp(list(range(len(times))))[:, 0]
    if (np.abs(theirs - theirs[0] - times) >= np.diff(times).min() / 2).any():
        raise DataError("has other times of frames for decord; use the decoder pyav")
