"""Encode frames as a small WebM or JPEG in memory, to be embedded in an HTML page."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import numpy as np
from PIL import Image
from torch import Tensor

_LARGEST = 256  # pixels of the longer side
_QUALITY = "32"


def encode_jpeg(frame: Tensor) -> bytes:
    """A frame (H, W, 3) uint8 as JPEG with sides of at most 256 pixels."""
    picture = Image.fromarray(frame.numpy())
    picture.thumbnail((_LARGEST, _LARGEST), Image.Resampling.LANCZOS)
    held = io.BytesIO()
    picture.save(held, format="JPEG", quality=88)
    return held.getvalue()


def encode_webm(frames: Tensor, fps: float) -> bytes:
    """Frames (T, H, W, 3) uint8 as VP9 in 4:2:0, with even sides of at most 256 pixels.

    Equal frames give equal bytes.
    """
    height, width = frames.shape[1:3]
    scale = min(1.0, _LARGEST / max(height, width))
    size = tuple(max(2, round(side * scale / 2) * 2) for side in (width, height))
    held = io.BytesIO()
    options = {"fflags": "+bitexact"}
    with av.open(held, "w", format="webm", options=options) as container:
        stream = container.add_stream("libvpx-vp9", rate=Fraction(fps).limit_denominator(1001))
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": _QUALITY, "b": "0", "threads": "1", "deadline": "good",
                          "cpu-used": "4"}  # fmt: skip
        for picture in frames.numpy():
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            container.mux(stream.encode(frame.reformat(width=size[0], height=size[1])))
        container.mux(stream.encode())
    return held.getvalue()
