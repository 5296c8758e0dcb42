"""Writing videos, atomically."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import av
import numpy as np

from fbridge.data.video_writers import GIF_FASTEST, WRITERS, Frames
from fbridge.errors import ConfigError, DependencyError
from fbridge.files.atomic import replacing, shown, write_failure


def write_video(
    frames: Frames | Iterable[Frames],
    path: Path | str,
    fps: float,
    *,
    comment: str | None = None,
    overwrite: bool = True,
) -> None:
    """Write frames in the format of the file's suffix: .mp4, .gif or .webp.

    A name without suffix becomes a folder of frame_0000.png, frame_0001.png, ... Writing is atomic,
    and equal frames give equal bytes. Without `overwrite` nothing is replaced.

    Args:
        frames: (F, H, W, 3) uint8, or parts of them in order, which an mp4 encodes as they come.
        path: of the file or folder.
        fps: frames per second.
        comment: text in the file's metadata.
        overwrite: see above.

    Raises:
        ConfigError: for another suffix, a frame rate that the format does not have, or a name that
            is taken.
        DependencyError: the encoder is missing or the file cannot be written.
    """
    path = Path(path)
    parts = map(_checked, [frames] if isinstance(frames, np.ndarray) else frames)
    first = next(parts, None)
    if first is None:
        raise ValueError("there are no frames")
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
            WRITERS[kind](chain([first], parts), hidden, fps, comment)
        except av.FFmpegError as error:
            raise _encoder_failure(path, error) from error


def _checked(frames: Frames) -> Frames:
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or frames.size == 0:
        raise ValueError(f"frames are {frames.dtype} {frames.shape}; uint8 (F, H, W, 3) is needed")
    return frames


def _encoder_failure(path: Path, error: av.FFmpegError) -> DependencyError:
    if isinstance(error, OSError) and not isinstance(error, av.error.ExternalError):
        return write_failure(path, error)
    return DependencyError(
        f"{shown(path)}: this machine's ffmpeg cannot write it ({error.strerror}); "
        "reinstall the package av, or use another format"
    )
