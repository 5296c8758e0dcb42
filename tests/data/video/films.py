"""Small encoded videos whose every frame carries its number, and damaged copies of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, cast

import av
import numpy as np
import numpy.typing as npt

Frames = npt.NDArray[np.uint8]

BITS = 8
COLUMNS = 4
EXTENT = 0.5
"""The barcode's width as a share of the picture's shorter side."""


@dataclass(frozen=True)
class Film:
    """What can be opened as often as one likes, as a file or as a window into one."""

    path: Path
    offset: int = 0
    size: int | None = None

    def open(self) -> BinaryIO:
        if self.offset == 0 and self.size is None:
            return self.path.open("rb")
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return BytesIO(file.read(self.size))


def picture(number: int, width: int, height: int) -> Frames:
    """A coloured ground that drifts, and two rows of four blocks: `number` in binary."""
    across, down = np.meshgrid(np.arange(width), np.arange(height))
    red = 60 + 120 * across / width
    green = 128 + 60 * np.sin((across + 3 * number) / 17)
    blue = 60 + 120 * down / height
    image = np.stack([red, green, blue], -1).round().astype(np.uint8)
    for bit, (rows, columns) in enumerate(_blocks(width, height, min(width, height) * EXTENT)):
        image[rows, columns] = 255 if number >> bit & 1 else 0
    return image


def film(numbers: Sequence[int] | int, width: int = 176, height: int = 144) -> Frames:
    """Frames with these numbers, or with 0, 1, ... so many."""
    numbers = range(numbers) if isinstance(numbers, int) else numbers
    return np.stack([picture(number, width, height) for number in numbers])


def read_number(image: Frames, width: int, height: int) -> int:
    """The number in a picture that was cut from the middle of width x height and resized."""
    scale = max(image.shape[1] / width, image.shape[0] / height)
    number = 0
    blocks = _blocks(image.shape[1], image.shape[0], min(width, height) * EXTENT * scale)
    for bit, (rows, columns) in enumerate(blocks):
        block = image[rows, columns].astype(float)
        inner = block[block.shape[0] // 4 : -(block.shape[0] // 4) or None]
        mean = inner[:, inner.shape[1] // 4 : -(inner.shape[1] // 4) or None].mean()
        assert mean < 90 or mean > 165, f"block {bit} of the barcode is {mean:.0f}, neither colour"
        number |= (mean > 127) << bit
    return int(number)


def read_numbers(frames: Frames, width: int = 176, height: int = 144) -> list[int]:
    """`read_number` of each frame."""
    return [read_number(frame, width, height) for frame in frames]


def encode(
    path: Path,
    frames: Frames,
    *,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    fps: int = 24,
    pts: Sequence[int] | None = None,
    tick: Fraction | None = None,
    options: Mapping[str, str] | None = None,
    muxer: Mapping[str, str] | None = None,
    aspect: Fraction | None = None,
) -> Film:
    """Encode frames (F, H, W, 3); `pts` in ticks, one per frame, instead of a constant rate."""
    defaults = {"libx264": {"bf": "2", "g": "12", "crf": "16", "preset": "veryfast"}}
    tick = tick or Fraction(1, fps)
    with av.open(str(path), "w", options=dict(muxer or {})) as container:
        stream = cast(Any, container.add_stream(cast(Any, codec), rate=fps))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixels
        stream.options = {"threads": "1", **defaults.get(codec, {}), **(options or {})}
        stream.codec_context.time_base = tick
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        for position, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame = frame.reformat(format="rgb8" if pixels == "rgb8" else pixels)
            frame.pts = position if pts is None else pts[position]
            frame.time_base = tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return Film(path)


def encode_audio(path: Path, *, cover: bool = False) -> Film:
    """A second of silence, with a cover picture if asked."""
    with av.open(str(path), "w") as container:
        stream = cast(Any, container.add_stream("aac", rate=44100))
        art = cast(Any, container.add_stream("mjpeg", rate=1)) if cover else None
        if art is not None:
            art.width, art.height, art.pix_fmt = 64, 64, "yuvj420p"
            art.disposition = av.stream.Disposition.attached_pic
            frame = av.VideoFrame.from_ndarray(picture(1, 64, 64), format="rgb24")
            container.mux(art.encode(frame.reformat(format="yuvj420p")))
            container.mux(art.encode(None))
        for position in range(20):
            silence = av.AudioFrame.from_ndarray(
                np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
            )
            silence.sample_rate, silence.pts = 44100, position * 1024
            container.mux(stream.encode(silence))
        container.mux(stream.encode(None))
    return Film(path)


def orient(source: Film, a: int, b: int, c: int, d: int) -> Film:
    """A copy of an mp4 in which (x, y) is shown at (a x + c y, b x + d y), y downwards."""
    data = bytearray(source.path.read_bytes())
    start = data.index(b"tkhd") + 4 + 40
    for place, value in ((0, a), (4, b), (12, c), (16, d)):
        data[start + place : start + place + 4] = (value << 16).to_bytes(4, "big", signed=True)
    copy = source.path.with_name(f"shown-{a}{b}{c}{d}-{source.path.name}")
    copy.write_bytes(data)
    return Film(copy)


def rotate(source: Film, degrees: int) -> Film:
    """A copy of an mp4 that is shown turned counter-clockwise."""
    cosine, sine = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    return orient(source, cosine, -sine, sine, cosine)


def copy_packets(
    sources: Sequence[Film], path: Path, *, key: int = 0, default: Sequence[int] = (0,)
) -> Film:
    """Copy the packets from the n-th key frame on, each source as a track of its own."""
    with av.open(str(path), "w") as target:
        inputs = [av.open(str(source.path)) for source in sources]
        tracks = [target.add_stream_from_template(one.streams.video[0]) for one in inputs]
        for number, track in enumerate(tracks):
            track.disposition = av.stream.Disposition(int(number in default))
        for one, track in zip(inputs, tracks, strict=True):
            seen = -1
            for packet in one.demux(video=0):
                seen += packet.is_keyframe
                if packet.size and seen >= key:
                    packet.stream = track
                    target.mux(packet)
            one.close()
    return Film(path)


def flip(source: Film, share: float = 0.5, number: int = 64) -> Film:
    """A copy in which bytes from `share` of the file on are others."""
    data = bytearray(source.path.read_bytes())
    start = int(len(data) * share)
    data[start : start + number] = bytes(byte ^ 0x5A for byte in data[start : start + number])
    copy = source.path.with_name(f"flipped-{source.path.name}")
    copy.write_bytes(data)
    return Film(copy)


def window(source: Film) -> Film:
    """The same file in the middle of a larger one, as in an archive."""
    data = source.path.read_bytes()
    whole = source.path.with_name(f"window-{source.path.name}.tar")
    whole.write_bytes(b"\x17" * 1536 + data + b"\x42" * 1024)
    return Film(whole, 1536, len(data))


def cut_short(source: Film, share: float) -> Film:
    """A copy that ends after `share` of the bytes."""
    data = source.path.read_bytes()
    copy = source.path.with_name(f"cut-{source.path.name}")
    copy.write_bytes(data[: int(len(data) * share)])
    return Film(copy)


UNEVEN = [sum((1, 3, 1, 2)[k % 4] for k in range(n)) for n in range(40)]

KINDS: dict[str, dict[str, Any]] = {
    "plain.mp4": {},
    "front.mp4": {"muxer": {"movflags": "+faststart"}},
    "fragments.mp4": {"muxer": {"movflags": "+frag_keyframe+empty_moov"}},
    "film.mkv": {},
    "film.ts": {},
    "film.flv": {},
    "open.mp4": {
        "options": {"g": "15", "bf": "3", "x264-params": "open-gop=1:scenecut=0:b-adapt=0"}
    },
    "refresh.mp4": {"options": {"g": "15", "x264-params": "intra-refresh=1"}},
    "hevc.mp4": {
        "codec": "libx265",
        "options": {"x265-params": "log-level=none:keyint=15:bframes=4:open-gop=1"},
    },
    "vp9.webm": {
        "codec": "libvpx-vp9",
        "options": {"cpu-used": "8", "deadline": "realtime", "g": "20"},
    },
    "vp8.webm": {"codec": "libvpx", "options": {"cpu-used": "8", "deadline": "realtime"}},
    "mpeg4.avi": {"codec": "mpeg4", "options": {"b": "2M"}},
    "mpeg4-b.avi": {"codec": "mpeg4", "options": {"b": "2M", "bf": "2"}},
    "h264-b.avi": {},
    "odd.avi": {"codec": "mpeg4", "options": {"b": "2M"}, "size": (175, 143)},
    "odd.mp4": {"pixels": "yuv444p", "size": (175, 143)},
    "film.gif": {"codec": "gif", "pixels": "rgb8", "fps": 25},
    "deep.mp4": {"pixels": "yuv420p10le"},
    "late.mp4": {"pts": [48 + n for n in range(40)]},
    "late.mkv": {"pts": [48 + n for n in range(40)]},
    "uneven.mp4": {"pts": UNEVEN},
    "edited.mp4": {"pts": [n - 5 for n in range(40)]},
    "wide-pixels.mp4": {"aspect": Fraction(4, 3)},
}
"""Films of 40 frames by the name of the file; what is not said is as `encode` has it."""


def make(name: str, folder: Path) -> Film:
    """Encode one of `KINDS`."""
    kind = dict(KINDS[name])
    width, height = kind.pop("size", (176, 144))
    return encode(folder / name, film(40, width, height), **kind)


def _blocks(width: int, height: int, extent: float) -> list[tuple[slice, slice]]:
    """Where the blocks lie when the barcode is `extent` wide, half as high, in the middle."""
    side = extent / COLUMNS
    left, top = (width - extent) / 2, height / 2 - side
    corners = [
        (top + side * (bit // COLUMNS), left + side * (bit % COLUMNS)) for bit in range(BITS)
    ]
    return [
        (slice(round(y), round(y + side)), slice(round(x), round(x + side))) for y, x in corners
    ]
