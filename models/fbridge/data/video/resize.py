"""From a decoded frame to the bucket's pixels, resized once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from av.video.reformatter import Interpolation, VideoReformatter

from fbridge.data.video.buckets import Bucket, cover_size
from fbridge.data.video.container import display_size, quarter_turns
from fbridge.data.video.decode import DecodedFrame
from fbridge.data.video_writers import EXACT, colorspace


class Scaler:
    """Resizes frames to cover a bucket, rotates them as shown and crops the bucket from the centre.

    Bicubic, with a kernel widened by the reduction against aliasing; one scaler of ffmpeg for all
    frames, whose tables are computed once.
    """

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._scaler = VideoReformatter()

    def __call__(self, shot: DecodedFrame) -> npt.NDArray[np.uint8]:
        """(H, W, 3) of the bucket."""
        frame = shot.frame
        turns = quarter_turns(frame.rotation)
        shown = display_size(frame.width, frame.height, shot.aspect, frame.rotation)
        width, height = cover_size(*shown, self._bucket)
        scaled = self._scaler.reformat(
            frame,
            width=height if turns % 2 else width,
            height=width if turns % 2 else height,
            format="rgb24",
            src_colorspace=colorspace(frame),
            interpolation=Interpolation.BICUBIC | EXACT,
            threads=1,
        )
        rgb: npt.NDArray[Any] = np.rot90(scaled.to_ndarray(), turns)
        left, top = (width - self._bucket.width) // 2, (height - self._bucket.height) // 2
        return rgb[top : top + self._bucket.height, left : left + self._bucket.width]
