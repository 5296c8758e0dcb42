"""What a video file holds: its frames' times, their size as shown, and what a user should know."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from fbridge.data.video.buckets import Bucket
from fbridge.data.video.colors import has_alpha, hdr, ignored_tag
from fbridge.data.video.container import AGAIN, Readable, opened
from fbridge.data.video.decode import ROUND, DecodedFrame, decodable_before, read_frames
from fbridge.data.video.integrity import Ending
from fbridge.data.video.resize import Scaler, display_size
from fbridge.data.video.timestamps import Timeline, measure, read_stamps
from fbridge.errors import DataError

_ENDINGS = {
    Ending.UNMARKED: "no end mark",
    Ending.FOLLOWED: "another file behind it, which is not read",
}


@dataclass(frozen=True)
class Facts:
    """A video file.

    Attributes:
        codec: of the video track.
        track: its index among the file's streams.
        width, height: as shown: oriented, with square pixels.
        timeline: its frames.
        notes: what is unusual, each as "kind" or "kind: details".
        reading: how the frames are read, where that is not the obvious way.
    """

    codec: str
    track: int
    width: int
    height: int
    timeline: Timeline
    notes: tuple[str, ...]
    reading: tuple[str, ...]


def read_facts(media: Readable, ending: Ending) -> Facts:
    """Read all packets of a video, and decode one frame and convert it to RGB.

    Raises:
        DataError: the file cannot be used: damaged, truncated, no video, ...
    """
    if ending is Ending.INDEX_CUT:
        raise DataError(f"is cut short in its index; {AGAIN}")
    with opened(media) as source:
        stored = read_stamps(source, cut=ending is Ending.CUT)
        codec, track, tracks = source.stream.codec_context.name, source.stream.index, source.tracks
        alpha = source.stream.metadata.get("alpha_mode") == "1"  # of VP8 and VP9, stored apart
    leading = frozenset(stored.leading)
    if leading:
        leading -= decodable_before(media, stored.leading, stored.key)
    with opened(media) as source:
        timeline = measure(source, stored, leading)
    first = next(read_frames(media, timeline.stamps[:1], straight=True))
    Scaler(Bucket(16, 16, 1))(first)
    reading = _reading(first)
    notes = [_ENDINGS[ending]] if ending in _ENDINGS else []
    if len(tracks) > 1:
        notes.append(f"several video tracks: {len(tracks)}, of which stream {track} is used")
        reading += [f"track other than the first: stream {track}"] if track != tracks[0] else []
    if lost := stored.lost + len(leading):
        notes.append(f"frames without their key frame left out: {lost}")
    if timeline.stamps[0] >= ROUND // 2:
        notes.append(f"clock does not always go forward: {_place(timeline)}")
    if hdr(first.frame):
        notes.append(f"HDR ({hdr(first.frame)}) without tone mapping")
    if alpha or (has_alpha(first.frame) and codec != "gif"):  # on white, as ffmpeg reads GIF
        notes.append("transparency ignored")
    width, height = display_size(first)
    return Facts(codec, track, width, height, timeline, (*notes, *reading), tuple(reading))


def _reading(first: DecodedFrame) -> list[str]:
    """How a file with this frame is read, where that is not the obvious way."""
    reading = ["shown mirrored"] if first.orientation.mirrored else []
    if tag := ignored_tag(first.frame):
        reading.append(f"wrong colour tag not used: {tag} for YUV")
    return reading


def _place(timeline: Timeline) -> str:
    """The first frame before which the clock did not go forward."""
    rounds = [round(stamp / ROUND) for stamp in timeline.stamps]
    number = next(k for k, (a, b) in enumerate(pairwise(rounds), start=1) if b > a)
    return f"frame {number}, {timeline.times[number]:.2f} s"
