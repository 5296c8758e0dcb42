"""LTX-Video's transformer of diffusers as a backbone.

Every latent pixel is a token with its position in pixels and seconds. Prompts are T5's embeddings
under their mask; time is 1000 times the flow's.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fbridge.backbones.adapter import DiffusersBackbone, masked_prompt, token_times
from fbridge.backbones.checkpoint_layout import CheckpointLayout, Variant
from fbridge.backbones.family import Family, VideoDefaults
from fbridge.backbones.noise_schedules import flow_noise
from fbridge.errors import CheckpointError
from fbridge.files.key_mapping import Weights
from fbridge.types import Condition

FPS = 25.0
"""Frames per second that positions in time are computed with: the default of diffusers."""
_STRIDES = (8, 32, 32)  # frames, rows and columns of pixels a latent pixel


class LTXBackbone(DiffusersBackbone):
    """An `LTXVideoTransformer3DModel`; predicts the flow's velocity."""

    frame_axis = 1

    def __init__(self, transformer: Any) -> None:
        config = transformer.config
        if (config.patch_size, config.patch_size_t) != (1, 1):
            raise CheckpointError(
                f"this transformer takes patches of {config.patch_size_t} x {config.patch_size}; "
                "LTX-Video's are single latent pixels"
            )
        super().__init__(transformer)

    def predict(self, video: Tensor, time: Tensor, condition: Condition) -> Tensor:
        """Velocity (B, F, C, H, W)."""
        frames, _, height, width = video.shape[1:]
        out: Tensor = self.transformer(
            hidden_states=video.permute(0, 1, 3, 4, 2).flatten(1, 3),
            encoder_hidden_states=masked_prompt(condition).to(video.dtype),
            timestep=token_times(time, height * width),
            encoder_attention_mask=condition.prompt_mask.to(torch.int64),
            num_frames=frames,
            height=height,
            width=width,
            rope_interpolation_scale=(_STRIDES[0] / FPS, *_STRIDES[1:]),
            return_dict=False,
        )[0]
        return out.unflatten(1, (frames, height, width)).permute(0, 1, 4, 2, 3)


def _from_original(weights: Weights) -> Weights:
    from diffusers.loaders.single_file_utils import convert_ltx_transformer_checkpoint_to_diffusers

    converted: Weights = convert_ltx_transformer_checkpoint_to_diffusers(dict(weights))
    return converted


_13B = {"attention_head_dim": 128, "cross_attention_dim": 4096, "num_layers": 48}

FAMILY = Family(
    name="ltx",
    transformer="LTXVideoTransformer3DModel",
    adapt=LTXBackbone,
    latents=LTXBackbone.latent_channels,
    prompt_width=lambda transformer: int(transformer.config.caption_channels),
    patch=LTXBackbone.patch,
    input_layer="proj_in",
    prediction="flow",
    pipelines=("LTXPipeline", "LTXImageToVideoPipeline", "LTXConditionPipeline"),  # of one network
    noise_schedule=flow_noise,
    attention_mask=True,
    native_picture=lambda _: True,
    video=lambda _: VideoDefaults([121, 9, 257, 8], FPS, (22, 15)),
    layouts=(
        CheckpointLayout(
            "diffusers",
            (
                "proj_in.weight",
                "time_embed.linear.weight",
                "transformer_blocks.0.attn1.norm_q.weight",
            ),
        ),
        CheckpointLayout(
            "original",
            (
                "patchify_proj.weight",
                "adaln_single.linear.weight",
                "transformer_blocks.0.attn1.q_norm.weight",
            ),
            _from_original,
            compounds=(
                "transformer_blocks",
                "to_q",
                "to_k",
                "to_v",
                "to_out",
                "q_norm",
                "k_norm",
                "patchify_proj",
                "proj_out",
                "adaln_single",
                "caption_projection",
                "timestep_embedder",
                "linear_1",
                "linear_2",
            ),
        ),
    ),
    variants=(
        Variant("LTX-Video 2B", ("Lightricks/LTX-Video", "Lightricks/LTX-Video-0.9.5"), {}),
        Variant("LTX-Video 13B", ("Lightricks/LTX-Video-0.9.7-dev",), _13B),
    ),
)
