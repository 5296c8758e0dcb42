"""From coarse masks and colours to the picture's own resolution."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Antialiased bilinear resize of (B, C, H, W)."""
    return F.interpolate(image, size, mode="bilinear", antialias=True, align_corners=False)


def _mean(image: Tensor, radius: int) -> Tensor:
    """Box mean with the edge repeated, separable."""
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
    """Masks (1, K, h, w) at the picture's size (1, 3, H, W), with edges where it has them."""
    size = (picture.shape[2], picture.shape[3])
    wide = F.interpolate(masks, size, mode="bicubic", align_corners=False).clamp(0, 1)
    radius = max(1, round(1.5 * size[0] / masks.shape[2]))
    fine = guided_filter(picture, wide, radius, 1e-3)
    fine = ((fine - 0.5) * 1.4 + 0.5).clamp(0, 1) * (wide > 0.02)
    return fine / fine.sum(1, keepdim=True).clamp_min(1)
