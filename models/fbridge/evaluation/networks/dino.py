"""DINO ViT-B/16 (Caron et al. 2021), the network of VBench's subject consistency."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fbridge.evaluation.networks.pictures import IMAGENET, fitted, in_parts, middle
from fbridge.evaluation.networks.vit import VisionTransformer
from fbridge.weights import DINO_VIT_B16, load_weights

EPS = 1e-6
"""Epsilon of DINO's layer norms, which the weights file does not contain."""
SIDE = 224
_SHORT = 256  # the shorter side before the crop


class Dino(nn.Module):
    """Class tokens (N, 768) of pictures, not normalised."""

    def __init__(self, network: VisionTransformer) -> None:
        super().__init__()
        self.network = network

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> Dino:
        """The network with weights in the names of the authors' `dino_vitbase16_pretrain.pth`.

        Raises:
            CheckpointError: They are of another network.
        """
        return cls(VisionTransformer.from_state(state, eps=EPS))

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
        device = self.network.cls_token.device
        return in_parts(lambda part: self.network(prepare(part)), frames, device)


def load_dino(path: Path | None = None) -> Dino:
    """DINO with the published weights.

    Raises:
        CheckpointError: The weights are missing or not the genuine ones.
    """
    return Dino.from_state(load_weights(DINO_VIT_B16, path))


def shrunk(frames: Tensor) -> Tensor:
    """(T, 3, h, w), standardised, of frames (T, H, W, 3) uint8; the shorter side is 224."""
    images = frames.permute(0, 3, 1, 2).float() / 255
    size = fitted(images.shape[2], images.shape[3], SIDE)
    return IMAGENET.standardised(F.interpolate(images, size, mode="bilinear"))


def cropped(frames: Tensor) -> Tensor:
    """(T, 3, 224, 224), standardised, of frames (T, H, W, 3) uint8."""
    images = frames.permute(0, 3, 1, 2).float() / 255
    size = fitted(images.shape[2], images.shape[3], _SHORT)
    images = F.interpolate(images, size, mode="bicubic", antialias=True)
    return IMAGENET.standardised(middle(images, SIDE))
