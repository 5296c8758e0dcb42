"""From coarse masks to masks and background colours at the picture's resolution."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

NO_CONTOUR = 0.175
"""Minimum mean difference between an object and the fill behind it for cutting it out."""


def resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Antialiased bilinear resize of (B, C, H, W)."""
    return F.interpolate(image, size, mode="bilinear", antialias=True, align_corners=False)


def _mean(image: Tensor, radius: int) -> Tensor:
    """Box mean with replicated edges."""
    width = 2 * radius + 1
    image = F.pad(image, (radius, radius, radius, radius), mode="replicate")
    image = F.avg_pool2d(image, (1, width), 1)
    return F.avg_pool2d(image, (width, 1), 1)


def guided_filter(guide: Tensor, mask: Tensor, radius: int, smooth: float) -> Tensor:
    """Mask (1, K, H, W) fitted locally by a line in the guide's grey (1, 3, H, W).

    He, Sun, Tang: Guided Image Filtering (ECCV 2010). Edges of the mask move to edges of the guide
    within `radius` pixels; `smooth` is the variance below which the guide counts as flat.
    """
    grey = guide.mean(1, keepdim=True)
    mean_grey, mean_mask = _mean(grey, radius), _mean(mask, radius)
    variance = _mean(grey * grey, radius) - mean_grey.square()
    slope = (_mean(grey * mask, radius) - mean_grey * mean_mask) / (variance + smooth)
    offset = mean_mask - slope * mean_grey
    return _mean(slope, radius) * grey + _mean(offset, radius)


def refine_masks(picture: Tensor, masks: Tensor) -> Tensor:
    """Masks (1, K, h, w) at the picture's size (1, 3, H, W), aligned with its edges.

    They are made harder and a little wider: a rim of the object left behind is more visible than a
    rim of background that moves along.
    """
    size = (picture.shape[2], picture.shape[3])
    wide = F.interpolate(masks, size, mode="bicubic", align_corners=False).clamp(0, 1)
    radius = max(1, round(1.5 * size[0] / masks.shape[2]))
    fine = guided_filter(picture, wide, radius, 1e-3)
    fine = ((fine - 0.45) * 2 + 0.5).clamp(0, 1) * (wide > 0.02)
    rim = max(1, round(min(size) / 160))
    fine = _mean(F.max_pool2d(fine, 2 * rim + 1, 1, rim), rim)
    return fine / fine.sum(1, keepdim=True).clamp_min(1)


def pull_push(image: Tensor, known: Tensor) -> Tensor:
    """Image (B, C, H, W) smoothly extended from known (B, 1, H, W) to unknown pixels.

    Gortler et al., The Lumigraph (SIGGRAPH 1996): means of ever coarser blocks fill the gaps.
    """
    height, width = image.shape[2:]
    if height == 1 and width == 1:
        return image
    pad = (0, width % 2, 0, height % 2)
    weight, colour = (F.pad(part, pad) for part in (known, image * known))
    total = F.avg_pool2d(weight, 2) * 4
    coarse = F.avg_pool2d(colour, 2) * 4 / total.clamp_min(1e-6)
    coarse = pull_push(coarse, total.clamp(0, 1))
    smooth = F.interpolate(coarse, scale_factor=2.0, mode="bilinear", align_corners=False)
    return known * image + (1 - known) * smooth[..., :height, :width]


def fill_behind(picture: Tensor, masks: Tensor) -> Tensor:
    """The picture (B, 3, H, W) with the area of masks (B, K, H, W) filled from around them.

    The filled area is a little wider than the masks, to exclude the objects' colours.
    """
    reach = max(1, min(picture.shape[2:]) // 50)
    wide = F.max_pool2d(masks.sum(1, keepdim=True), 2 * reach + 1, 1, reach)
    return pull_push(picture, (1 - 2 * wide).clamp(0, 1))


def has_no_contour(picture: Tensor, masks: Tensor, fill: Tensor) -> bool:
    """Whether the first of masks (1, 2, H, W) is the only object and resembles the fill behind it.

    Then it is part of a close-up, and a cut along its mask would be visible.
    """
    first, second = masks[0]
    if float(second.mean()) > 0.01 or float(first.mean()) < 0.05:
        return False
    differs = ((picture - fill)[0].abs().mean(0) * first).sum() / first.sum()
    return float(differs) < NO_CONTOUR
