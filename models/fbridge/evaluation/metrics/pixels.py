"""PSNR, SSIM and mean absolute difference between the frames of two clips.

Each takes two clips (T, H, W, 3) uint8 of equal shape and returns (T,) values.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = 0.01**2, 0.03**2


def psnr(first: Tensor, second: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in decibels of each frame (T,); infinite for equal frames.

    -10 log10 of the mean squared error over all pixels and channels, on a scale from 0 to 1.
    """
    _check(first, second)
    error = (first.double() - second.double()).square().flatten(1).mean(1) / 255**2
    return -10 * torch.log10(error)


def clip_psnr(frames: Tensor) -> float:
    """PSNR of the mean squared error over a clip, from the PSNR of each of its frames (T,).

    Infinite where all frames are equal. The mean of the frames' decibels would be higher, and a
    frame without error would have to be left out of it, which lowers the score.
    """
    return -10 * float(torch.log10((10 ** (-frames.double() / 10)).mean()))


def first_psnr(clip: Tensor, picture: Tensor) -> Tensor:
    """(1,) PSNR of the first frame against a picture (1, H, W, 3), in decibels."""
    return psnr(clip[:1], picture[:1])


def ssim(first: Tensor, second: Tensor) -> Tensor:
    """Structural similarity of each frame (T,), at most 1 (Wang et al. 2004).

    Gaussian window of 11 x 11 pixels with sigma 1.5, K1 = 0.01, K2 = 0.03, population covariance,
    only windows inside the frame, mean over the channels: equal to scikit-image's with
    gaussian_weights=True, sigma=1.5, use_sample_covariance=False.

    Raises:
        ValueError: frames are smaller than the window.
    """
    _check(first, second)
    if min(first.shape[1:3]) < _WINDOW:
        raise ValueError(f"SSIM needs frames of {_WINDOW} pixels a side, not {first.shape[1:3]}")
    return torch.stack([_ssim(a, b) for a, b in zip(first, second, strict=True)])


def difference(first: Tensor, second: Tensor) -> Tensor:
    """Mean absolute difference of each frame (T,), on a scale from 0 to 1.

    The second clip may be a single frame, which all are compared with.
    """
    return (first.double() - second.double()).abs().flatten(1).mean(1) / 255


def _ssim(first: Tensor, second: Tensor) -> Tensor:
    x = first.permute(2, 0, 1).double() / 255
    y = second.permute(2, 0, 1).double() / 255
    mean_x, mean_y, xx, yy, xy = _blurred(torch.stack([x, y, x * x, y * y, x * y]))
    var_x, var_y, both = xx - mean_x**2, yy - mean_y**2, xy - mean_x * mean_y
    above = (2 * mean_x * mean_y + _C1) * (2 * both + _C2)
    below = (mean_x**2 + mean_y**2 + _C1) * (var_x + var_y + _C2)
    return (above / below).mean()


def _blurred(planes: Tensor) -> Tensor:
    """(N, C, H, W) convolved with the window, first along W, then along H, without padding."""
    place = torch.arange(_WINDOW, dtype=torch.float64) - _WINDOW // 2
    window = torch.exp(-(place**2) / (2 * _SIGMA**2))
    window = (window / window.sum()).reshape(1, 1, 1, -1)
    flat = planes.reshape(-1, 1, *planes.shape[2:])
    flat = F.conv2d(F.conv2d(flat, window), window.transpose(2, 3))
    return flat.reshape(*planes.shape[:2], *flat.shape[2:])


def _check(first: Tensor, second: Tensor) -> None:
    if first.shape != second.shape or first.ndim != 4:
        shapes = f"{tuple(first.shape)} and {tuple(second.shape)}"
        raise ValueError(f"clips must be (T, H, W, 3) of one shape, not {shapes}")
