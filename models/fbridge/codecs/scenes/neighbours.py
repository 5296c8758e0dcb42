"""Things that touch the one that is meant, told by where its noun is seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from torch import Tensor

from fbridge.codecs.matting import resize

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLEAR, SHOWN = 0.5, 0.25
"""Probability from which on a noun is seen clearly enough to tell what does not show it, and least
mean of it in the thing that is kept: of a woman on a television neither part is the television."""
NECK = 0.07
"""Half width of what joins two things, as a share of the side of a square like both."""
STRANGE = 0.15
"""Mean probability of the noun in another thing, as a share of that in the one it touches: a wheel
of a motorcycle has 0.44, a flower that a bird drinks from 0.10, the rider of a bicycle 0.07."""
OTHER = 0.25
"""Size of a part of a mask, as a share of the greatest, from which it is another thing."""


def without_neighbours(mask: Tensor, seen: Tensor) -> Tensor:
    """A mask (h, w) without things that touch the one in it, where the noun is clearly seen.

    They are joined to it by a neck, which it keeps, are not small, and the noun is hardly seen in
    them: a flower at the bill of a bird. A wheel is joined by a neck as well, but shows the noun.

    Args:
        mask: in [0, 1].
        seen: (h', w') probability of the noun.
    """
    shown = (mask > 0.5).cpu().numpy()
    disc = _disc(max(1, round(NECK * float(shown.sum()) ** 0.5)))
    count, cores = cv2.connectedComponents(cv2.erode(shown.astype(np.uint8), disc, borderValue=1))
    if count <= 2 or float(seen.amax()) < CLEAR:
        return mask
    _, nearest = cv2.distanceTransformWithLabels(
        (cores == 0).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_CCOMP
    )
    _, pieces = cv2.connectedComponents(shown.astype(np.uint8))
    size = (mask.shape[0], mask.shape[1])
    evidence = resize(seen[None, None], size)[0, 0].numpy()
    found = [cores == number for number in range(1, count)]
    parts = [shown & (nearest == nearest[core][0]) for core in found]
    means = [float(evidence[part].mean()) for part in parts]
    joined = [int(pieces[core][0]) for core in found]
    least = OTHER * max(int(part.sum()) for part in parts)
    gone = np.zeros(shown.shape, bool)
    necks = np.zeros(shown.shape, bool)
    for core, part, mean, piece in zip(found, parts, means, joined, strict=True):
        most = max(other for other, at in zip(means, joined, strict=True) if at == piece)
        if most >= SHOWN and mean < STRANGE * most and part.sum() >= least:
            gone |= part
            necks |= part & ~_grown(core, disc)
    if not gone.any():
        return mask
    kept = shown & ~gone
    _, connected = cv2.connectedComponents((kept | necks).astype(np.uint8))
    gone &= ~(necks & np.isin(connected, np.unique(connected[kept])))
    near = _grown(gone, _disc(2)) & (gone | ~shown)
    return mask * torch.from_numpy(~near).to(mask)


def _disc(radius: int) -> NDArray[np.uint8]:
    found: NDArray[np.uint8] = cv2.getStructuringElement(
        cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)
    ).astype(np.uint8)
    return found


def _grown(inside: NDArray[np.bool_], disc: NDArray[np.uint8]) -> NDArray[np.bool_]:
    grown: NDArray[np.bool_] = cv2.dilate(inside.astype(np.uint8), disc) > 0
    return grown
