"""Decodes frames of a file by timestamp, from the key frame before the first to the last."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import chain
from typing import NamedTuple, TypeAlias

import av
from av.packet import Packet
from av.video.stream import VideoStream

from fbridge.data.video.container import AGAIN, OpenVideo, Readable, opened
from fbridge.errors import DataError

VideoPacket: TypeAlias = "Packet[VideoStream]"

_SKIPPING = {"h264", "hevc"}
"""Codecs whose decoder can skip single non-reference frames."""


class DecodedFrame(NamedTuple):
    """One decoded frame.

    Attributes:
        stamp: as in `timestamps.Timeline`.
        frame: not yet rotated or resized.
        aspect: width of a pixel divided by its height.
    """

    stamp: int
    frame: av.VideoFrame
    aspect: Fraction


def read_frames(
    media: Readable, stamps: Sequence[int], *, straight: bool
) -> Iterator[DecodedFrame]:
    """The frames with these stamps, once each, in the order in which they are shown.

    Args:
        media: the file.
        stamps: of the frames.
        straight: decode every frame from the start, without seeking and skipping.

    Raises:
        DataError: a frame is damaged or missing.
    """
    missing = set(stamps)
    with opened(media) as source:
        hurried = source.clocked and not straight
        packets = _packets(source, min(missing) if hurried else None)
        for stamp, frame in _decode(source, packets, missing if hurried else None):
            if stamp not in missing:
                continue
            if frame.is_corrupt:
                raise _damaged(source, stamp)
            missing.remove(stamp)
            yield DecodedFrame(stamp, frame, source.aspect)
            if not missing:
                return
        raise DataError(f"has no frame at {_seconds(source, min(missing))}; {AGAIN}")


def _packets(source: OpenVideo, first: int | None) -> Iterator[VideoPacket]:
    """The packets needed for `first` and all frames after it; all packets if it is None."""
    packets = (packet for packet in source.container.demux(source.stream) if packet.size)
    if first is None or first <= (source.stream.start_time or 0):
        yield from packets
        return
    source.container.seek(first, stream=source.stream)
    head = next((packet for packet in packets if packet.is_keyframe), None)
    if head is None or head.pts is None or head.pts > first:
        raise DataError("cannot be decoded from the middle; decode it from the start")
    yield head
    for packet in packets:
        # Shown before the key frame but stored after it: needs frames before the key frame.
        if packet.pts is None or packet.pts > head.pts:
            yield packet


def _decode(
    source: OpenVideo, packets: Iterator[VideoPacket], wanted: set[int] | None
) -> Iterator[tuple[int | None, av.VideoFrame]]:
    """Stamp and frame of all decoded frames; if `wanted`, others are skipped where possible."""
    codec = source.stream.codec_context
    skips = wanted is not None and codec.name in _SKIPPING
    ranks: deque[int | None] = deque()
    for packet in chain(packets, [None]):
        if skips and packet is not None:
            needed = wanted is None or packet.pts is None or packet.pts in wanted
            codec.skip_frame = "DEFAULT" if needed else "NONREF"
        if packet is not None:
            ranks.append(packet.dts)
        try:
            frames = source.stream.decode(packet)
        except MemoryError:
            raise
        except av.FFmpegError:
            raise _damaged(source, packet.pts if packet is not None else None) from None
        for frame in frames:
            yield frame.pts if source.clocked else ranks.popleft(), frame


def _damaged(source: OpenVideo, stamp: int | None) -> DataError:
    where = "its end" if stamp is None else _seconds(source, stamp)
    return DataError(f"is damaged at {where}; {AGAIN}")


def _seconds(source: OpenVideo, stamp: int) -> str:
    start = source.stream.start_time or 0
    return f"{float((stamp - start) * (source.stream.time_base or 0)):.2f} s"
