"""Pictures as tensors of a video's size, and diffusers' video autoencoders with their numbers.

fbridge writes this file into the folders of models, beside fbridge_pipeline.py.

Part of fbridge; Apache License 2.0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

_USUAL_SIDE = 512


def upright(picture: Image.Image) -> Image.Image:
    """As RGB, turned as its EXIF tag says, on white where it is transparent."""
    turned: Image.Image = ImageOps.exif_transpose(picture)
    if not turned.has_transparency_data:
        return turned.convert("RGB")
    layer = turned.convert("RGBA")
    white = Image.new("RGBA", layer.size, "white")
    return Image.alpha_composite(white, layer).convert("RGB")


def fitted(picture: Image.Image, size: tuple[int, int]) -> Tensor:
    """(3, H, W) in [0, 1] of a picture that was resized to cover a size, and cropped."""
    scale = max(size[0] / picture.width, size[1] / picture.height)
    kept = [min(new / scale, float(old)) for new, old in zip(size, picture.size, strict=True)]
    left, top = (picture.width - kept[0]) / 2, (picture.height - kept[1]) / 2
    if scale == 1:
        corner = (int(left), int(top))
        pixels = picture.crop((*corner, corner[0] + size[0], corner[1] + size[1]))
    else:
        box = (left, top, left + kept[0], top + kept[1])
        pixels = picture.resize(size, Image.Resampling.LANCZOS, box=box)
    array = np.asarray(pixels, np.float32) / 255
    return torch.from_numpy(array).permute(2, 0, 1).contiguous()


def video_size(
    picture: tuple[int, int], trained: Sequence[Sequence[int]] | None, spatial: int, step: int
) -> tuple[int, int]:
    """(width, height): the size of training of the nearest sides' ratio, else like the picture's.

    Args:
        picture: its (width, height).
        trained: sizes of training; None where any will do.
        spatial: pixels a latent pixel.
        step: that sides must be multiples of.
    """
    if trained:
        wanted = math.log(picture[0] / picture[1])
        size: Sequence[int] = min(
            trained,
            key=lambda s: (round(abs(math.log(s[0] / s[1]) - wanted), 9), -s[0] * s[1]),
        )
    else:
        shrink = min(1.0, _USUAL_SIDE / max(picture))
        size = [max(1, round(side * shrink / spatial)) * spatial for side in picture]
    width, height = (max(1, round(side / step)) * step for side in size)
    return width, height


def spatial_stride(vae: Any) -> int:
    """Pixels a latent pixel and axis."""
    kind = type(vae).__name__
    if kind == "AutoencoderKLCogVideoX":
        return int(2 ** (len(vae.config.block_out_channels) - 1))
    if kind == "AutoencoderKLWan":
        return int(vae.config.scale_factor_spatial)
    return int(vae.spatial_compression_ratio)


def encoded(vae: Any, pixels: Tensor) -> Tensor:
    """Normalised latents (B, F, C, H, W) float32 of pixels (B, F, 3, H, W) in [0, 1]."""
    signed = (pixels * 2 - 1).to(vae.dtype).transpose(1, 2)
    mean = vae.encode(signed).latent_dist.mean.float().transpose(1, 2)
    shift, scale = _normalisation(vae, mean.device)
    return (mean - shift) * scale


def picture_latents(vae: Any, pictures: Tensor) -> Tensor:
    """Normalised latents (B, C, H, W) of pictures (B, 3, H, W)."""
    latents = encoded(vae, pictures[:, None])[:, 0]
    if vae.config.get("invert_scale_latents"):  # CogVideoX 1.5: of pictures, not of videos
        return latents * vae.config["scaling_factor"] ** -2
    return latents


def decoded(vae: Any, latents: Tensor) -> Tensor:
    """Pixels (B, 3, F, H, W) in [-1, 1] of normalised latents.

    Raises:
        ValueError: they are not finite.
    """
    shift, scale = _normalisation(vae, latents.device)
    raw = (latents / scale + shift).to(vae.dtype).transpose(1, 2)
    timed = {"temb": raw.new_zeros(len(raw))} if vae.config.get("timestep_conditioning") else {}
    video: Tensor = vae.decode(raw, **timed).sample.float()
    if not bool(video.isfinite().all()):
        raise ValueError("the video holds NaN or infinity; load the model in torch.float32")
    return video


def _normalisation(vae: Any, device: Any) -> tuple[Tensor, Tensor]:
    """(shift, scale) of normalised = (latent - shift) * scale, each (C, 1, 1) or (1, 1, 1)."""
    buffers = dict(vae.named_buffers(recurse=False))

    def number(name: str, without: float) -> Tensor:
        held = vae.config.get(name)
        held = buffers.get(name) if held is None else held  # LTX
        held = without if held is None else held
        return torch.as_tensor(held, dtype=torch.float32, device=device).view(-1, 1, 1)

    shift = number("latents_mean", 0.0) + number("shift_factor", 0.0)
    return shift, number("scaling_factor", 1.0) / number("latents_std", 1.0)
