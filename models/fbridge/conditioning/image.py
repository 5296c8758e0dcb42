"""Embeddings of pictures by CLIP's image encoder, for networks that take them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from fbridge.conditioning.text import working_device
from fbridge.errors import CheckpointError
from fbridge.files.configs import check_no_code
from fbridge.files.modules import load_folder

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
"""Of the channels of CLIP's inputs."""


@torch.no_grad()
def encode_images(encoder: Any, pictures: Tensor) -> Tensor:
    """Tokens (B, 1 + patches, D) of pictures: the last states, before their norm and projection.

    Resized as DynamiCrafter and FrameBridge do: bicubic, corner on corner, without regard to the
    sides' ratio. They blur large pictures before that, which at their 256 pixels changes nothing.

    Args:
        encoder: a CLIPVisionModel of transformers.
        pictures: (B, 3, H, W) in [0, 1].
    """
    side = encoder.config.image_size
    sized = F.interpolate(pictures.float(), (side, side), mode="bicubic", align_corners=True)
    mean, std = (sized.new_tensor(numbers).view(3, 1, 1) for numbers in (MEAN, STD))
    given = ((sized - mean) / std).to(working_device(encoder), encoder.dtype)
    seen: Tensor = encoder(pixel_values=given).last_hidden_state
    return seen.to(pictures.device, torch.float32)


def load_image_encoder(folder: Path, *, features: int, dtype: torch.dtype) -> Any:
    """A CLIPVisionModel, frozen.

    Args:
        folder: of its configuration and weights.
        features: of the tokens that the network takes.
        dtype: of its weights.

    Raises:
        CheckpointError: it is missing or incomplete, or of another width.
    """
    from transformers import CLIPVisionModel

    if not (folder / "config.json").is_file():
        raise CheckpointError(
            f"{folder}: is not there; this network needs CLIP's image encoder: name a folder that "
            "has it with --components, or none where the single file holds it"
        )
    check_no_code(folder)
    encoder = load_folder(CLIPVisionModel, folder, dtype)
    if encoder.config.hidden_size != features:
        raise CheckpointError(
            f"{folder}: has {encoder.config.hidden_size} features where the network takes "
            f"{features}; it is another model's image encoder"
        )
    return encoder.requires_grad_(False)
