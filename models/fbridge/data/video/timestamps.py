"""Times of a file's frames, read from its packets without decoding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from statistics import median_high
from typing import NamedTuple

import av

from fbridge.data.video.container import AGAIN, OpenVideo, VideoPacket, demux
from fbridge.data.video.decode import (
    ROUND,
    Addresses,
    from_key_frame,
    is_leading,
    runs,
)
from fbridge.errors import DataError

_VARIABLE = 0.1
"""Share of a frame's duration by which intervals may differ at a constant rate."""


class Timeline(NamedTuple):
    """The frames of a file in the order in which they are shown.

    Attributes:
        stamps: timestamps in the stream's time base, or addresses, by which frames are decoded.
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


class Stored(NamedTuple):
    """The shown frames of a file, by its packets.

    Attributes:
        runs: stamps of the frames in each stretch in which the clock does not go back, ascending.
        leading: the stamps of the first run that are shown before its key frame.
        key: the stamp of that key frame.
        lost: number of frames that cannot be decoded, as the key frame before them is missing.
    """

    runs: tuple[tuple[int, ...], ...]
    leading: tuple[int, ...]
    key: int
    lost: int


def read_stamps(source: OpenVideo, *, cut: bool) -> Stored:
    """The stamps of all shown frames, from all packets.

    Args:
        source: the open file, at its start.
        cut: whether the file is known to be truncated.

    Raises:
        DataError: frames are missing at the end, or there is none.
    """
    tally = _Tally()
    found: list[tuple[int, ...]] = []
    leading: tuple[int, ...] = ()
    first_key = 0
    for packets in runs(source, tally.count(_packets(source))):
        stamps, key = _read_run(source, packets)
        before = tuple(stamp for stamp in stamps if stamp < key)
        if not found:
            leading, first_key = before, key
        else:
            stamps = stamps[len(before) :]
        found.append(tuple(stamps))
    _check_end(source, tally, cut=cut)
    if not any(found):
        raise DataError(f"holds no frame; {AGAIN}")
    return Stored(tuple(found), leading, first_key, tally.shown - sum(map(len, found)))


def measure(source: OpenVideo, stored: Stored, lost: frozenset[int]) -> Timeline:
    """The times of the stored frames, without those that are `lost` at the start.

    Raises:
        DataError: the times cannot be used.
    """
    first = tuple(stamp for stamp in stored.runs[0] if stamp not in lost)
    stamps = [stamp for run in (first, *stored.runs[1:]) for stamp in run]
    if not stamps:
        raise DataError(f"holds no frame that can be decoded; {AGAIN}")
    steps = [after - before for before, after in pairwise(stamps)]
    if min(steps, default=1) > 0:
        return _measured(source, stamps, stamps)
    if not source.clocked or max(map(abs, stamps)) >= ROUND // 2:
        raise DataError("has times that go back; write it anew: ffmpeg -i IN OUT.mp4")
    # Where the clock goes back, the next frame is shown after the usual time.
    usual = median_high([step for step in steps if step >= 0] or [1])
    clock = list(accumulate((step if step >= 0 else usual for step in steps), initial=0))
    address = Addresses()
    return _measured(source, [address(stamp) for stamp in stamps], clock)


class _Tally:
    """Counts the packets that pass through it.

    Attributes:
        stored: all.
        shown: those with a frame that is shown.
        last: the last one with a frame.
    """

    def __init__(self) -> None:
        self.stored = self.shown = 0
        self.last: VideoPacket | None = None

    def count(self, packets: Iterator[VideoPacket]) -> Iterator[VideoPacket]:
        for packet in packets:
            self.stored += 1
            if packet.size == 0:  # AVI: the frame before is repeated
                continue
            self.last = packet
            self.shown += not _is_hidden(packet)
            yield packet


def _read_run(source: OpenVideo, packets: Iterator[VideoPacket]) -> tuple[list[int], int]:
    """The ascending stamps of the frames from the first key frame on, and the key frame's."""
    stamps = []
    key: VideoPacket | None = None
    late = False
    for packet in from_key_frame(packets):
        key = packet if key is None else key
        leading = is_leading(packet, key)
        late = late or not (leading or packet is key)
        if _is_hidden(packet):
            continue
        stamp = packet.pts if source.clocked else packet.dts
        if stamp is not None:
            stamps.append(stamp)
        elif late or not leading:  # Matroska has no times before 0
            raise DataError(
                "has frames without a time; write it anew: "
                "ffmpeg -fflags +genpts -i IN -c copy OUT.mp4"
            )
    start = None if key is None or not source.clocked else key.pts
    return sorted(stamps), -ROUND if start is None else start


def _packets(source: OpenVideo) -> Iterator[VideoPacket]:
    """All packets but the empty one that marks the end; they stop at damage."""
    try:
        for packet in demux(source):
            if packet.size or packet.dts is not None:
                yield packet
    except MemoryError:
        raise
    except av.FFmpegError:
        return


def _is_hidden(packet: VideoPacket) -> bool:
    """Whether its frame is never shown: cut away by an edit list, or a reference frame of VP8."""
    if packet.is_discard:
        return True
    return packet.stream.codec_context.name == "vp8" and not bytes(packet)[0] & 0x10


def _check_end(source: OpenVideo, tally: _Tally, *, cut: bool) -> None:
    declared = _declared(source)
    corrupt = tally.last is not None and tally.last.is_corrupt
    if cut or tally.stored < declared or corrupt:
        whole = tally.stored - corrupt
        of = f"{whole} of {declared}" if declared > whole else f"{whole}"
        raise DataError(f"is cut short, {of} frames are left; {AGAIN}")


def _declared(source: OpenVideo) -> int:
    """How many packets the file should have, as far as its headers say."""
    if "mp4" in source.container.format.name.split(","):
        # An edit list may leave samples out; the index has the rest.
        return min(source.stream.frames, len(source.stream.index_entries))
    return source.stream.frames if source.clocked else 0


def _measured(source: OpenVideo, stamps: Sequence[int], clock: Sequence[int]) -> Timeline:
    """The timeline of frames with these stamps, shown at these ticks."""
    tick = float(source.stream.time_base or 0)
    times = tuple(round((moment - clock[0]) * tick, 6) for moment in clock)
    steps = sorted(after - before for before, after in pairwise(times))
    if not steps:
        rate = float(source.stream.average_rate or source.stream.guessed_rate or 1)
        return Timeline(tuple(stamps), times, round(1 / rate, 6), rate, variable=False)
    if not times[-1]:
        raise DataError("has one time for all frames; write it anew: ffmpeg -r 25 -i IN OUT.mp4")
    middle = steps[len(steps) // 2]
    # Rounding to a coarse time base is no variable rate.
    rounding = tick if tick <= middle / 2 else 0.0
    variable = steps[-1] - steps[0] > max(_VARIABLE * middle, rounding) + 1e-6
    fps = len(steps) / times[-1]
    return Timeline(tuple(stamps), times, round(times[-1] + middle, 6), fps, variable)
