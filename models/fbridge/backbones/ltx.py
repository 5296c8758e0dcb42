"""LTX-Video's transformer of diffusers as a backbone, with room for prior and picture.

Every latent pixel is a token, and is placed by where it is in pixels and seconds. Text is T5's
token embeddings under their mask; time is 1000 times the flow's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fbridge.backbones import expand
from fbridge.backbones.checkpoint_layout import CheckpointLayout, Variant
from fbridge.backbones.family import Family, Video
from fbridge.backbones.noise_schedules import flow_noise
from fbridge.errors import CheckpointError
from fbridge.files.key_mapping import Weights
from fbridge.types import Condition, Latents

FPS = 25.0
"""Frames per second that places in time are told for, as diffusers does by itself."""
_STRIDES = (8, 32, 32)  # frames, rows and columns of pixels a latent pixel
_FIRST = "proj_in"


class LTXBackbone(nn.Module):
    """An `LTXVideoTransformer3DModel` behind `fbridge.denoiser.Backbone`.

    Attributes:
        transformer: diffusers' network, shown latents, prior and picture side by side.
    """

    def __init__(self, transformer: Any) -> None:
        super().__init__()
        config = transformer.config
        if (config.patch_size, config.patch_size_t) != (1, 1):
            raise CheckpointError(
                f"this transformer takes patches of {config.patch_size_t} x {config.patch_size}; "
                "LTX-Video's are single latent pixels"
            )
        expand.check_input_channels(transformer, _latents(transformer))
        self.transformer = transformer

    def forward(
        self, latents: Latents, time: Tensor, condition: Condition, prior: Latents
    ) -> Tensor:
        """Flow velocity (B, F, C, H, W) at 1000 s (B,)."""
        dtype = self.transformer.dtype
        given = expand.concat_inputs(self.transformer, latents, prior, condition).to(dtype)
        frames, _, height, width = latents.shape[1:]
        words = torch.where(condition.prompt_mask[..., None], condition.prompt_embeds, 0.0)
        out: Tensor = self.transformer(
            hidden_states=given.permute(0, 1, 3, 4, 2).flatten(1, 3),
            encoder_hidden_states=words.to(dtype),
            timestep=time,
            encoder_attention_mask=condition.prompt_mask.to(torch.int64),
            num_frames=frames,
            height=height,
            width=width,
            rope_interpolation_scale=(_STRIDES[0] / FPS, *_STRIDES[1:]),
            return_dict=False,
        )[0]
        video = out.unflatten(1, (frames, height, width)).permute(0, 1, 4, 2, 3)
        return video.to(latents.dtype)


def _latents(transformer: Any) -> int:
    return int(transformer.config.out_channels)


def _video(_: Mapping[str, Any]) -> Video:
    return Video([121, 9, 257, 8], FPS, (22, 15))


def _load_class() -> Any:
    from diffusers import LTXVideoTransformer3DModel

    return LTXVideoTransformer3DModel


def _from_original(weights: Weights) -> Weights:
    from diffusers.loaders.single_file_utils import convert_ltx_transformer_checkpoint_to_diffusers

    converted: Weights = convert_ltx_transformer_checkpoint_to_diffusers(dict(weights))
    return converted


_LARGE = {"attention_head_dim": 128, "cross_attention_dim": 4096, "num_layers": 48}


FAMILY = Family(
    name="ltx",
    transformer="LTXVideoTransformer3DModel",
    load_class=_load_class,
    adapt=LTXBackbone,
    latents=_latents,
    prompt_width=lambda transformer: int(transformer.config.caption_channels),
    patch=lambda _: 1,
    lora_targets=("to_q", "to_k", "to_v", "to_out.0"),
    input_layer=_FIRST,
    prediction="flow",
    pipelines=("LTXPipeline",),
    noise_schedule=flow_noise,
    attention_mask=True,
    video=_video,
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
        ),
    ),
    variants=(
        Variant(
            "LTX-Video 2B",
            ("Lightricks/LTX-Video", "Lightricks/LTX-Video-0.9.5"),
            {},
        ),
        Variant("LTX-Video 13B", ("Lightricks/LTX-Video-0.9.7-dev",), _LARGE),
    ),
)
