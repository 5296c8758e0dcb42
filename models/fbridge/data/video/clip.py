"""Decodes the frames of one clip at the bucket's size."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fbridge.data.video.buckets import Bucket
from fbridge.data.video.container import Readable
from fbridge.data.video.decode import DecodedFrame, read_frames
from fbridge.data.video.resize import Scaler
from fbridge.data.video.with_decord import read_with_decord
from fbridge.errors import DataError


@dataclass(frozen=True)
class Decoded:
    """A decoded clip.

    Attributes:
        frames: (F, H, W, 3) uint8 sRGB.
        seconds_decode, seconds_resize: time that reading and decoding, and resizing took.
    """

    frames: npt.NDArray[np.uint8]
    seconds_decode: float
    seconds_resize: float


def decode_clip(media: Readable, pts: tuple[int, ...], bucket: Bucket, decoder: str) -> Decoded:
    """Decode the frames with these stamps, in this order, at the bucket's size.

    Raises:
        DataError: a frame is damaged or missing.
        DependencyError: the decoder is not installed.
    """
    if decoder == "decord":
        return _collect(read_with_decord(media, pts), pts, bucket)
    try:
        return _collect(read_frames(media, pts, straight=False), pts, bucket)
    except DataError:
        # Frames that cannot be decoded after a seek may be intact when decoded from the start.
        return _collect(read_frames(media, pts, straight=True), pts, bucket)


def _collect(shots: Iterator[DecodedFrame], pts: tuple[int, ...], bucket: Bucket) -> Decoded:
    scaler = Scaler(bucket)
    frames = np.empty((len(pts), bucket.height, bucket.width, 3), np.uint8)
    places: dict[int, list[int]] = {}
    for place, stamp in enumerate(pts):
        places.setdefault(stamp, []).append(place)
    resizing = 0.0
    start = time.perf_counter()
    for shot in shots:
        before = time.perf_counter()
        frames[places[shot.stamp]] = scaler(shot)
        resizing += time.perf_counter() - before
    return Decoded(frames, time.perf_counter() - start - resizing, resizing)
