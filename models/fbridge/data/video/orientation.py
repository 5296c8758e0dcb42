"""How a stored picture is shown: one of eight orientations, from a display matrix."""

from __future__ import annotations

import gc
from typing import Any, NamedTuple, cast

import av
import numpy as np
import numpy.typing as npt
from av.filter import Graph
from av.sidedata.sidedata import SideDataContainer, Type

_UNKNOWN = range(len(Type), len(Type) + 8)
"""Kinds of side data that PyAV 18.1 does not know, with room for those to come."""
_MOST_HELD = 64 << 20
"""Bytes of frames that may wait for Python's collector of cycles."""


class _Held:
    """How much is held by frames whose side data was looked at.

    PyAV 18.1 makes a cycle of a frame and its side data, so that the frame's pixels stay in memory
    until Python looks for cycles: after 700 new objects, whatever their size. A decoder of 4K would
    hold gigabytes by then.
    """

    def __init__(self) -> None:
        self._bytes = 0

    def look_at(self, frame: av.VideoFrame) -> None:
        """Count a frame; what nobody uses any more is given back where it is too much."""
        self._bytes += sum(plane.buffer_size for plane in frame.planes)
        if self._bytes > _MOST_HELD:
            gc.collect()
            self._bytes = 0


_HELD = _Held()


class Orientation(NamedTuple):
    """The way from a stored picture to the shown one: transposed first, then flipped.

    Attributes:
        transposed: rows become columns.
        flip_x, flip_y: then mirrored left to right, and top to bottom.
    """

    transposed: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @property
    def mirrored(self) -> bool:
        """Whether no rotation alone does it."""
        return sum(self) % 2 == 1

    def rotation(self) -> Orientation:
        """The rotation that ffmpeg's angle makes of it: a mirrored picture loses its reflection."""
        if not self.transposed:
            return Orientation(False, self.flip_x, self.flip_x)
        return Orientation(True, not self.flip_y, self.flip_y)

    def apply(self, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A view of stored pixels (H, W, ...) as they are shown."""
        if self.transposed:
            pixels = pixels.swapaxes(0, 1)
        return pixels[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1]

    def undo(self, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A view of shown pixels (H, W, ...) as they are stored."""
        pixels = pixels[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1]
        return pixels.swapaxes(0, 1) if self.transposed else pixels


def read_orientation(frame: av.VideoFrame) -> Orientation | None:
    """The orientation of a decoded frame, by its file or its stream; None if neither says it.

    `av.VideoFrame.rotation` is an angle: the same for a picture and its mirror image.
    """
    _HELD.look_at(frame)
    try:
        known = cast(SideDataContainer, frame.side_data)
    except ValueError:  # PyAV raises where there is any kind that it does not know, such as EXIF
        known = cast(SideDataContainer, _without_unknown(frame).side_data)
    for data in known:
        if data.type is Type.DISPLAYMATRIX:
            return nearest(np.frombuffer(bytes(data), np.int32))
    return None


def nearest(matrix: npt.NDArray[np.int32]) -> Orientation:
    """The nearest orientation of a display matrix (9,) as ffmpeg has it; upright if it is singular.

    A stored point (x, y), y downwards, is shown at (a x + c y, b x + d y).
    """
    a, b, c, d = (int(matrix[place]) for place in (0, 1, 3, 4))
    if a * d == b * c:
        return Orientation()
    if abs(a * d) >= abs(b * c):
        return Orientation(False, a < 0, d < 0)
    return Orientation(True, c < 0, b < 0)


def _without_unknown(frame: av.VideoFrame) -> av.VideoFrame:
    """The frame with only such side data as PyAV can list."""
    graph = Graph()
    graph.threads = 1
    last = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
    )
    for kind in _UNKNOWN:
        strip = graph.add("sidedata", f"mode=delete:type={kind}")
        last.link_to(strip)
        last = strip
    last.link_to(graph.add("buffersink"))
    graph.configure()
    graph.vpush(frame)
    bare = graph.vpull()
    assert isinstance(bare, av.VideoFrame)
    return bare
