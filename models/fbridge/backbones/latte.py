"""Latte's text-to-video transformer of diffusers as a backbone.

Frames are latents of an image VAE. Prompts are T5's embeddings, masked where those of a batch
differ in length; time is a step of its diffusion, which may be fractional. Its output has the noise
and a variance, which is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor

from fbridge.backbones.adapter import DiffusersBackbone, masked_prompt
from fbridge.backbones.checkpoint_layout import CheckpointLayout, Variant
from fbridge.backbones.family import Family, VideoDefaults
from fbridge.backbones.noise_schedules import linear_noise
from fbridge.errors import ConfigError
from fbridge.types import Condition, Latents


class LatteBackbone(DiffusersBackbone):
    """A `LatteTransformer3DModel`; predicts the noise."""

    @staticmethod
    def latent_channels(transformer: Any) -> int:
        """Half of the output: the rest is a variance."""
        return int(transformer.config.out_channels) // 2

    def check(self, latents: Latents) -> None:
        """Only the learnt number of frames, or one."""
        super().check(latents)
        frames, known = latents.shape[1], self.transformer.config.video_length
        if frames not in (1, known):
            raise ConfigError(
                f"{frames} frames are not possible with this network: it has learnt the places of "
                f"{known}"
            )

    def predict(self, video: Tensor, time: Tensor, condition: Condition) -> Tensor:
        """Noise and variance (B, 2 C, F, H, W)."""
        out: Tensor = self.transformer(
            hidden_states=video,
            timestep=time,
            encoder_hidden_states=masked_prompt(condition).to(video.dtype),
            encoder_attention_mask=_bias(condition.prompt_mask, video.shape[2], video.dtype),
            return_dict=False,
        )[0]
        return out


def _bias(mask: Tensor, frames: int, dtype: torch.dtype) -> Tensor | None:
    """(B * frames, 1, L) added to the attention scores; None if nothing is masked."""
    if mask.is_meta or bool(mask.all()):
        return None
    return ((~mask).to(dtype) * -10000.0).repeat_interleave(frames, 0)[:, None]


def _video(config: Mapping[str, Any]) -> VideoDefaults:
    frames, side = config["video_length"], config["sample_size"]
    return VideoDefaults([frames, frames, frames, 1], 8.0, (side, side))


@cache
def _with_lora() -> Any:
    """The class of diffusers with the LoRA methods that it lacks, saved under its own name."""
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
    own_class=_with_lora,
    adapt=LatteBackbone,
    latents=LatteBackbone.latent_channels,
    prompt_width=lambda transformer: int(transformer.config.caption_channels),
    patch=LatteBackbone.patch,
    input_layer="pos_embed.proj",
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
