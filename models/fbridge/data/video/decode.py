"""Decodes frames of a file by timestamp, from the key frame before the first to the last."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import chain, groupby
from typing import NamedTuple

import av

from fbridge.data.video.container import AGAIN, OpenVideo, Readable, VideoPacket, demux, opened
from fbridge.data.video.orientation import Orientation, read_orientation
from fbridge.errors import DataError

ROUND = 1 << 62
"""Where a file's clock goes back or stands still, several frames may have one stamp. A frame of
such a file is addressed by its stamp + ROUND * k with k > 0, which `Addresses` counts. In all other
files a frame's address is its stamp."""

_SKIPPING = {"h264", "hevc"}
"""Codecs whose decoder can skip single non-reference frames."""


_REORDERED = 1
"""Seconds; 16 frames, the most that a codec reorders, take 0.64 s at 25 frames a second."""

_STORES_BOTH = {"mpegts", "flv"}
"""Formats that store decoding timestamps, which never go back in one recording."""


class DecodedFrame(NamedTuple):
    """One decoded frame.

    Attributes:
        stamp: as in `timestamps.Timeline`.
        frame: not yet oriented or resized.
        aspect: width of a pixel divided by its height.
        orientation: in which it is shown.
    """

    stamp: int
    frame: av.VideoFrame
    aspect: Fraction
    orientation: Orientation = Orientation()


class Addresses:
    """Addresses of frames, one after the other as they are shown, in a file that needs them."""

    def __init__(self) -> None:
        self._rounds, self._last = 1, -ROUND

    def __call__(self, stamp: int) -> int:
        """The address of the next frame: `k` grows where the clock did not go forward."""
        self._rounds += stamp <= self._last
        self._last = stamp
        return stamp + ROUND * self._rounds


def read_frames(
    media: Readable, stamps: Sequence[int], *, straight: bool
) -> Iterator[DecodedFrame]:
    """The frames with these stamps, once each, in the order in which they are shown.

    Args:
        media: the file.
        stamps: of the frames, or their addresses.
        straight: decode every frame from the start, without seeking and skipping.

    Raises:
        DataError: a frame is damaged or missing.
    """
    missing = set(stamps)
    address = Addresses() if max(missing) >= ROUND // 2 else None
    orientation = Orientation()
    with opened(media) as source:
        hurried = source.clocked and not straight and address is None
        packets = _packets(source, min(missing) if hurried else None)
        decoded = _decode(source, packets, missing if hurried else None)
        for number, (stamp, frame) in enumerate(decoded):
            if number == 0 or frame.key_frame:  # where a stream says it; a file says it everywhere
                orientation = read_orientation(frame) or orientation
            place = stamp if address is None or stamp is None else address(stamp)
            if place not in missing:
                continue
            if frame.is_corrupt:
                raise _damaged(source, stamp)
            missing.remove(place)
            yield DecodedFrame(place, frame, source.aspect, orientation)
            if not missing:
                return
        raise DataError(f"has no frame at {_seconds(source, min(missing))}; {AGAIN}")


def decodable_before(media: Readable, stamps: Sequence[int], key: int) -> frozenset[int]:
    """Those of the frames with `stamps` that are whole; the first key frame is shown after them.

    Such frames are stored after the key frame with the stamp `key`. They are whole if they need no
    frame from before it, which may not be in the file.

    Raises:
        DataError: the key frame is damaged.
    """
    found: set[int] = set()
    with opened(media) as source:
        for stamp, frame in _decode(source, _packets(source, None), None):
            if stamp is None:
                continue
            if stamp >= key:
                break
            if stamp in stamps and not frame.is_corrupt:
                found.add(stamp)
    return frozenset(found)


def runs(source: OpenVideo, packets: Iterator[VideoPacket]) -> Iterator[Iterator[VideoPacket]]:
    """The stretches of packets in which the clock does not go back.

    There are several in recordings that were joined or restarted. Where ffmpeg guesses decoding
    timestamps, which may go back a little among reordered frames, a stretch begins with a key
    frame, or more than `_REORDERED` seconds earlier.
    """
    stored = source.container.format.name in _STORES_BOTH
    tolerated = 0 if stored else int(_REORDERED / (source.stream.time_base or 1))
    number, last = 0, -ROUND

    def run(packet: VideoPacket) -> int:
        nonlocal number, last
        latest = packet.pts if packet.dts is None else packet.dts  # no frame is shown before
        back = 0 if latest is None else last - latest
        if back > (0 if packet.is_keyframe else tolerated):
            number, last = number + 1, -ROUND
        last = last if packet.dts is None else packet.dts
        return number

    for _, group in groupby(packets, run):
        yield group


def from_key_frame(packets: Iterator[VideoPacket]) -> Iterator[VideoPacket]:
    """The packets from the first key frame on; all of them if none is marked as one."""
    before = []
    for packet in packets:
        if packet.is_keyframe:
            yield packet
            yield from packets
            return
        before.append(packet)
    yield from before


def is_leading(packet: VideoPacket, key: VideoPacket | None) -> bool:
    """Whether a packet is shown before `key` but stored after it: it may need earlier frames."""
    if key is None or key.pts is None or packet is key:
        return False
    return packet.pts is None or packet.pts < key.pts


def _packets(source: OpenVideo, first: int | None) -> Iterator[VideoPacket]:
    """The packets needed for `first` and all frames after it; all packets if it is None."""
    packets = (packet for packet in demux(source) if packet.size)
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
    for number, run in enumerate(runs(source, packets)):
        if number:  # the decoder was drained
            codec.flush_buffers()
        yield from _decode_run(source, from_key_frame(run), wanted)


def _decode_run(
    source: OpenVideo, packets: Iterator[VideoPacket], wanted: set[int] | None
) -> Iterator[tuple[int | None, av.VideoFrame]]:
    codec = source.stream.codec_context
    skips = wanted is not None and codec.name in _SKIPPING
    ranks: deque[int | None] = deque()
    key: VideoPacket | None = None
    for packet in chain(packets, [None]):
        if packet is not None:
            key = packet if key is None else key
            ranks.append(packet.dts)
            if skips:
                needed = wanted is None or packet.pts is None or packet.pts in wanted
                codec.skip_frame = "DEFAULT" if needed else "NONREF"
        try:
            frames = source.stream.decode(packet)
        except MemoryError:
            raise
        except av.FFmpegError:
            if source.clocked and packet is not None and is_leading(packet, key):
                continue
            raise _damaged(source, packet.pts if packet is not None else None) from None
        for frame in frames:
            yield frame.pts if source.clocked else ranks.popleft(), frame


def _damaged(source: OpenVideo, stamp: int | None) -> DataError:
    where = "its end" if stamp is None else _seconds(source, stamp)
    return DataError(f"is damaged at {where}; {AGAIN}")


def _seconds(source: OpenVideo, stamp: int) -> str:
    """The time of a stamp or an address."""
    start = source.stream.start_time or 0
    stamp -= ROUND * round(stamp / ROUND)
    return f"{float((stamp - start) * (source.stream.time_base or 0)):.2f} s"
