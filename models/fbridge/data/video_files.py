"""Videos as arrays of frames: atomic writing, and reading with either of two decoders."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import Interpolation
from PIL import Image

from fbridge.data.frame_folders import order_fault, sort_frames
from fbridge.data.pictures import load_series
from fbridge.data.video.with_decord import load_decord
from fbridge.data.video_writers import EXACT, GIF_FASTEST, WRITERS, Frames, colorspace
from fbridge.errors import ConfigError, DataError, DependencyError
from fbridge.files.atomic import replacing, shown, write_failure


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


def write_video(
    frames: Frames,
    path: Path | str,
    fps: float,
    *,
    comment: str | None = None,
    overwrite: bool = True,
) -> None:
    """Write frames (F, H, W, 3) uint8 in the format of the file's suffix: .mp4, .gif or .webp.

    A name without suffix becomes a folder of frame_0000.png, frame_0001.png, ... Writing is atomic,
    and equal frames give equal bytes. Without `overwrite` nothing is replaced.

    Raises:
        ConfigError: for another suffix, a frame rate that the format does not have, or a name that
            is taken.
        DependencyError: the encoder is missing or the file cannot be written.
    """
    path = Path(path)
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or frames.size == 0:
        raise ValueError(f"frames are {frames.dtype} {frames.shape}; uint8 (F, H, W, 3) is needed")
    if not (math.isfinite(fps) and fps > 0):
        raise ValueError(f"fps is {fps}; a positive number is needed")
    kind = path.suffix.lower().removeprefix(".") or "png"
    if kind not in WRITERS or (kind == "png" and path.suffix):
        raise ConfigError(
            f"{shown(path)}: {path.suffix} is not written; use .mp4, .gif, .webp or a folder's name"
        )
    if kind == "gif" and fps > GIF_FASTEST:
        raise ConfigError(
            f"{shown(path)}: a GIF shows up to {GIF_FASTEST} frames a second, not {fps:g}; use mp4"
        )
    with replacing(path, overwrite=overwrite) as hidden:
        try:
            WRITERS[kind](frames, hidden, fps, comment)
        except av.FFmpegError as error:
            raise _encoder_failure(path, error) from error


def read_video(path: Path | str, *, decoder: str = "pyav", limit: int | None = None) -> Video:
    """Decode at most `limit` frames of a video, or of a folder of frames.

    "pyav" reads all that `write_video` writes and applies colour tags and rotation; "decord" reads
    what its own ffmpeg knows, and its colours may differ by a few levels.

    Raises:
        DataError: the file is missing, damaged, truncated or no video.
        DependencyError: the decoder is not installed.
    """
    path = Path(path)
    name = shown(path)
    if decoder not in {"pyav", "decord"}:
        raise ConfigError(f"decoder '{decoder}' is unknown; use pyav or decord")
    if not path.exists():
        raise DataError(f"{name}: no such file; check the name and the folder")
    read = _decoder(path, decoder)
    try:
        video = read(path, limit)
    except (DataError, DependencyError):
        raise
    except Exception as error:  # damaged files make decoders raise anything at all
        way_out = "try the decoder pyav" if decoder == "decord" else "copy or download it again"
        raise DataError(f"{name}: is damaged or no video; {way_out}") from error
    return video


def _encoder_failure(path: Path, error: av.FFmpegError) -> DependencyError:
    if isinstance(error, OSError) and not isinstance(error, av.error.ExternalError):
        return write_failure(path, error)
    return DependencyError(
        f"{shown(path)}: this machine's ffmpeg cannot write it ({error.strerror}); "
        "reinstall the package av, or use another format"
    )


def _decoder(path: Path, decoder: str) -> Callable[[Path, int | None], Video]:
    if path.is_dir():
        return _read_folder
    if decoder == "decord":
        return _read_decord
    return _read_webp if path.suffix.lower() == ".webp" else _read_pyav


def _read_pyav(path: Path, limit: int | None) -> Video:
    frames: list[Frames] = []
    times: list[float] = []
    with av.open(str(path)) as container:
        if not container.streams.video:
            raise DataError(f"{shown(path)}: holds no video; name a video file")
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        fps = float(stream.average_rate or stream.guessed_rate or 0)
        for frame in container.decode(stream):
            if limit is not None and len(frames) == limit:
                break
            if frame.is_corrupt:
                raise DataError(
                    f"{shown(path)}: frame {len(frames)} is damaged; copy or download it again"
                )
            frames.append(_to_rgb(frame))
            times.append(frame.time if frame.pts is not None else len(times) / (fps or 1.0))
        expected = stream.frames if limit is None else min(limit, stream.frames)
    if len(frames) < max(expected, 1):
        raise DataError(
            f"{shown(path)}: is cut short, {len(frames)} of {max(expected, 1)} frames; "
            "copy or download it again"
        )
    if times[-1] > times[0]:
        fps = (len(times) - 1) / (times[-1] - times[0])
    return Video(np.stack(frames), np.asarray(times) - times[0], fps)


def _to_rgb(frame: av.VideoFrame) -> Frames:
    rgb: npt.NDArray[Any] = frame.to_ndarray(
        format="rgb24",
        src_colorspace=colorspace(frame),
        interpolation=Interpolation.BICUBIC | EXACT,
    )
    return np.ascontiguousarray(np.rot90(rgb, frame.rotation // 90)) if frame.rotation else rgb


def _read_decord(path: Path, limit: int | None) -> Video:
    reader = load_decord().VideoReader(str(path), num_threads=1)
    number = len(reader) if limit is None else min(limit, len(reader))
    wanted = list(range(number))
    frames = reader.get_batch(wanted).asnumpy()
    times = reader.get_frame_timestamp(wanted)[:, 0].astype(np.float64)
    return Video(frames, times - times[0], float(reader.get_avg_fps()))


def _read_webp(path: Path, limit: int | None) -> Video:
    frames: list[Frames] = []
    starts = [0.0]
    with Image.open(path, formats=["WEBP"]) as picture:
        number = getattr(picture, "n_frames", 1)
        for position in range(number if limit is None else min(limit, number)):
            picture.seek(position)
            frames.append(np.array(picture.convert("RGB")))
            starts.append(starts[-1] + picture.info.get("duration", 0) / 1000)
    fps = len(frames) / starts[-1] if starts[-1] else 1.0
    return Video(np.stack(frames), np.asarray(starts[:-1]), fps)


def _read_folder(path: Path, limit: int | None) -> Video:
    """A folder of frames, at one frame per second."""
    files = sort_frames(path.glob("frame_*.png"))[:limit]
    if not files:
        raise DataError(f"{shown(path)}: holds no frame_0000.png; name a video")
    if fault := order_fault(files):
        raise DataError(f"{shown(path)}: {fault}")
    frames = [np.asarray(picture) for picture in load_series(files)]
    return Video(np.stack(frames), np.arange(len(frames), dtype=np.float64), 1.0)
