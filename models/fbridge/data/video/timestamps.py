"""Times of a file's frames, read from its packets without decoding."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import av

from fbridge.data.video.container import AGAIN, OpenVideo
from fbridge.data.video.decode import VideoPacket
from fbridge.errors import DataError

_VARIABLE = 0.1
"""Share of a frame's duration by which intervals may differ at a constant rate."""


class Timeline(NamedTuple):
    """The frames of a file in the order in which they are shown.

    Attributes:
        stamps: timestamps in the stream's time base, by which frames are decoded.
        times: seconds after the first frame, rounded to microseconds.
        seconds: end of the last frame.
        fps: frames per second on average.
        variable: whether the intervals are unequal.
    """

    stamps: tuple[int, ...]
    times: tuple[float, ...]
    seconds: float
    fps: float
    variable: bool


def read_timeline(source: OpenVideo, *, cut: bool) -> Timeline:
    """The frames' times, from all packets.

    Args:
        source: the open file, at its start.
        cut: whether the file is known to be truncated.

    Raises:
        DataError: frames are missing at the end, or there is none.
    """
    stamps: set[int] = set()
    stored, last = 0, None
    for packet in _packets(source):
        stored += 1
        if packet.size == 0:  # AVI: the frame before is repeated
            continue
        last = packet
        if packet.is_discard or _is_hidden(packet):
            continue
        stamp = packet.pts if source.clocked else packet.dts
        if stamp is None:
            raise DataError(
                "has frames without a time; write it anew: "
                "ffmpeg -fflags +genpts -i IN -c copy OUT.mp4"
            )
        stamps.add(stamp)
    declared = _declared(source)
    if cut or stored < declared or (last is not None and last.is_corrupt):
        whole = stored - (last is not None and last.is_corrupt)
        of = f"{whole} of {declared}" if declared > whole else f"{whole}"
        raise DataError(f"is cut short, {of} frames are left; {AGAIN}")
    if not stamps:
        raise DataError(f"holds no frame; {AGAIN}")
    return _measured(source, sorted(stamps))


def _packets(source: OpenVideo) -> Iterator[VideoPacket]:
    """All packets but the empty one that marks the end; they stop at damage."""
    try:
        for packet in source.container.demux(source.stream):
            if packet.size or packet.dts is not None:
                yield packet
    except MemoryError:
        raise
    except av.FFmpegError:
        return


def _is_hidden(packet: VideoPacket) -> bool:
    """VP8 stores reference frames that are never shown as packets of their own."""
    return packet.stream.codec_context.name == "vp8" and not bytes(packet)[0] & 0x10


def _declared(source: OpenVideo) -> int:
    """How many packets the file should have, as far as its headers say."""
    if "mp4" in source.container.format.name.split(","):
        # An edit list may leave samples out; the index has the rest.
        return min(source.stream.frames, len(source.stream.index_entries))
    return source.stream.frames if source.clocked else 0


def _measured(source: OpenVideo, stamps: list[int]) -> Timeline:
    tick = float(source.stream.time_base or 0)
    times = tuple(round((stamp - stamps[0]) * tick, 6) for stamp in stamps)
    steps = sorted(after - before for before, after in pairwise(times))
    if not steps:
        rate = float(source.stream.average_rate or source.stream.guessed_rate or 1)
        return Timeline(tuple(stamps), times, round(1 / rate, 6), rate, variable=False)
    middle = steps[len(steps) // 2]
    # Rounding to a coarse time base is no variable rate.
    rounding = tick if tick <= middle / 2 else 0.0
    variable = steps[-1] - steps[0] > max(_VARIABLE * middle, rounding) + 1e-6
    fps = len(steps) / times[-1]
    return Timeline(tuple(stamps), times, round(times[-1] + middle, 6), fps, variable)
