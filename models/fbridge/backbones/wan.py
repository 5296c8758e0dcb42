"""Wan 2.1's and 2.2's transformer of diffusers as a backbone, and SkyReels-V2's, which is the same.

Prompts are UMT5's embeddings, cut or zero-padded to 512 tokens (MiniLM's, which miniatures read, to
32); time is 1000 times the flow's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from fbridge.backbones.adapter import (
    DiffusersBackbone,
    check_temporal_patches,
    pad_prompt,
    token_times,
)
from fbridge.backbones.checkpoint_layout import CheckpointLayout, Variant
from fbridge.backbones.family import Family, VideoDefaults
from fbridge.backbones.noise_schedules import flow_noise
from fbridge.errors import CheckpointError, ConfigError
from fbridge.files.key_mapping import Weights
from fbridge.types import Condition, Latents

TOKENS = 512
"""Length of the prompts of all of these models' training."""
MINILM_TOKENS, _MINILM = 32, 384
"""Length of the prompts of a miniature that reads the packaged text encoder, and their width."""
_WIDE = 48  # channels of the latents of Wan 2.2 5B
_SKYREELS = "SkyReelsV2Transformer3DModel"


class WanBackbone(DiffusersBackbone):
    """A `WanTransformer3DModel`; predicts the flow's velocity."""

    def __init__(self, transformer: Any) -> None:
        if transformer.config.image_dim is not None:
            raise CheckpointError(
                "this transformer is of Wan's image-to-video model, which takes CLIP's embedding "
                "of the picture; use the text-to-video model"
            )
        super().__init__(transformer)

    @staticmethod
    def patch(transformer: Any) -> int:
        """Of (frames, rows, columns), the rows."""
        return int(transformer.config.patch_size[1])

    def check(self, latents: Latents) -> None:
        """Frames come in patches too, and patches have one of so many positions an axis."""
        super().check(latents)
        config = self.transformer.config
        check_temporal_patches(latents, config.patch_size[0])
        most = config.rope_max_seq_len
        axes = (latents.shape[1], *latents.shape[3:])
        held = [most * patch for patch in config.patch_size]
        if any(count > room for count, room in zip(axes, held, strict=True)):
            raise ConfigError(
                f"{axes[0]} latent frames of {axes[2]}x{axes[1]} are not possible with this "
                f"network, which has positions for {held[0]} of {held[2]}x{held[1]}; take a "
                "smaller --size or fewer --frames"
            )

    def predict(self, video: Tensor, time: Tensor, condition: Condition) -> Tensor:
        """Velocity (B, C, F, H, W)."""
        side, tokens = self.patch(self.transformer), prompt_tokens(self.transformer)
        out: Tensor = self.transformer(
            hidden_states=video,
            timestep=token_times(time, video.shape[3] // side * (video.shape[4] // side)),
            encoder_hidden_states=pad_prompt(condition, tokens).to(video.dtype),
            return_dict=False,
        )[0]
        return out


def prompt_tokens(transformer: Any) -> int:
    """Length to which a network's prompts are padded: its text encoder decides it."""
    return MINILM_TOKENS if transformer.config.text_dim == _MINILM else TOKENS


def _refused(config: Mapping[str, Any]) -> str:
    """Of SkyReels-V2's models for diffusion forcing, whose frames have times of their own."""
    if config.get("inject_sample_info") or config.get("num_frame_per_block", 1) != 1:
        return (
            "is SkyReels-V2's model for diffusion forcing, whose network takes more than Wan's; "
            "take its text-to-video model"
        )
    return ""


def _video(config: Mapping[str, Any]) -> VideoDefaults:
    if config.get("_class_name") == _SKYREELS:
        return VideoDefaults([97, 5, 121, 4], 24.0, (120, 68))
    if config["out_channels"] == _WIDE:  # 2.2 5B: 1280x704 at 24 frames a second
        return VideoDefaults([121, 5, 121, 4], 24.0, (80, 44))
    return VideoDefaults([81, 5, 121, 4], 16.0, (104, 60))


def _native_picture(config: Mapping[str, Any]) -> bool:
    """Of 2.2 5B alone, which its makers trained on text and on pictures (`expand_timesteps`)."""
    return bool(config["out_channels"] == _WIDE and config.get("patch_size", (1,))[0] == 1)


def _from_original(weights: Weights) -> Weights:
    from diffusers.loaders.single_file_utils import convert_wan_transformer_to_diffusers

    converted: Weights = convert_wan_transformer_to_diffusers(dict(weights))
    return converted


_LAYER_NAMES = {
    r"^condition_embedder\.time_embedder\.linear_1$": "time_embedding.0",
    r"^condition_embedder\.time_embedder\.linear_2$": "time_embedding.2",
    r"^condition_embedder\.text_embedder\.linear_1$": "text_embedding.0",
    r"^condition_embedder\.text_embedder\.linear_2$": "text_embedding.2",
    r"^condition_embedder\.time_proj$": "time_projection.1",
    r"^proj_out$": "head.head",
    r"\.attn1\.": ".self_attn.",
    r"\.attn2\.": ".cross_attn.",
    r"\.to_([qkv])$": r".\1",
    r"\.to_out\.0$": ".o",
    r"\.ffn\.net\.0\.proj$": ".ffn.0",
    r"\.ffn\.net\.2$": ".ffn.2",
}


def _config(heads: int, inner: int, layers: int, latents: int = 16) -> dict[str, int]:
    """A configuration, of heads of 128 features."""
    return {
        "num_attention_heads": heads, "ffn_dim": inner, "num_layers": layers,
        "in_channels": latents, "out_channels": latents,
    }  # fmt: skip


FAMILY = Family(
    name="wan",
    transformer="WanTransformer3DModel",
    adapt=WanBackbone,
    latents=WanBackbone.latent_channels,
    prompt_width=lambda transformer: int(transformer.config.text_dim),
    patch=WanBackbone.patch,
    input_layer="patch_embedding",
    prediction="flow",
    pipelines=("WanPipeline", "SkyReelsV2Pipeline"),
    same_classes=(_SKYREELS,),
    refused=_refused,
    noise_schedule=flow_noise,
    video=_video,
    native_picture=_native_picture,
    boundary=0.875,  # of Wan 2.2 T2V A14B
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
            compounds=(
                "self_attn",
                "cross_attn",
                "norm_q",
                "norm_k",
                "k_img",
                "v_img",
                "norm_k_img",
                "img_emb",
                "patch_embedding",
                "text_embedding",
                "time_embedding",
                "time_projection",
            ),
            layer_names=_LAYER_NAMES,
        ),
    ),
    variants=(
        Variant("Wan 2.1 1.3B", ("Wan-AI/Wan2.1-T2V-1.3B-Diffusers",), _config(12, 8960, 30)),
        Variant(
            "Wan 2.1 14B (and one expert of 2.2's A14B)",
            ("Wan-AI/Wan2.1-T2V-14B-Diffusers",),
            _config(40, 13824, 40),
        ),
        Variant("Wan 2.2 5B", ("Wan-AI/Wan2.2-TI2V-5B-Diffusers",), _config(24, 14336, 30, _WIDE)),
    ),
)
