"""The frames of a clip at the size that a protocol keeps, and the same clip made worse on purpose.

Videos and folders of frames go through one scaler, so that the two sides of a metric never differ
by how they were resized: cropped from the middle, bicubic with a kernel as wide as the reduction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fbridge.data.pictures import open_picture
from fbridge.data.video import Bucket, decode_clip
from fbridge.data.video.decode import DecodedFrame
from fbridge.data.video.resize import Scaler
from fbridge.errors import DataError
from fbridge.evaluation.clips.sampling import EvalClip


def read_clip(clip: EvalClip, size: tuple[int, int]) -> Tensor:
    """(T, H, W, 3) uint8 sRGB at `size`, which is (width, height).

    Raises:
        DataError: when a frame is damaged or missing.
    """
    bucket = Bucket(*size, len(clip.pts or clip.pictures))
    if clip.media is not None:
        return torch.from_numpy(decode_clip(clip.media, clip.pts, bucket, "pyav").frames)
    scaler = Scaler(bucket)
    return torch.from_numpy(np.stack([scaler(_shot(path)) for path in clip.pictures]))


def read_picture(path: Path, size: tuple[int, int]) -> Tensor:
    """(1, H, W, 3) uint8: a picture as if it were a clip of one frame.

    Raises:
        DataError: when it cannot be read.
    """
    pixels = np.asarray(open_picture(path).pixels)
    scaled = Scaler(Bucket(*size, 1))(_as_shot(pixels))
    return torch.from_numpy(np.ascontiguousarray(scaled))[None]


def vary(frames: Tensor, variant: str, identity: str) -> Tensor:
    """The clip as `VARIANTS` describes; `identity` decides a shuffle."""
    return VARIANTS[variant](frames, identity)


def _shot(path: Path) -> DecodedFrame:
    try:
        with Image.open(path) as picture:
            return _as_shot(np.asarray(picture.convert("RGB")))
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"{path.name} is damaged or no picture ({error})") from None


def _as_shot(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> DecodedFrame:
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    return DecodedFrame(0, frame, Fraction(1))


def _same(frames: Tensor, _: str) -> Tensor:
    return frames


def _still(frames: Tensor, _: str) -> Tensor:
    return frames[:1].expand_as(frames).contiguous()


def _first(frames: Tensor, _: str) -> Tensor:
    return frames[:1]


def _shuffled(frames: Tensor, identity: str) -> Tensor:
    seed = int.from_bytes(hashlib.blake2b(identity.encode(), digest_size=6).digest(), "big")
    order = torch.randperm(len(frames), generator=torch.Generator().manual_seed(seed))
    return frames[order]


VARIANTS: dict[str, Callable[[Tensor, str], Tensor]] = {
    "": _same,
    "first": _first,
    "still": _still,
    "shuffled": _shuffled,
}
"""The clip itself; its first frame; that one repeated; its frames in an order drawn by its hash."""
