"""Small random autoencoders of every known class."""

from __future__ import annotations

from typing import Any

import diffusers
import torch

IMAGE = ("AutoencoderKL", "AutoencoderTiny")
VIDEO = (
    "AutoencoderKLCogVideoX",
    "AutoencoderKLWan",
    "AutoencoderKLLTXVideo",
    "AutoencoderKLHunyuanVideo",
)
CAUSAL = ("AutoencoderKLWan", "AutoencoderKLLTXVideo")
"""Those in which no layer looks ahead; the others' group normalisations average over time."""

CONFIGS: dict[str, dict[str, Any]] = {
    "AutoencoderKL": {
        "block_out_channels": (8, 8, 8),
        "down_block_types": ("DownEncoderBlock2D",) * 3,
        "up_block_types": ("UpDecoderBlock2D",) * 3,
        "layers_per_block": 1,
        "latent_channels": 4,
        "norm_num_groups": 4,
        "scaling_factor": 0.36,
        "shift_factor": 0.12,
        "sample_size": 64,
    },
    "AutoencoderTiny": {
        "encoder_block_out_channels": (8, 8, 8, 8),
        "decoder_block_out_channels": (8, 8, 8, 8),
        "num_encoder_blocks": (1, 1, 1, 1),
        "num_decoder_blocks": (1, 1, 1, 1),
        "scaling_factor": 1.7,
        "shift_factor": 0.2,
    },
    "AutoencoderKLCogVideoX": {
        "block_out_channels": (8, 8, 8, 8),
        "latent_channels": 4,
        "layers_per_block": 1,
        "norm_num_groups": 2,
        "scaling_factor": 0.7,
    },
    "AutoencoderKLWan": {
        "base_dim": 4,
        "z_dim": 3,
        "dim_mult": [1, 1, 1, 1],
        "num_res_blocks": 1,
        "latents_mean": [0.3, -0.2, 0.1],
        "latents_std": [2.0, 0.5, 1.5],
    },
    "AutoencoderKLLTXVideo": {
        "latent_channels": 6,
        "block_out_channels": (8, 8),
        "decoder_block_out_channels": (8, 8),
        "down_block_types": ("LTXVideoDownBlock3D",) * 2,
        "layers_per_block": (1, 1, 1),
        "decoder_layers_per_block": (1, 1, 1),
        "spatio_temporal_scaling": (True, True),
        "decoder_spatio_temporal_scaling": (True, True),
        "decoder_inject_noise": (False, False, False),
        "downsample_type": ("conv", "conv"),
        "upsample_residual": (False, False),
        "upsample_factor": (1, 1),
        "patch_size": 2,
        "scaling_factor": 1.3,
        "timestep_conditioning": True,
    },
    "AutoencoderKLHunyuanVideo": {
        "latent_channels": 4,
        "block_out_channels": (8, 8, 8, 8),
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "scaling_factor": 0.48,
    },
}


def tiny_vae(kind: str, **options: Any) -> Any:
    """One of a class, random by a fixed seed, its latents of about unit size."""
    torch.manual_seed(5)
    vae = getattr(diffusers, kind)(**{**CONFIGS[kind], **options}).eval()
    if kind == "AutoencoderKLLTXVideo":
        vae.latents_mean.copy_(torch.linspace(-0.4, 0.6, 6))
        vae.latents_std.copy_(torch.linspace(0.5, 2, 6))
    return vae
