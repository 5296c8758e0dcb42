"""A small Wan autoencoder, and whole clips through it at once.

diffusers' AutoencoderKLWan works a chunk of frames at a time with caches, which saves memory and
costs time. Over a whole clip the same causal layers give the same values.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_kl_wan import patchify, unpatchify
from torch import Tensor

CHANNELS = 16


def make_vae(mean: list[float] | None = None, std: list[float] | None = None) -> Any:
    """Eight pixels a side and four frames to a latent one; patches of 2x2 pixels before all else.

    Args:
        mean: of each latent channel, for the configuration.
        std: likewise.
    """
    return AutoencoderKLWan(
        base_dim=32,
        decoder_base_dim=32,
        z_dim=CHANNELS,
        dim_mult=[1, 2, 2],
        num_res_blocks=1,
        temperal_downsample=[True, True],
        is_residual=True,
        in_channels=12,
        out_channels=12,
        patch_size=2,
        scale_factor_temporal=4,
        scale_factor_spatial=8,
        latents_mean=mean or [0.0] * CHANNELS,
        latents_std=std or [1.0] * CHANNELS,
    )


def _frames_apart(layer: Any, x: Tensor) -> Tensor:
    b, c, t, h, w = x.shape
    y = layer.resample(x.permute(0, 2, 1, 3, 4).reshape(b * t, c, h, w))
    return y.view(b, t, *y.shape[1:]).permute(0, 2, 1, 3, 4)


def _resampled(layer: Any, x: Tensor) -> Tensor:
    """A WanResample over a whole clip; the first frame has no time to halve or double."""
    if layer.mode == "downsample3d":
        x = _frames_apart(layer, x)
        return torch.cat([x[:, :, :1], layer.time_conv(x)], 2) if x.shape[2] > 1 else x
    if layer.mode == "upsample3d" and x.shape[2] > 1:
        rest = layer.time_conv(x[:, :, 1:])
        b, c, t, h, w = rest.shape
        rest = rest.view(b, 2, c // 2, t, h, w).permute(0, 2, 3, 1, 4, 5)
        x = torch.cat([x[:, :, :1], rest.reshape(b, c // 2, 2 * t, h, w)], 2)
    return _frames_apart(layer, x)


def encode(vae: Any, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log-variance, each (B, C, f, h, w), of pixels (B, 3, F, H, W) in [-1, 1]."""
    net = vae.encoder
    x = net.conv_in(patchify(pixels, vae.config.patch_size))
    for block in net.down_blocks:
        shortcut = block.avg_shortcut(x)
        for layer in block.resnets:
            x = layer(x)
        x = (x if block.downsampler is None else _resampled(block.downsampler, x)) + shortcut
    x = net.conv_out(net.nonlinearity(net.norm_out(net.mid_block(x))))
    mean, spread = vae.quant_conv(x).chunk(2, 1)
    return mean, spread


def decode(vae: Any, latents: Tensor) -> Tensor:
    """Pixels (B, 3, F, H, W), not clamped, of latents (B, C, f, h, w) as `encode` gives them."""
    net = vae.decoder
    x = net.mid_block(net.conv_in(vae.post_quant_conv(latents)))
    for block in net.up_blocks:
        given = x
        for layer in block.resnets:
            x = layer(x)
        if block.upsampler is not None:
            x = _resampled(block.upsampler, x) + block.avg_shortcut(given, first_chunk=True)
    x = net.conv_out(net.nonlinearity(net.norm_out(x)))
    return unpatchify(x, vae.config.patch_size)
