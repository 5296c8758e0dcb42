"""Legs, which a coarse mask shows but faintly: a bird's are a pixel or two of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEGGED = (*range(398), 423, 559, 765, 857, 526, 532, 736, 872)
"""ImageNet's classes of animals, chairs, tables and tripods."""
WIDE = (7.0, 0.12)
"""Greatest radius of the disc that fits into no leg: in pixels, and as a share of the side of a
square like the thing."""
BEYOND, BELOW = 3, 0.5
"""By how many pixels legs reach beyond what was found of their thing, less is a soft rim; and share
of the thing that is above them."""
SEEN, LIKELY = 0.12, 0.3
"""How much likelier than what is around it a leg is at least, and what need not differ from it."""
BROAD, UNLIKELY = 11, 0.12
"""Radius of a disc that fits into no pair of legs, and the most that ground of its size is likely:
more is another thing."""
SHARE = 0.4
"""Most that legs cover, as a share of the thing; more is no part of it."""
NEAR, SPREAD = 9, 5.0
"""How far around legs their ground is looked at, and how far that counts for a pixel of them."""
DIFFERS, BUSY = 12.0, 1.0
"""Least difference from the ground, in CIELAB units and in the ground's own standard deviations."""


def find_legs(picture: NDArray[np.uint8], soft: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(h, w) the legs of a thing that its mask shows but faintly, or its colours would cut off.

    They are ridges of the mask below the thing and joined to it, and their pixels those that differ
    from the ground around them.

    Args:
        picture: (h, w, 3), its longer side 320.
        soft: (h, w) the coarse mask, in [0, 1].
    """
    shown, none = soft > 0.5, np.zeros(soft.shape, bool)
    disc = _disc(round(min(WIDE[0], WIDE[1] * float(shown.sum()) ** 0.5)))
    inside = cv2.morphologyEx(shown.astype(np.uint8), cv2.MORPH_OPEN, disc) > 0
    if not inside.any():
        return none
    ridges = soft - cv2.morphologyEx(soft, cv2.MORPH_OPEN, disc)
    broad = cv2.morphologyEx(soft * ~inside, cv2.MORPH_OPEN, _disc(BROAD))
    rows = np.cumsum(inside.sum(1)) / inside.sum()
    zone = (ridges > SEEN) & (broad < UNLIKELY) & ~inside & (rows >= BELOW)[:, None]
    zone = _joined(zone, inside)
    zone &= _grown(zone & ~_grown(inside, BEYOND), BEYOND + 1)
    if not zone.any() or zone.sum() > SHARE * inside.sum():
        return none
    rim = _grown(zone, 2) & ~inside
    ground = _grown(zone, NEAR) & ~rim & ~inside & (soft < SEEN)
    faint = zone & (soft > LIKELY) & (soft < 0.5)
    return _joined(faint | (rim & _differs(picture, ground)), shown)


def _differs(picture: NDArray[np.uint8], ground: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which pixels differ from the ground (h, w) near them."""
    colours = cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    known = ground.astype(np.float32)[..., None]
    planes = np.concatenate([known, colours * known, colours * colours * known], -1)
    blurred = cv2.GaussianBlur(planes, (0, 0), SPREAD)
    share = np.maximum(blurred[..., :1], 1e-6)
    mean, square = blurred[..., 1:4] / share, blurred[..., 4:] / share
    spread = np.sqrt(np.maximum(square - mean * mean, 0).sum(-1))
    away = np.linalg.norm(colours - mean, axis=-1)
    differs: NDArray[np.bool_] = (away > np.maximum(DIFFERS, BUSY * spread)) & (
        share[..., 0] > 0.01
    )
    return differs


def _joined(parts: NDArray[np.bool_], inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels of parts that are connected with the thing."""
    _, labels = cv2.connectedComponents((parts | inside).astype(np.uint8))
    joined: NDArray[np.bool_] = parts & np.isin(labels, np.unique(labels[inside]))
    return joined


def _grown(parts: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    grown: NDArray[np.bool_] = cv2.dilate(parts.astype(np.uint8), _disc(radius)) > 0
    return grown


def _disc(radius: int) -> NDArray[np.uint8]:
    found: NDArray[np.uint8] = cv2.getStructuringElement(
        cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)
    ).astype(np.uint8)
    return found
