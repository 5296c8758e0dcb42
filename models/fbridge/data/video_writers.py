"""One writer per video format; the same frames always give the same bytes.

Nothing written depends on the time, the number of cores or a library's version, except what an
encoder always puts in its stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TypeAlias, cast

import av
import numpy as np
import numpy.typing as npt
from av.filter import Graph
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation
from PIL import Image

from fbridge.data import metadata

Frames: TypeAlias = npt.NDArray[np.uint8]
"""(F, H, W, 3) uint8 sRGB: a video as pictures."""

Writer: TypeAlias = Callable[[Iterable[Frames], Path, float, "str | None"], None]
"""Of parts of the frames in order, a path, frames per second, and a comment."""

EXACT = Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
"""Without these the scaler rounds down and each round trip darkens the picture by one level."""

GIF_FASTEST = 50
"""Frames per second: browsers slow down GIFs with frames of less than 20 ms."""


def write_mp4(parts: Iterable[Frames], path: Path, fps: float, comment: str | None) -> None:
    """H.264, 4:2:0, tagged BT.709, with the index first.

    Odd sides are padded by repeating the last row or column.
    """
    frames = chain.from_iterable(map(_with_even_sides, parts))
    first = next(frames)
    tick = 1 / Fraction(fps).limit_denominator(1001)
    options = {"movflags": "+faststart", "fflags": "+bitexact"}
    with av.open(str(path), "w", format="mp4", options=options) as container:
        if comment is not None:
            container.metadata["comment"] = comment
        stream = container.add_stream("libx264", rate=1 / tick)
        # mbtree reads uninitialised memory, so that the bytes would differ.
        stream.options = {"crf": "16", "preset": "medium", "threads": "1", "mbtree": "0"}
        stream.width, stream.height = first.shape[1], first.shape[0]
        stream.pix_fmt = "yuv420p"
        codec = stream.codec_context
        codec.color_primaries, codec.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
        codec.colorspace, codec.color_range = Colorspace.ITU709, ColorRange.MPEG
        for position, frame in enumerate(_video_frames(chain([first], frames))):
            planes = frame.reformat(
                format="yuv420p",
                dst_colorspace=Colorspace.ITU709,
                dst_color_range=ColorRange.MPEG,
                interpolation=Interpolation.LANCZOS | EXACT,
            )
            planes.pts, planes.time_base = position, tick
            container.mux(stream.encode(planes))
        container.mux(stream.encode(None))


def write_gif(parts: Iterable[Frames], path: Path, fps: float, comment: str | None) -> None:
    """A looping GIF with one dithered palette for the whole clip."""
    frames = np.concatenate([*parts])
    tick = Fraction(1, 100)
    graph = _gif_graph(frames.shape[2], frames.shape[1], tick)
    starts = _ticks(len(frames), fps, 100)
    for start, frame in zip(starts, _video_frames(frames), strict=False):
        frame.pts, frame.time_base = start, tick
        graph.vpush(frame)
    graph.vpush(None)
    with av.open(str(path), "w", format="gif", options={"loop": "0"}) as container:
        stream = container.add_stream("gif", rate=100)
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "pal8"
        for position in range(len(frames)):
            indexed = graph.vpull()
            indexed.pts, indexed.time_base = starts[position], tick
            for packet in stream.encode(indexed):
                packet.duration = starts[position + 1] - starts[position]
                container.mux(packet)
        container.mux(stream.encode(None))
    if comment is not None:
        path.write_bytes(metadata.with_gif_comment(path.read_bytes(), comment))


def write_webp(parts: Iterable[Frames], path: Path, fps: float, comment: str | None) -> None:
    """A looping animated WebP of quality 90; equal neighbours become one longer frame."""
    pictures = [Image.fromarray(frame) for frames in parts for frame in frames]
    pictures[0].save(
        path,
        format="WEBP",
        save_all=True,
        append_images=pictures[1:],
        duration=np.diff(_ticks(len(pictures), fps, 1000)).tolist(),
        loop=0,
        quality=90,
        method=4,
        exif=b"" if comment is None else metadata.exif_with_comment(comment),
    )


def write_png(parts: Iterable[Frames], path: Path, fps: float, comment: str | None) -> None:
    """A folder of frame_0000.png, ...; each has the comment, none the frame rate."""
    del fps
    path.mkdir()
    for position, frame in enumerate(chain.from_iterable(parts)):
        Image.fromarray(frame).save(
            path / f"frame_{position:04d}.png",
            format="PNG",
            pnginfo=None if comment is None else metadata.png_text(comment),
        )


WRITERS: dict[str, Writer] = {
    "mp4": write_mp4,
    "gif": write_gif,
    "webp": write_webp,
    "png": write_png,
}
"""By format; "png" writes a folder."""


def _with_even_sides(frames: Frames) -> Frames:
    _, height, width, _ = frames.shape
    sides = ((0, 0), (0, height % 2), (0, width % 2), (0, 0))
    return np.pad(frames, sides, mode="edge") if height % 2 or width % 2 else frames


def _video_frames(frames: Iterable[npt.NDArray[np.uint8]]) -> Iterator[av.VideoFrame]:
    for frame in frames:
        yield av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")


def _ticks(number: int, fps: float, per_second: int) -> list[int]:
    """Start of each frame and the end, number + 1 values rounded without drift."""
    return [round(position * per_second / fps) for position in range(number + 1)]


def _gif_graph(width: int, height: int, tick: Fraction) -> Graph:
    """A filter graph: frames in, frames of one common palette out after the last."""
    graph = Graph()
    graph.threads = 1
    source = graph.add_buffer(
        width=width, height=height, format=cast(av.VideoFormat, "rgb24"), time_base=tick
    )
    split = graph.add("split")
    palette = graph.add("palettegen", "reserve_transparent=0")
    use = graph.add("paletteuse", "dither=sierra2_4a:diff_mode=rectangle")
    source.link_to(split)
    split.link_to(palette, 0, 0)
    split.link_to(use, 1, 0)
    palette.link_to(use, 0, 1)
    use.link_to(graph.add("buffersink"))
    graph.configure()
    return graph
