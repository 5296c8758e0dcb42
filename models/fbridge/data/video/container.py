"""Opens videos with ffmpeg: allowed formats and protocols, memory limits, error messages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import BinaryIO, NamedTuple, Protocol

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from fbridge.errors import DataError

MAX_PIXELS = 2**26
"""Maximum pixels of a frame: twice 8K. Larger ones are refused before memory is allocated."""

AGAIN = "copy or download it again"

_OPTIONS = {
    # A playlist named film.mp4 would make ffmpeg open other files and URLs.
    "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,mpegts,mpeg,flv,asf,ogg",
    "protocol_whitelist": "none",
    "max_pixels": str(MAX_PIXELS),
    "threads": "1",
}
_DECODING = {"max_pixels": str(MAX_PIXELS), "err_detect": "explode"}

_UNCLOCKED = {"avi"}
"""Formats without timestamps of frames; ffmpeg's guesses are wrong across B-frames."""


class Readable(Protocol):
    """A video's bytes, which can be opened repeatedly and in any process."""

    def open(self) -> BinaryIO:
        """A seekable stream of all bytes."""


class OpenVideo(NamedTuple):
    """An open video.

    Attributes:
        container: the file.
        stream: its video stream.
        clocked: whether the file has presentation timestamps. If not, the stamp of the n-th frame
            shown is the decoding timestamp of the n-th packet.
        aspect: width of a pixel divided by its height.
    """

    container: InputContainer
    stream: VideoStream
    clocked: bool
    aspect: Fraction


@contextmanager
def opened(media: Readable) -> Iterator[OpenVideo]:
    """Open a video for decoding in one thread; damaged frames are errors.

    Raises:
        DataError: it is no video, or ffmpeg fails while it is open.
    """
    try:
        with media.open() as file:
            if not file.read(1):
                raise DataError(f"is empty; {AGAIN}")
            file.seek(0)
            with _container(file) as container:
                stream = _pictures(container)
                stream.codec_context.thread_count = 1
                stream.codec_context.options = dict(_DECODING)
                aspect = stream.sample_aspect_ratio or Fraction(1)
                sane = Fraction(1, 8) <= aspect <= 8
                clocked = container.format.name not in _UNCLOCKED
                yield OpenVideo(container, stream, clocked, aspect if sane else Fraction(1))
    except (DataError, MemoryError):
        raise
    except av.FFmpegError as error:
        raise DataError(f"is damaged ({error.strerror}); {AGAIN}") from None
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror or error}); {AGAIN}") from None


def display_size(width: int, height: int, aspect: Fraction, rotation: int) -> tuple[int, int]:
    """(width, height) as shown: in square pixels, after rotation."""
    wide = max(1, round(width * aspect))
    return (height, wide) if quarter_turns(rotation) % 2 else (wide, height)


def quarter_turns(rotation: int) -> int:
    """Degrees counter-clockwise as a number of quarter turns."""
    return round(rotation / 90)


def _container(file: BinaryIO) -> InputContainer:
    try:
        return av.open(file, "r", options=_OPTIONS, metadata_errors="replace")
    except (av.InvalidDataError, av.ArgumentError):
        raise DataError(
            f"is no video, or cut short so that its index is missing; {AGAIN}"
        ) from None


def _pictures(container: InputContainer) -> VideoStream:
    covers = Disposition.attached_pic | Disposition.still_image
    streams = [stream for stream in container.streams.video if not stream.disposition & covers]
    if not streams:
        sound = "sound and no video" if container.streams.audio else "no video"
        raise DataError(f"holds {sound}; leave it out")
    stream = streams[0]
    if stream.codec_context is None:
        raise DataError("is encoded in a way that ffmpeg cannot decode; convert it to H.264")
    if not 0 < stream.width * stream.height <= MAX_PIXELS:  # 0: ffmpeg refused to allocate
        raise DataError(f"has no frames of up to {MAX_PIXELS} pixels; make them smaller")
    return stream
