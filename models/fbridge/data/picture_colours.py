"""Colours of pictures: grey of 16 or 32 bits, transparency and colour profiles to 8-bit sRGB."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

BACKGROUND = (255, 255, 255)
"""Colour behind transparent pixels."""

_OVERSHOOT = 2.0
"""Floats beyond a usual white by less than this factor are brighter than white, not of another."""


def is_deep(picture: Image.Image) -> bool:
    """Whether it is grey of 16 or 32 bits or floats, of which Pillow keeps the lowest 8 bits."""
    return picture.mode.startswith("I") or picture.mode == "F"


def is_plain(picture: Image.Image) -> bool:
    """Whether `to_rgb` does no more than Pillow's own convert("RGB"); read from the header."""
    return not (
        is_deep(picture)
        or picture.has_transparency_data
        or picture.mode == "LAB"
        or "icc_profile" in picture.info
    )


def white_of(picture: Image.Image) -> float:
    """The value that is white in grey of 16 or 32 bits or floats.

    65535 in 16-bit pictures, else the first of 1 (floats only), 255 and 65535 that is no less than
    the largest value, or that value. Floats may exceed 1 and 255 a little: resampling overshoots.
    """
    if picture.mode.startswith("I;16"):
        return 65535.0
    brightest = float(_values(picture).max())
    if picture.mode == "F":
        usual = [(1.0, _OVERSHOOT), (255.0, _OVERSHOOT), (65535.0, 1.0)]
    else:
        usual = [(255.0, 1.0), (65535.0, 1.0)]
    return next((white for white, beyond in usual if brightest <= white * beyond), brightest)


def to_rgb(picture: Image.Image, white: float | None = None) -> Image.Image:
    """A picture as sRGB, on white where it is transparent.

    Args:
        picture: of any mode.
        white: the value that is white in grey of more than 8 bits; `white_of(picture)` by default.
    """
    if is_deep(picture):
        return _from_deep_grey(picture, white_of(picture) if white is None else white)
    if picture.has_transparency_data:
        colours = _to_srgb(picture.convert("RGBA"), picture.info.get("icc_profile"))
        page = Image.new("RGBA", colours.size, (*BACKGROUND, 255))
        return Image.alpha_composite(page, colours).convert("RGB")
    if picture.mode in {"L", "RGB", "CMYK", "LAB"}:
        picture = _to_srgb(picture, picture.info.get("icc_profile"))
    return picture.convert("RGB")


def _values(picture: Image.Image) -> npt.NDArray[np.float64]:
    values = np.asarray(picture, dtype=np.float64)
    return np.where(np.isfinite(values), values, 0.0)


def _from_deep_grey(picture: Image.Image, white: float) -> Image.Image:
    grey = np.clip(np.round(_values(picture) * (255.0 / white)), 0, 255).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")


def _to_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert from an embedded colour profile; without a usable one, colours are taken as sRGB."""
    if not profile and picture.mode != "LAB":
        return picture
    try:
        source = ImageCms.ImageCmsProfile(
            io.BytesIO(profile) if profile else ImageCms.createProfile("LAB")
        )
        if "srgb" in ImageCms.getProfileDescription(source).lower():
            return picture
        mode = "RGBA" if picture.mode == "RGBA" else "RGB"
        moved = ImageCms.profileToProfile(
            picture, source, ImageCms.createProfile("sRGB"), outputMode=mode
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return picture
    return picture if moved is None else moved
