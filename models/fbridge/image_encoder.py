"""What an image encoder sees of a picture, for networks that are told it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
"""Of the channels of CLIP's pictures."""


@torch.no_grad()
def look_at(encoder: Any, pictures: Tensor) -> Tensor:
    """Tokens (B, 1 + patches, D) of pictures: the last states, before their norm and projection.

    Resized as DynamiCrafter and FrameBridge do: bicubic, corner on corner, without regard to the
    sides' ratio. They blur large pictures before that, which at their 256 pixels changes nothing.

    Args:
        encoder: a CLIPVisionModel of transformers.
        pictures: (B, 3, H, W) in [0, 1].
    """
    weight = next(encoder.parameters())
    side = encoder.config.image_size
    sized = F.interpolate(pictures.float(), (side, side), mode="bicubic", align_corners=True)
    mean, std = (sized.new_tensor(numbers).view(3, 1, 1) for numbers in (MEAN, STD))
    given = ((sized - mean) / std).to(weight.device, weight.dtype)
    seen: Tensor = encoder(pixel_values=given).last_hidden_state
    return seen.to(pictures.device, torch.float32)
