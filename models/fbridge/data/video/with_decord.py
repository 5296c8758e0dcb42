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
import numpy.typing as npt

from fbridge.data.video.colors import colorspace
from fbridge.data.video.container import AGAIN, Readable, opened
from fbridge.data.video.decode import ROUND, DecodedFrame, read_frames
from fbridge.data.video.orientation import Orientation
from fbridge.data.video.timestamps import Timeline, measure, read_stamps
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
    if max(stamps) >= ROUND // 2:
        raise DataError("has a clock that goes back or stands still; use the decoder pyav")
    with opened(media) as source:
        if not _TRUSTED & set(source.container.format.name.split(",")):
            raise DataError("is of a format that decord misreads; use the decoder pyav")
        if len(source.tracks) > 1:
            raise DataError("has several video tracks; use the decoder pyav")
        stored = read_stamps(source, cut=False)
        if stored.leading or stored.lost:
            raise DataError("does not start with a shown key frame; use the decoder pyav")
        timeline = measure(source, stored, frozenset())
        clocked = source.clocked
    wanted = set(stamps)
    if not wanted <= set(timeline.stamps):
        raise DataError(f"has not all the frames that it had; {AGAIN}")
    first = next(read_frames(media, timeline.stamps[:1], straight=True))
    try:
        with media.open() as file:
            reader = decord.VideoReader(file, num_threads=1, fault_tol=_NO_SUBSTITUTES)
        _check(reader, timeline, clocked=clocked)
        turn: Orientation | None = None
        for stamp in timeline.stamps[: timeline.stamps.index(max(wanted)) + 1]:
            image = _channels(reader.next().asnumpy())
            turn = _turn(image, first) if turn is None else turn
            if stamp in wanted:
                pixels = np.ascontiguousarray(turn.undo(image))
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                yield DecodedFrame(stamp, frame, first.aspect, first.orientation)
    except (decord.DECORDError, decord.DECORDLimitReachedError, StopIteration):
        raise DataError("cannot be decoded by decord; use the decoder pyav") from None


def _channels(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """(H, W, 3): in narrow pictures, decord 0.6 gives a row's padding as more channels."""
    height, width, channels = image.shape
    if channels == 3:
        return image
    return image.reshape(height, -1)[:, : 3 * width].reshape(height, width, 3)


def _turn(image: npt.NDArray[np.uint8], first: DecodedFrame) -> Orientation:
    """How decord has turned the first frame: by its file's angle, or not if a stream's tag says it.

    The angle takes a mirrored picture for a turned one.
    """
    stored = first.frame.to_ndarray(format="rgb24", src_colorspace=colorspace(first.frame))
    turns = {Orientation(), first.orientation.rotation()}
    differences = {
        np.abs(turn.undo(image).astype(int) - stored).mean(): turn
        for turn in sorted(turns)
        if turn.undo(image).shape == stored.shape
    }
    if not differences:
        raise DataError("has other sizes of frames for decord; use the decoder pyav")
    return differences[min(differences)]


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
