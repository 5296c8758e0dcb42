"""Opens videos with ffmpeg: allowed formats and protocols, memory limits, error messages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import BinaryIO, NamedTuple, Protocol, TypeAlias

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

from fbridge.errors import DataError

MAX_PIXELS = 2**26
"""Maximum pixels of a frame: twice 8K. Larger ones are refused before memory is allocated."""

AGAIN = "copy or download it again"

_OPTIONS = {
    # A playlist named film.mp4 would make ffmpeg open other files and URLs.
    "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,mpegts,mpeg,mpegvideo,flv,"
    "asf,ogg",
    "protocol_whitelist": "none",
    "max_pixels": str(MAX_PIXELS),
    "threads": "1",
}
_DECODING = {"max_pixels": str(MAX_PIXELS), "err_detect": "explode"}

_UNCLOCKED = {"avi"}
"""Formats without timestamps of frames; ffmpeg's guesses are wrong across B-frames."""


VideoPacket: TypeAlias = "Packet[VideoStream]"


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
        tracks: indices of the file's video tracks among its streams, without covers and the like.
    """

    container: InputContainer
    stream: VideoStream
    clocked: bool
    aspect: Fraction
    tracks: tuple[int, ...]


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
                tracks = _tracks(container)
                stream = tracks[0]
                stream.codec_context.thread_count = 1
                stream.codec_context.options = dict(_DECODING)
                aspect = stream.sample_aspect_ratio or Fraction(1)
                sane = Fraction(1, 8) <= aspect <= 8
                clocked = container.format.name not in _UNCLOCKED
                aspect = aspect if sane else Fraction(1)
                indices = tuple(sorted(track.index for track in tracks))
                yield OpenVideo(container, stream, clocked, aspect, indices)
    except (DataError, MemoryError):
        raise
    except av.FFmpegError as error:
        raise DataError(f"is damaged ({error.strerror}); {AGAIN}") from None
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror or error}); {AGAIN}") from None


def demux(source: OpenVideo) -> Iterator[VideoPacket]:
    """All packets of the video track, from the file's position on, and an empty one at the end.

    Raises:
        DataError: the file has a track that begins after others.
    """
    try:
        yield from source.container.demux(source.stream)
    except IndexError:  # PyAV 18.1 finds no stream for the packets of such a track
        raise DataError(
            "is damaged, or has a track that begins in its middle; keep one: "
            "ffmpeg -i IN -map 0:v:0 -c copy OUT.mkv"
        ) from None


def _container(file: BinaryIO) -> InputContainer:
    try:
        return av.open(file, "r", options=_OPTIONS, metadata_errors="replace")
    except (av.InvalidDataError, av.ArgumentError, av.EOFError):
        raise DataError(
            "is no video in a container that is read (MP4, MOV, MKV, WebM, AVI, MPEG, FLV, WMV, "
            f"Ogg, GIF), or cut short so that its index is missing; {AGAIN}, or convert it: "
            "ffmpeg -i IN OUT.mkv"
        ) from None


def _tracks(container: InputContainer) -> list[VideoStream]:
    """The video tracks, the one that is shown first.

    Players show a track that is marked as default (in mp4: enabled), ffmpeg the largest of those.
    A track of a single frame is a picture, as in an animated AVIF before the animation.
    """
    covers = Disposition.attached_pic | Disposition.still_image | Disposition.timed_thumbnails
    tracks = [stream for stream in container.streams.video if not stream.disposition & covers]
    if not tracks:
        sound = "sound and no video" if container.streams.audio else "no video"
        raise DataError(f"holds {sound}; leave it out")
    tracks.sort(key=_rank)
    stream = tracks[0]
    if stream.codec_context is None:
        raise DataError("is encoded in a way that ffmpeg cannot decode; convert it to H.264")
    if not 0 < stream.width * stream.height <= MAX_PIXELS:  # 0: ffmpeg refused to allocate
        raise DataError(
            f"has no frames of up to {MAX_PIXELS} pixels; make them smaller, or convert the file"
        )
    return tracks


def _rank(stream: VideoStream) -> tuple[bool, bool, bool, bool, int, int]:
    """Ascending: decodable, independent, of several frames, default, large, early."""
    decodable = stream.codec_context is not None
    dependent = bool(stream.disposition & Disposition.dependent)
    default = bool(stream.disposition & Disposition.default)
    area = stream.width * stream.height if decodable else 0
    return not decodable, dependent, stream.frames == 1, not default, -area, stream.index
