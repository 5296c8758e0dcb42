"""When the frames of a file are shown, read from its packets without decoding one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import av

from fbridge.data.video.container import AGAIN, Source
from fbridge.data.video.decode import VideoPacket
from fbridge.errors import DataError

_VARIABLE = 0.1
"""Share of a frame's time by which intervals may differ at a constant rate."""


class Timeline(NamedTuple):
    """The frames that are shown, in that order.

    Attributes:
        stamps: the number by which a frame is found again.
        times: seconds after the first, to the microsecond.
        seconds: when the last one ends.
        fps: frames a second on average.
        variable: whether they come at unequal intervals.
    """

    stamps: tuple[int, ...]
    times: tuple[float, ...]
    seconds: float
    fps: float
    variable: bool


def read_timeline(source: Source, *, cut: bool) -> Timeline:
    """Read all packets.

    Args:
        source: the open file, at its start.
        cut: whether the file is known to end too early.

    Raises:
        DataError: when frames are missing at the end, or none is shown.
    """
    stamps: set[int] = set()
    stored, last = 0, None
    for packet in _packets(source):
        stored += 1
        if packet.size == 0:  # AVI: the frame before stays
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


def _packets(source: Source) -> Iterator[VideoPacket]:
    """All packets but the empty one that marks the end; damage ends them early."""
    try:
        for packet in source.container.demux(source.stream):
            if packet.size or packet.dts is not None:
                yield packet
    except MemoryError:
        raise
    except av.FFmpegError:
        return


def _is_hidden(packet: VideoPacket) -> bool:
    """VP8 stores pictures that are only referred to as packets of their own."""
    return packet.stream.codec_context.name == "vp8" and not bytes(packet)[0] & 0x10


def _declared(source: Source) -> int:
    """How many packets the file should have, as far as it says."""
    if "mp4" in source.container.format.name.split(","):
        # An edit list may leave samples out; the index holds what remains.
        return min(source.stream.frames, len(source.stream.index_entries))
    return source.stream.frames if source.clocked else 0


def _measured(source: Source, stamps: list[int]) -> Timeline:
    tick = float(source.stream.time_base or 0)
    times = tuple(round((stamp - stamps[0]) * tick, 6) for stamp in stamps)
    steps = sorted(after - before for before, after in pairwise(times))
    if not steps:
        rate = float(source.stream.average_rate or source.stream.guessed_rate or 1)
        return Timeline(tuple(stamps), times, round(1 / rate, 6), rate, variable=False)
    middle = steps[len(steps) // 2]
    # A clock that counts in coarse ticks rounds: that is no variable rate.
    rounding = tick if tick <= middle / 2 else 0.0
    variable = steps[-1] - steps[0] > max(_VARIABLE * middle, rounding) + 1e-6
    fps = len(steps) / times[-1]
    return Timeline(tuple(stamps), times, round(times[-1] + middle, 6), fps, variable)
