"""Colours of pictures: deep grey, transparency, colour profiles and gamma to 8-bit sRGB."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

BACKGROUND = (255, 255, 255)
"""Colour behind transparent pixels."""

_OVERSHOOT = 2.0
"""Floats beyond a usual white by less than this factor are brighter than white, not of another."""

_PLAIN = ("L", "RGB", "CMYK", "LAB")
"""Modes that a colour profile may be of; others are palettes and encodings of RGB."""

_GREYS, _NEAR = np.array([[64, 128, 192]], np.uint8), 8
"""Levels that stay within `_NEAR` of themselves under a profile that is sRGB as its name says."""

_USUAL_GAMMA, _UNLIKE = 1 / 2.2, 0.02
"""What PNG calls the gamma of pictures in sRGB, and what differs from it by more is of another."""

_BITS, _PHOTOMETRIC = 258, 262
"""Tags of TIFF; the second is 0 where the least number is white."""


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
        or _other_gamma(picture.info)
    )


def white_of(picture: Image.Image) -> float:
    """The value that is white in grey of 16 or 32 bits or floats.

    65535 in 16-bit pictures (4095 in TIFF of 12 bits), else the first of 1 (floats only), 255 and
    65535 that is no less than the largest value, or that value. Floats may exceed 1 and 255 a
    little: resampling overshoots.
    """
    if picture.mode.startswith("I;16"):
        return 2.0 ** _tag(picture, _BITS, 16) - 1
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
        layered = picture.convert("RGBA")
        is_grey = picture.mode in {"L", "LA", "La"}
        colours = layered.getchannel("R") if is_grey else layered.convert("RGB")
        shown = _to_srgb(colours, picture.info).convert("RGB")
        shown.putalpha(layered.getchannel("A"))
        page = Image.new("RGBA", shown.size, (*BACKGROUND, 255))
        return Image.alpha_composite(page, shown).convert("RGB")
    plain = picture if picture.mode in _PLAIN else picture.convert("RGB")
    return _to_srgb(plain, picture.info).convert("RGB")


def _tag(picture: Image.Image, number: int, usual: int) -> int:
    """A tag of a TIFF file, the first of its numbers; `usual` of any other picture."""
    found = getattr(picture, "tag_v2", {}).get(number, usual)
    return int(found[0] if isinstance(found, tuple) else found)


def _values(picture: Image.Image) -> npt.NDArray[np.float64]:
    values = np.asarray(picture, dtype=np.float64)
    if picture.mode.startswith("I;16") and _tag(picture, _PHOTOMETRIC, 1) == 0:
        values = white_of(picture) - values
    return np.where(np.isfinite(values), values, 0.0)


def _from_deep_grey(picture: Image.Image, white: float) -> Image.Image:
    grey = np.clip(_values(picture) * (255.0 / white), 0, 255)
    levels = np.arange(256, dtype=np.uint8)
    shown = _to_srgb(Image.fromarray(levels[None]), picture.info).convert("RGB").getchannel("R")
    grey = np.round(np.interp(grey, levels, np.asarray(shown)[0])).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")


def _to_srgb(picture: Image.Image, info: Mapping[Any, Any]) -> Image.Image:
    """Convert from an embedded colour profile, or by a PNG's gamma; others are taken as sRGB.

    Args:
        picture: of a mode in `_PLAIN`.
        info: of the file, as Pillow read it.
    """
    profile = info.get("icc_profile")
    if not profile and picture.mode != "LAB":
        return _by_gamma(picture, info)
    try:
        source = ImageCms.ImageCmsProfile(
            io.BytesIO(profile) if profile else ImageCms.createProfile("LAB")
        )
        if _is_srgb(source, picture.mode):
            return picture
        return _moved(picture, source)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return picture


def _moved(picture: Image.Image, source: ImageCms.ImageCmsProfile) -> Image.Image:
    target = ImageCms.createProfile("sRGB")
    moved = ImageCms.profileToProfile(picture, source, target, outputMode="RGB")
    return picture if moved is None else moved


def _is_srgb(source: ImageCms.ImageCmsProfile, mode: str) -> bool:
    """Whether a profile is sRGB, which some name that have its primaries and are linear."""
    if "srgb" not in ImageCms.getProfileDescription(source).lower():
        return False
    greys = np.asarray(_moved(Image.fromarray(_GREYS).convert(mode), source).convert("RGB"))
    return int(np.abs(greys[..., 0].astype(int) - _GREYS).max()) <= _NEAR


def _other_gamma(info: Mapping[Any, Any]) -> float:
    """The gamma that a PNG states, where that is not sRGB's and nothing else says more; else 0."""
    gamma = info.get("gamma")
    if not isinstance(gamma, float) or "srgb" in info or "icc_profile" in info:
        return 0.0
    return gamma if gamma > 0 and abs(gamma - _USUAL_GAMMA) > _UNLIKE else 0.0


def _by_gamma(picture: Image.Image, info: Mapping[Any, Any]) -> Image.Image:
    """From stored numbers, which are light to the power of gamma, to sRGB's."""
    gamma = _other_gamma(info)
    if not gamma:
        return picture
    light = (np.arange(256) / 255) ** (1 / gamma)
    shown = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    table = np.round(255 * shown).astype(int).tolist()
    return picture.point(table * len(picture.getbands()))
