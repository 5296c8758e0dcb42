"""The hair of a person: what is around a face and is neither skin nor clothes.

A face is found as the widest round of skin in the upper part of a person, by the colours that skin
of all tones has in YCbCr (Chai and Ngan, 1999). No network of ours tells hair from its person.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from fbridge.codecs.matting import resize

if TYPE_CHECKING:
    from numpy.typing import NDArray

ON_HEADS = frozenset({
    "hair", "hairs", "ponytail", "locks", "curls", "pigtails", "braids", "bangs", "tresses",
    "fringe",
})  # fmt: skip
"""Words for hair that is around a face; a beard or fur is not."""
SIDE = 256
"""Longer side of the picture in which hair is sought."""
RED, BLUE, DARKEST = (136, 175), (80, 127), 40
"""Ranges of skin in Cr and Cb, and least luma, of 255."""
LEAST_FACE, LOW, LOWER = 0.1, 0.45, 0.25
"""Least radius of a face, as a share of the side of a square as large as the person; and how far
below the top of the person, in the same units, a round counts less, and by how much."""
LONG = 1.25
"""Height of a face over its width."""
SAME_SKIN = 7.0
"""Squared Mahalanobis distance from the face's own colours up to which a pixel is skin."""
SPREAD = (60.0, 12.0, 12.0)
"""Least variance of those colours in 8-bit L, a and b, so that light and shade count less."""
CROWN, AROUND, BELOW = 2.3, 3.0, 4.0
"""Radii of the face within which hair is at its top, on its sides, and below it."""
LEAST_HAIR = 0.25
"""Least size of hair, as a share of the face: less is what was missed of it."""
FEWEST = 15
"""Pixels of hair at the top of the face to learn its colours from."""


class Face(NamedTuple):
    """An upright ellipse: its middle, and half its width, in pixels."""

    x: float
    y: float
    radius: float

    def distance(self, size: tuple[int, int], long: float = 1.0) -> NDArray[Any]:
        """(h, w) from the middle, in radii; of an ellipse `long` times as high as wide."""
        y, x = np.mgrid[: size[0], : size[1]]
        return np.hypot(x - self.x, (y - self.y) / long) / self.radius


def find_hair(picture: Tensor, person: Tensor) -> Tensor | None:
    """(H, W) where the hair of a person is, 0 or 1 but for its edges; None without a face.

    Args:
        picture: (3, H, W) in [0, 1].
        person: (H, W) opacity of the person.
    """
    image, inside = _small(picture, person)
    face = find_face(image, inside)
    found = None if face is None else _around(image, inside, face)
    if found is None:
        return None
    full = (picture.shape[1], picture.shape[2])
    return resize(torch.from_numpy(found).float()[None, None], full)[0, 0]


def face_at(picture: Tensor, person: Tensor) -> tuple[float, float] | None:
    """The middle (x, y) of a person's face as shares of the picture's sides; None without one."""
    image, inside = _small(picture, person)
    face = find_face(image, inside)
    return None if face is None else (face.x / image.shape[1], face.y / image.shape[0])


def _small(picture: Tensor, person: Tensor) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A picture and a person in it as small as faces and hair are sought in."""
    full = (picture.shape[1], picture.shape[2])
    shrink = SIDE / max(full)
    size = (max(8, round(full[0] * shrink)), max(8, round(full[1] * shrink)))
    small = resize(picture[None], size)[0].clamp(0, 1).permute(1, 2, 0)
    image = np.ascontiguousarray((small * 255).round().byte().numpy())
    return image, resize(person[None, None], size)[0, 0].numpy() > 0.5


def find_face(image: NDArray[np.uint8], person: NDArray[np.bool_]) -> Face | None:
    """The face of a person (h, w) in an image (h, w, 3); None where no round of skin is one."""
    luma, red, blue = np.moveaxis(cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb), -1, 0)
    skin = person & (luma > DARKEST)
    skin &= (red >= RED[0]) & (red <= RED[1]) & (blue >= BLUE[0]) & (blue <= BLUE[1])
    if not skin.any():
        return None
    gap = 4 * max(1, round(0.012 * min(skin.shape))) + 1  # eyes and lips
    closed = cv2.morphologyEx(skin.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (gap, gap))
    closed = np.pad(cv2.morphologyEx(closed, cv2.MORPH_CLOSE, disc), 1)
    radius = cv2.distanceTransform(closed, cv2.DIST_L2, 5)[1:-1, 1:-1]
    side = float(person.sum()) ** 0.5
    below = (np.arange(len(skin)) - np.nonzero(person.any(1))[0][0]) / side - LOW
    fit = radius / side - LOWER * below.clip(0)[:, None]
    y, x = np.unravel_index(int(fit.argmax()), fit.shape)
    widest = float(radius[y, x])
    return Face(float(x), float(y), widest) if widest >= LEAST_FACE * side else None


def _around(
    image: NDArray[np.uint8], person: NDArray[np.bool_], face: Face
) -> NDArray[np.bool_] | None:
    """The hair by GrabCut (Rother et al., 2004), joined to what is at the top of the face."""
    size = (person.shape[0], person.shape[1])
    oval, far = face.distance(size, LONG), face.distance(size)
    y, x = np.mgrid[: size[0], : size[1]]
    right, down = np.abs(x - face.x) / face.radius, (y - face.y) / face.radius
    hairy = person & ~_skin(image, person & (oval < 0.77))
    crown = hairy & (far < CROWN) & (down < -0.7) & (oval > 1)
    if crown.sum() < FEWEST:
        return None
    labels: NDArray[Any] = np.full(size, cv2.GC_BGD, np.uint8)
    near = person & (right < AROUND) & (down < BELOW) & (oval > 0.95)
    labels[near] = cv2.GC_PR_BGD
    labels[near & hairy & (right > 0.9) & (down < 1.3)] = cv2.GC_PR_FGD
    labels[crown] = cv2.GC_FGD
    labels[oval < 0.87] = cv2.GC_BGD
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)
    cv2.grabCut(image, labels, (0, 0, 1, 1), *models, 3, cv2.GC_INIT_WITH_MASK)
    found = labels % 2 == 1
    _, parts = cv2.connectedComponents(found.astype(np.uint8))
    joined: NDArray[np.bool_] = np.isin(parts, np.unique(parts[crown])) & found
    return joined if joined.sum() >= LEAST_HAIR * (oval < 1).sum() else None


def _skin(image: NDArray[np.uint8], face: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which pixels have the colours of most of the face."""
    colours = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(float)
    own = colours[face]
    apart = np.linalg.norm(own - np.median(own, 0), axis=1)
    own = own[apart <= np.quantile(apart, 0.7)]  # without eyes, glasses and lips
    inverse = np.linalg.inv(np.cov(own.T) + np.diag(SPREAD))
    off = colours - own.mean(0)
    near: NDArray[np.bool_] = np.einsum("hwi,ij,hwj->hw", off, inverse, off) < SAME_SKIN
    return near
