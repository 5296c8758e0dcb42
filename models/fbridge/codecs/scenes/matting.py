"""From a coarse mask of an object to its opacity at the picture's own size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fbridge.codecs.scenes.ground import with_the_rest
from fbridge.codecs.scenes.legs import find_legs

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 320
"""Longer side at which the object's colours are told from the background's."""

SURE, DOUBT = 0.9, 0.1
"""Mask values from which on pixels surely belong to the object, and below which they do not."""

FEWEST = 50
"""Fewest pixels of the object, sure or likely, and of the background, to learn colours from."""

DOUBTFUL, TINY, FILLED = 0.15, 0.01, 0.7
"""Mean of the mask in a hole from which on, and share of the object from which on, it is filled;
and with what."""

LEAST, HOLE = 0.02, 0.04
"""Parts of the object, and holes in it, smaller than this share of it are specks."""


def refine(picture: Tensor, coarse: Tensor, legs: Sequence[bool] = ()) -> Tensor:
    """Opacity (K, H, W) of objects in a picture (3, H, W) from coarse masks (K, h, w) in [0, 1].

    Where a mask is in doubt, GrabCut (Rother et al., 2004) tells object from background by their
    colours, and before a plain ground what differs from it belongs to the object; the colour guided
    filter (He, Sun, Tang, ECCV 2010) makes its edges as soft as the picture's. The sum over objects
    is at most one.

    Args:
        picture: in [0, 1].
        coarse: masks of the objects.
        legs: which objects stand on legs, that may be thin; none if left out.
    """
    size = (picture.shape[1], picture.shape[2])
    shrink = min(1.0, SIDE / max(size))
    small = (max(8, round(size[0] * shrink)), max(8, round(size[1] * shrink)))
    reduced = F.interpolate(picture[None], small, mode="area")[0]
    masks = F.interpolate(coarse[None], small, mode="bicubic", align_corners=False)[0].clamp(0, 1)
    others = masks.sum(0) - masks
    legged = legs or [False] * len(masks)
    parts = zip(masks, others, legged, strict=True)
    hard = torch.stack([_cut(reduced, *part) for part in parts])[None]
    fine = F.interpolate(hard, size, mode="bilinear", align_corners=False)[0]
    radius = max(2, round(max(size) / 85))
    fine = torch.stack([_soften(picture, mask, radius) for mask in fine])
    return fine / fine.sum(0).clamp_min(1)


def _soften(picture: Tensor, mask: Tensor, radius: int) -> Tensor:
    """The mask with the picture's own edges, in two steps of ever smaller neighbourhoods."""
    if not mask.any():
        return mask
    mask = _harden(guided_filter(picture, mask, radius, 1e-4), 1.5)
    return _harden(guided_filter(picture, mask, max(1, radius // 2), 1e-4), 1.2)


def guided_filter(guide: Tensor, mask: Tensor, radius: int, smooth: float) -> Tensor:
    """Mask (H, W) fitted locally by an affine function of the guide's colour (3, H, W).

    `smooth` is the variance of colour below which the guide counts as flat.
    """
    r, g, b = guide
    products = torch.stack([r * r, r * g, r * b, g * g, g * b, b * b, *(guide * mask)])
    means = _box_mean(torch.cat([guide, mask[None], products]), radius)
    m, mean_mask, mixed, both = means[:3], means[3], means[4:10], means[10:]
    rr, rg, rb = mixed[0] - m[0] * m[0] + smooth, mixed[1] - m[0] * m[1], mixed[2] - m[0] * m[2]
    gg, gb, bb = mixed[3] - m[1] * m[1] + smooth, mixed[4] - m[1] * m[2], mixed[5] - m[2] * m[2]
    bb = bb + smooth
    adjugate = torch.stack(
        [
            torch.stack([gg * bb - gb * gb, gb * rb - rg * bb, rg * gb - gg * rb]),
            torch.stack([gb * rb - rg * bb, rr * bb - rb * rb, rb * rg - rr * gb]),
            torch.stack([rg * gb - gg * rb, rb * rg - rr * gb, rr * gg - rg * rg]),
        ]
    )
    determinant = rr * adjugate[0, 0] + rg * adjugate[0, 1] + rb * adjugate[0, 2]
    slope = (adjugate * (both - m * mean_mask)).sum(1) / determinant
    offset = mean_mask - (slope * m).sum(0)
    fit = _box_mean(torch.cat([slope, offset[None]]), radius)
    return ((fit[:3] * guide).sum(0) + fit[3]).clamp(0, 1)


def _box_mean(image: Tensor, radius: int) -> Tensor:
    """Means (C, H, W) over squares, with replicated edges; OpenCV's take the same time for all."""
    import cv2

    width = 2 * radius + 1
    planes = [
        cv2.blur(plane.numpy(), (width, width), borderType=cv2.BORDER_REPLICATE) for plane in image
    ]
    return torch.from_numpy(np.stack(planes))


def _harden(alpha: Tensor, gain: float) -> Tensor:
    return ((alpha - 0.5) * gain + 0.5).clamp(0, 1)


def _cut(picture: Tensor, mask: Tensor, others: Tensor, legs: bool) -> Tensor:
    """The mask (h, w) with what is in doubt decided by colour, without specks and small holes."""
    import cv2

    soft = _without_doubtful_holes(mask.numpy())
    labels: NDArray[Any] = np.full(soft.shape, cv2.GC_BGD, np.uint8)
    labels[soft > DOUBT] = cv2.GC_PR_BGD
    labels[soft > 0.5] = cv2.GC_PR_FGD
    labels[soft > SURE] = cv2.GC_FGD
    image = (picture.permute(1, 2, 0) * 255).round().byte().contiguous().numpy()
    if min((labels == cv2.GC_BGD).sum(), (soft > 0.5).sum()) >= FEWEST:
        models = np.zeros((1, 65)), np.zeros((1, 65))  # of the background's colours, the object's
        cv2.setRNGSeed(0)
        cv2.grabCut(image, labels, (0, 0, 1, 1), *models, 2, cv2.GC_INIT_WITH_MASK)
    inside = (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)
    if legs:
        inside = inside | (find_legs(image, mask.numpy()) & (others.numpy() <= DOUBT))
    outside = ~inside & (others.numpy() <= DOUBT)
    inside = with_the_rest(image, inside, outside & (soft <= 0.5), outside & (soft > 0.5))
    area = inside.sum()
    inside = _without_specks(inside, max(4, int(LEAST * area)))
    return torch.from_numpy(~_without_specks(~inside, max(4, int(HOLE * area)))).float()


def _without_doubtful_holes(soft: NDArray[np.float32]) -> NDArray[np.float32]:
    """A mask whose larger holes are likelier of the object than not, unless they surely are not.

    So the windows of a car are, and what is seen through the handle of a cup is not.
    """
    import cv2

    count, parts = cv2.connectedComponents((soft <= 0.5).astype("uint8"), connectivity=4)
    edges = np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]])
    least = TINY * (soft > 0.5).sum()
    filled = soft.copy()
    for part in set(range(1, count)) - set(edges.tolist()):
        inside = parts == part
        if inside.sum() >= least and soft[inside].mean() > DOUBTFUL:
            filled[inside] = FILLED
    return filled


def _without_specks(inside: NDArray[np.bool_], least: int) -> NDArray[np.bool_]:
    """The connected parts of at least `least` pixels."""
    import cv2

    _, parts, stats, _ = cv2.connectedComponentsWithStats(inside.astype("uint8"), connectivity=4)
    kept = stats[:, cv2.CC_STAT_AREA] >= least
    kept[0] = False
    return kept[parts]
