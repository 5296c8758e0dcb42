"""Wan 2.1's and 2.2's transformer of diffusers as a backbone, with room for prior and picture.

Text is UMT5's token embeddings, cut or filled up with zeros to 512; time is 1000 times the flow's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from fbridge.backbones import expand
from fbridge.backbones.checkpoint_layout import CheckpointLayout, Variant
from fbridge.backbones.family import Family, Video
from fbridge.backbones.noise_schedules import flow_noise
from fbridge.errors import CheckpointError, ConfigError
from fbridge.files.key_mapping import Weights
from fbridge.types import Condition, Latents

TOKENS = 512
"""Words that all of these models were trained with."""
_FIRST = "patch_embedding"
_WIDE = 48  # channels of the latents of Wan 2.2 5B


class WanBackbone(nn.Module):
    """A `WanTransformer3DModel` behind `fbridge.denoiser.Backbone`.

    Attributes:
        transformer: diffusers' network, shown latents, prior and picture side by side.
    """

    def __init__(self, transformer: Any) -> None:
        super().__init__()
        if transformer.config.image_dim is not None:
            raise CheckpointError(
                "this transformer is of Wan's picture-to-video model, which reads CLIP's view of "
                "the picture; take the text-to-video one as base"
            )
        expand.check_input_channels(transformer, _latents(transformer))
        self.transformer = transformer

    def forward(
        self, latents: Latents, time: Tensor, condition: Condition, prior: Latents
    ) -> Tensor:
        """Flow velocity (B, F, C, H, W) at 1000 s (B,)."""
        frames, patch, _ = self.transformer.config.patch_size
        expand.check_patches(latents, patch)
        if latents.shape[1] % frames:
            raise ConfigError(
                f"{latents.shape[1]} latent frames are not possible with this network: it takes "
                f"{frames} together"
            )
        dtype = self.transformer.dtype
        given = expand.concat_inputs(self.transformer, latents, prior, condition)
        out: Tensor = self.transformer(
            hidden_states=given.to(dtype).transpose(1, 2),
            timestep=time,
            encoder_hidden_states=expand.pad_prompt(condition, TOKENS).to(dtype),
            return_dict=False,
        )[0]
        return out.transpose(1, 2).to(latents.dtype)


def _latents(transformer: Any) -> int:
    return int(transformer.config.out_channels)


def _video(config: Mapping[str, Any]) -> Video:
    if config["out_channels"] == _WIDE:  # 2.2 5B: 1280x704 at 24 frames a second
        return Video([121, 5, 121, 4], 24.0, (80, 44))
    return Video([81, 5, 121, 4], 16.0, (104, 60))


def _load_class() -> Any:
    from diffusers import WanTransformer3DModel

    return WanTransformer3DModel


def _from_original(weights: Weights) -> Weights:
    from diffusers.loaders.single_file_utils import convert_wan_transformer_to_diffusers

    converted: Weights = convert_wan_transformer_to_diffusers(dict(weights))
    return converted


def _sized(heads: int, inner: int, layers: int, latents: int = 16) -> dict[str, int]:
    """A configuration, of heads of 128 features."""
    return {
        "num_attention_heads": heads, "ffn_dim": inner, "num_layers": layers,
        "in_channels": latents, "out_channels": latents,
    }  # fmt: skip


FAMILY = Family(
    name="wan",
    transformer="WanTransformer3DModel",
    load_class=_load_class,
    adapt=WanBackbone,
    latents=_latents,
    prompt_width=lambda transformer: int(transformer.config.text_dim),
    patch=lambda transformer: int(transformer.config.patch_size[1]),
    lora_targets=("to_q", "to_k", "to_v", "to_out.0"),
    input_layer=_FIRST,
    prediction="flow",
    pipelines=("WanPipeline",),
    noise_schedule=flow_noise,
    video=_video,
    layouts=(
        CheckpointLayout(
            "diffusers",
            (
                "patch_embedding.weight",
                "condition_embedder.time_proj.weight",
                "blocks.0.attn1.to_q.weight",
            ),
        ),
        CheckpointLayout(
            "original",
            ("patch_embedding.weight", "blocks.0.self_attn.q.weight", "head.modulation"),
            _from_original,
        ),
    ),
    variants=(
        Variant("Wan 2.1 1.3B", ("Wan-AI/Wan2.1-T2V-1.3B-Diffusers",), _sized(12, 8960, 30)),
        Variant(
            "Wan 2.1 14B (and one expert of 2.2's A14B)",
            ("Wan-AI/Wan2.1-T2V-14B-Diffusers",),
            _sized(40, 13824, 40),
        ),
        Variant("Wan 2.2 5B", ("Wan-AI/Wan2.2-TI2V-5B-Diffusers",), _sized(24, 14336, 30, _WIDE)),
    ),
)
