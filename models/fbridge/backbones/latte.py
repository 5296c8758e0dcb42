"""Latte's text-to-video transformer of diffusers as a backbone, with room for prior and picture.

Frames are latents of an image VAE. Text is T5's token embeddings, of which shorter ones of a batch
are masked; time is a step of its diffusion, between steps too. Its output tells a variance besides
the noise, which is not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from fbridge.backbones import expand
from fbridge.backbones.checkpoint_layout import CheckpointLayout, Variant
from fbridge.backbones.family import Family, Video
from fbridge.backbones.noise_schedules import linear_noise
from fbridge.errors import ConfigError
from fbridge.types import Condition, Latents

_FIRST = "pos_embed.proj"


class LatteBackbone(nn.Module):
    """A `LatteTransformer3DModel` behind `fbridge.denoiser.Backbone`.

    Attributes:
        transformer: diffusers' network, shown latents, prior and picture side by side.
    """

    def __init__(self, transformer: Any) -> None:
        super().__init__()
        expand.check_input_channels(transformer, _latents(transformer))
        self.transformer = transformer

    def forward(
        self, latents: Latents, time: Tensor, condition: Condition, prior: Latents
    ) -> Tensor:
        """Noise (B, F, C, H, W) at the base's own, fractional step (B,)."""
        config = self.transformer.config
        expand.check_patches(latents, config.patch_size)
        frames = latents.shape[1]
        if frames not in (1, config.video_length):
            raise ConfigError(
                f"{frames} frames are not possible with this network: it has learnt the places of "
                f"{config.video_length}"
            )
        dtype = self.transformer.dtype
        given = expand.concat_inputs(self.transformer, latents, prior, condition)
        words = torch.where(condition.prompt_mask[..., None], condition.prompt_embeds, 0.0)
        out: Tensor = self.transformer(
            hidden_states=given.to(dtype).transpose(1, 2),
            timestep=time,
            encoder_hidden_states=words.to(dtype),
            encoder_attention_mask=_bias(condition.prompt_mask, frames, dtype),
            return_dict=False,
        )[0]
        return out.transpose(1, 2)[:, :, : latents.shape[2]].to(latents.dtype)


def _bias(mask: Tensor, frames: int, dtype: torch.dtype) -> Tensor | None:
    """(B * frames, 1, L) what is added to attention: nothing (None), or much less."""
    if mask.is_meta or bool(mask.all()):
        return None
    return ((~mask).to(dtype) * -10000.0).repeat_interleave(frames, 0)[:, None]


def _latents(transformer: Any) -> int:
    return int(transformer.config.out_channels) // 2


def _video(config: Mapping[str, Any]) -> Video:
    frames, side = config["video_length"], config["sample_size"]
    return Video([frames, frames, frames, 1], 8.0, (side, side))


@cache
def _load_class() -> Any:
    """The class of diffusers, with the adapters that it lacks; saved under its own name."""
    from diffusers import LatteTransformer3DModel
    from diffusers.loaders import PeftAdapterMixin

    kind = LatteTransformer3DModel
    adaptable = type(kind.__name__, (kind, PeftAdapterMixin), {})
    adaptable.__module__ = kind.__module__
    return adaptable


_FIRST_MODEL = {
    "num_attention_heads": 16,
    "attention_head_dim": 72,
    "in_channels": 4,
    "out_channels": 8,
    "num_layers": 28,
    "cross_attention_dim": 1152,
    "attention_bias": True,
    "sample_size": 64,
    "patch_size": 2,
    "activation_fn": "gelu-approximate",
    "num_embeds_ada_norm": 1000,
    "norm_type": "ada_norm_single",
    "norm_elementwise_affine": False,
    "norm_eps": 1e-6,
    "caption_channels": 4096,
    "video_length": 16,
}


FAMILY = Family(
    name="latte",
    transformer="LatteTransformer3DModel",
    load_class=_load_class,
    adapt=LatteBackbone,
    latents=_latents,
    prompt_width=lambda transformer: int(transformer.config.caption_channels),
    patch=lambda transformer: int(transformer.config.patch_size),
    lora_targets=("to_q", "to_k", "to_v", "to_out.0"),
    input_layer=_FIRST,
    prediction="noise",
    pipelines=("LattePipeline",),
    noise_schedule=linear_noise,
    attention_mask=True,
    video=_video,
    layouts=(
        CheckpointLayout(
            "diffusers",
            (
                "pos_embed.proj.weight",
                "temporal_transformer_blocks.0.attn1.to_q.weight",
                "caption_projection.linear_1.weight",
            ),
        ),
    ),
    variants=(Variant("Latte-1", ("maxin-cn/Latte-1",), _FIRST_MODEL),),
)
