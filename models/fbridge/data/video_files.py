"""Videos as arrays of frames: reading with the reader of `prepare`, and `write_video`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from fbridge.choices import DECODERS
from fbridge.data.frame_folders import order_fault, sort_frames
from fbridge.data.pictures import load_series, upright_rgb
from fbridge.data.sources.entry import Media
from fbridge.data.video.buckets import Bucket
from fbridge.data.video.clip import decode_clip
from fbridge.data.video.facts import read_facts
from fbridge.data.video.integrity import read_ending
from fbridge.data.video_output import write_video as write_video
from fbridge.data.video_writers import Frames
from fbridge.errors import ConfigError, DataError, DependencyError
from fbridge.files.atomic import shown


@dataclass(frozen=True)
class Video:
    """A decoded video.

    Attributes:
        frames: (F, H, W, 3) uint8 sRGB.
        timestamps: (F,) float64, start of each frame in seconds.
        fps: frames per second on average.
    """

    frames: Frames
    timestamps: npt.NDArray[np.float64]
    fps: float


def read_video(path: Path | str, *, decoder: str = "pyav", limit: int | None = None) -> Video:
    """Decode at most `limit` frames of a video, or of a folder of frames.

    Videos are read as `fbridge prepare` reads them: the frames that are shown, in their
    orientation, with square pixels and with the colours of their tags. With "decord", colours may
    differ by a few levels.

    Raises:
        DataError: the file is missing, damaged, truncated or no video, or cannot be read by this
            decoder.
        DependencyError: the decoder is not installed.
    """
    path = Path(path)
    name = shown(path)
    if decoder not in DECODERS:
        raise ConfigError(f"decoder '{decoder}' is unknown; use {' or '.join(DECODERS)}")
    if not path.exists():
        raise DataError(f"{name}: no such file; check the name and the folder")
    if path.is_dir():
        read: Callable[[Path, int | None], Video] = _read_folder
    else:
        read = _read_webp if path.suffix.lower() == ".webp" else partial(_read_film, decoder)
    try:
        return read(path, limit)
    except DataError as error:
        raise DataError(f"{name}: {error}") from None
    except DependencyError:
        raise
    except Exception as error:  # damaged pictures make Pillow raise anything at all
        raise DataError(f"{name}: is damaged or no video; copy or download it again") from error


def _read_film(decoder: str, path: Path, limit: int | None) -> Video:
    media = Media(str(path))
    with media.open() as file:
        ending = read_ending(file, path.stat().st_size)
    facts = read_facts(media, ending)
    timeline = facts.timeline
    stamps = timeline.stamps[:limit]
    bucket = Bucket(facts.width, facts.height, len(stamps))
    frames = decode_clip(media, stamps, bucket, decoder).frames
    return Video(frames, np.asarray(timeline.times[:limit]), timeline.fps)


def _read_webp(path: Path, limit: int | None) -> Video:
    frames: list[Frames] = []
    starts = [0.0]
    with Image.open(path, formats=["WEBP"]) as picture:
        number = getattr(picture, "n_frames", 1)
        for position in range(number if limit is None else min(limit, number)):
            picture.seek(position)
            frames.append(np.array(upright_rgb(picture)))
            starts.append(starts[-1] + picture.info.get("duration", 0) / 1000)
    fps = len(frames) / starts[-1] if starts[-1] else 1.0
    return Video(np.stack(frames), np.asarray(starts[:-1]), fps)


def _read_folder(path: Path, limit: int | None) -> Video:
    """A folder of frames, at one frame per second."""
    files = sort_frames(path.glob("frame_*.png"))[:limit]
    if not files:
        raise DataError("holds no frame_0000.png; name a video")
    if fault := order_fault(files):
        raise DataError(fault)
    frames = [np.asarray(picture) for picture in load_series(files)]
    return Video(np.stack(frames), np.arange(len(frames), dtype=np.float64), 1.0)
