"""Read the frames of a clip at the size of a protocol, and make variants of them as baselines.

Videos and folders of frames are resized by one scaler, so that the two sides of a metric never
differ in it: cropped from the middle, bicubic with a kernel as wide as the reduction.
"""

from __future__ import annotations

import hashlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from torch import Tensor

from fbridge.data.pictures import load_picture, load_series
from fbridge.data.video import Bucket, decode_clip
from fbridge.data.video.decode import DecodedFrame
from fbridge.data.video.resize import Scaler
from fbridge.evaluation.clips.sampling import EvalClip


def read_clip(clip: EvalClip, size: tuple[int, int]) -> Tensor:
    """(T, H, W, 3) uint8 sRGB at `size`, which is (width, height).

    Raises:
        DataError: a frame is damaged or missing.
    """
    bucket = Bucket(*size, len(clip.pts or clip.pictures))
    if clip.media is not None:
        return torch.from_numpy(decode_clip(clip.media, clip.pts, bucket, "pyav").frames)
    scaler = Scaler(bucket)
    frames = (_as_frame(np.asarray(picture)) for picture in load_series(clip.pictures))
    return torch.from_numpy(np.stack([scaler(frame) for frame in frames]))


def read_picture(path: Path, size: tuple[int, int]) -> Tensor:
    """(1, H, W, 3) uint8: a picture, read like a clip of one frame.

    Raises:
        DataError: it cannot be read.
    """
    pixels = np.asarray(load_picture(path))
    scaled = Scaler(Bucket(*size, 1))(_as_frame(pixels))
    return torch.from_numpy(np.ascontiguousarray(scaled))[None]


def vary(frames: Tensor, variant: str, identity: str) -> Tensor:
    """A variant of the frames (T, H, W, 3) of a clip.

    Args:
        frames: of the clip.
        variant: "" for the clip itself, "first" for its first frame, "still" for that frame
            repeated, "shuffled" for its frames in a random order.
        identity: the clip's hash, which seeds the order.
    """
    match variant:
        case "":
            return frames
        case "first":
            return frames[:1]
        case "still":
            return frames[:1].expand_as(frames).contiguous()
        case "shuffled":
            seed = int.from_bytes(hashlib.blake2b(identity.encode(), digest_size=6).digest(), "big")
            order = torch.randperm(len(frames), generator=torch.Generator().manual_seed(seed))
            return frames[order]
    raise ValueError(f"no variant {variant!r}; there are '', first, still and shuffled")


def _as_frame(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> DecodedFrame:
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    return DecodedFrame(0, frame, Fraction(1))
