"""DINO ViT-B/16 (Caron et al. 2021), the network of VBench's subject consistency."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import Self

from fbridge.evaluation.networks.pictures import IMAGENET, fitted, in_parts, middle, planes
from fbridge.evaluation.networks.vit import VisionTransformer

EPS = 1e-6
"""Epsilon of DINO's layer norms, which the weights file does not contain."""
SIDE = 224
_SHORT = 256  # the shorter side before the crop


class Dino(VisionTransformer):
    """Class tokens (N, 768) of pictures, not normalised, in the names of the authors' file."""

    weights = ("dino",)

    @classmethod
    def empty(cls, state: Mapping[str, Tensor], *, eps: float = EPS, quick: bool = False) -> Self:
        """With DINO's constants."""
        return super().empty(state, eps=eps, quick=quick)

    @torch.inference_mode()
    def features(self, frames: Tensor, *, squeeze: bool) -> Tensor:
        """(T, 768) of frames (T, H, W, 3) uint8.

        Args:
            frames: of any size.
            squeeze: resize the shorter side to 224, bilinear without antialiasing, and do not crop,
                as subject_consistency does; else to 256, bicubic with antialiasing, and crop
                224 from the middle, as i2v_subject does.
        """
        prepare = shrunk if squeeze else cropped
        return in_parts(lambda part: self(prepare(part)), frames, self.cls_token.device)


def shrunk(frames: Tensor) -> Tensor:
    """(T, 3, h, w), standardised, of frames (T, H, W, 3) uint8; the shorter side is 224."""
    size = fitted(frames.shape[1], frames.shape[2], SIDE)
    return IMAGENET.standardised(F.interpolate(planes(frames), size, mode="bilinear"))


def cropped(frames: Tensor) -> Tensor:
    """(T, 3, 224, 224), standardised, of frames (T, H, W, 3) uint8."""
    size = fitted(frames.shape[1], frames.shape[2], _SHORT)
    images = F.interpolate(planes(frames), size, mode="bicubic", antialias=True)
    return IMAGENET.standardised(middle(images, SIDE))
