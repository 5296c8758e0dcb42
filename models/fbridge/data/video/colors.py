"""What the colour tags of a frame mean for its conversion to RGB (ITU-T H.273)."""

from __future__ import annotations

import av
from av.video.reformatter import Colorspace, ColorTrc

from fbridge.errors import DataError

_UNSPECIFIED = 2

_IMPOSSIBLE = {0: "RGB", 3: "a reserved value"}
"""Matrices that no YUV frame has: such a tag is a mistake of the writer."""

_UNKNOWN = {
    8: "YCgCo",
    10: "BT.2020 with constant luminance",
    11: "SMPTE ST 2085",
    12: "chromaticity-derived",
    13: "chromaticity-derived with constant luminance",
    14: "ICtCp",
    15: "IPT-C2",
    16: "YCgCo-Re",
    17: "YCgCo-Ro",
}
"""Matrices that ffmpeg's scaler does not convert."""

_HDR = {int(ColorTrc.SMPTE2084): "PQ", int(ColorTrc.ARIB_STD_B67): "HLG"}


def colorspace(frame: av.VideoFrame) -> Colorspace | None:
    """Colour space of a frame with a usable tag is None; else by its height, as in players."""
    if frame.colorspace != _UNSPECIFIED and not _is_mistaken(frame):
        return None
    return Colorspace.ITU709 if frame.height >= 720 else Colorspace.ITU601


def ignored_tag(frame: av.VideoFrame) -> str:
    """The matrix that a frame is tagged with by mistake; empty if its tag is used or missing."""
    return _IMPOSSIBLE[frame.colorspace] if _is_mistaken(frame) else ""


def hdr(frame: av.VideoFrame) -> str:
    """The transfer function of a frame with high dynamic range; empty for others."""
    return _HDR.get(frame.color_trc, "")


def has_alpha(frame: av.VideoFrame) -> bool:
    """Whether a frame says how transparent it is."""
    return any(component.is_alpha for component in frame.format.components)


def unconvertible(frame: av.VideoFrame, error: av.FFmpegError) -> DataError:
    """The error of a frame that ffmpeg's scaler refused to convert."""
    if frame.colorspace in _UNKNOWN:
        return DataError(
            f"has the colour matrix {_UNKNOWN[frame.colorspace]}, which is not converted; convert "
            "it to BT.709, or mend a wrong tag: ffmpeg -i IN -c copy "
            "-bsf:v h264_metadata=matrix_coefficients=1 OUT"
        )
    return DataError(
        f"has frames of {frame.format.name} that cannot become RGB ({error.strerror}); "
        "convert it to H.264"
    )


def _is_mistaken(frame: av.VideoFrame) -> bool:
    kind = frame.format
    yuv = len(kind.components) >= 3 and not (kind.is_rgb or kind.has_palette)
    return yuv and frame.colorspace in _IMPOSSIBLE
