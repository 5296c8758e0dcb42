"""From a decoded frame to the bucket's pixels, resized once."""

from __future__ import annotations

from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import Interpolation, VideoReformatter

from fbridge.data.video.buckets import Bucket, cover_size
from fbridge.data.video.colors import colorspace, unconvertible
from fbridge.data.video.decode import DecodedFrame
from fbridge.data.video_writers import EXACT


def display_size(shot: DecodedFrame) -> tuple[int, int]:
    """(width, height) as shown: in square pixels, in its orientation."""
    wide, high = max(1, round(shot.frame.width * shot.aspect)), shot.frame.height
    return (high, wide) if shot.orientation.transposed else (wide, high)


class Scaler:
    """Resizes frames to cover a bucket, orients them as shown and crops the bucket from the centre.

    Bicubic, with a kernel widened by the reduction against aliasing; one scaler of ffmpeg for all
    frames, whose tables are computed once.
    """

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._scaler = VideoReformatter()

    def __call__(self, shot: DecodedFrame) -> npt.NDArray[np.uint8]:
        """(H, W, 3) of the bucket.

        Raises:
            DataError: the frame cannot be converted to RGB.
        """
        frame = shot.frame
        width, height = cover_size(*display_size(shot), self._bucket)
        transposed = shot.orientation.transposed
        try:
            scaled = self._scaler.reformat(
                frame,
                width=height if transposed else width,
                height=width if transposed else height,
                format="rgb24",
                src_colorspace=colorspace(frame),
                interpolation=Interpolation.BICUBIC | EXACT,
                threads=1,
            )
        except av.FFmpegError as error:
            raise unconvertible(frame, error) from None
        rgb: npt.NDArray[Any] = shot.orientation.apply(scaled.to_ndarray())
        left, top = (width - self._bucket.width) // 2, (height - self._bucket.height) // 2
        return rgb[top : top + self._bucket.height, left : left + self._bucket.width]
