"""CogVideoX's transformer of diffusers as a backbone.

Prompts are token embeddings without padding, cut or padded with zeros to the network's own length;
time is a step of its diffusion, which may be fractional. Version 1.5 has patches of two latent
frames; an odd number of them is preceded by the first once more, as in the makers' training.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from fbridge.backbones.adapter import DiffusersBackbone, pad_prompt
from fbridge.backbones.checkpoint_layout import CheckpointLayout, Variant
from fbridge.backbones.family import Family, VideoDefaults
from fbridge.backbones.noise_schedules import cogvideox_noise
from fbridge.files.key_mapping import Weights, rename_keys, split_layers
from fbridge.types import Condition

_OFFSET = 2.0  # what diffusers gives to 1.5's networks that have an offset embedding


class CogVideoXBackbone(DiffusersBackbone):
    """A `CogVideoXTransformer3DModel`; predicts v."""

    frame_axis = 1

    def predict(self, video: Tensor, time: Tensor, condition: Condition) -> Tensor:
        """Prediction of v, (B, F, C, H, W)."""
        config = self.transformer.config
        prompts = pad_prompt(condition, config.max_text_seq_length)
        before = -video.shape[1] % (config.patch_size_t or 1)
        video = torch.cat([video[:, :1].expand(-1, before, -1, -1, -1), video], 1)
        out: Tensor = self.transformer(
            hidden_states=video,
            encoder_hidden_states=prompts.to(video.dtype),
            timestep=time,
            ofs=None if config.ofs_embed_dim is None else time.new_full((1,), _OFFSET),
            image_rotary_emb=self._rotary(video),
            return_dict=False,
        )[0]
        return out[:, before:]

    def _rotary(self, video: Tensor) -> tuple[Tensor, Tensor] | None:
        """Rotary embeddings of a video's latent grid, if the network uses them (5B and 1.5)."""
        config = self.transformer.config
        if not config.use_rotary_positional_embeddings:
            return None
        from diffusers.models.embeddings import get_3d_rotary_pos_embed
        from diffusers.pipelines.cogvideo.pipeline_cogvideox import get_resize_crop_region_for_grid

        p, together = config.patch_size, config.patch_size_t
        grid = (video.shape[3] // p, video.shape[4] // p)
        trained = (config.sample_width // p, config.sample_height // p)
        if together is None:
            placed = {"crops_coords": get_resize_crop_region_for_grid(grid, *trained)}
        else:
            placed = {"crops_coords": None, "grid_type": "slice", "max_size": trained[::-1]}
        angles: tuple[Tensor, Tensor] = get_3d_rotary_pos_embed(
            embed_dim=config.attention_head_dim,
            grid_size=grid,
            temporal_size=video.shape[1] // (together or 1),
            device=video.device,
            **placed,
        )
        return angles


def _video(config: Mapping[str, Any]) -> VideoDefaults:
    step = config["temporal_compression_ratio"]
    if step > 1:  # its autoencoder decodes odd numbers of latent frames; see `fbridge.codecs.vae`
        step *= 2
    frames = (config["sample_frames"] - 1) // step * step + 1
    newer = config["patch_size_t"] is not None  # 1.5: 1360x768 at 16 frames a second
    grid = (170, 96) if newer else (config["sample_width"], config["sample_height"])
    return VideoDefaults([frames, 1, frames, step], 16.0 if newer else 8.0, grid)


def _refused(config: Mapping[str, Any]) -> str:
    """Of its image-to-video networks, which have twice the input channels."""
    widened = config["in_channels"] == 2 * config["out_channels"]
    learned = config["use_learned_positional_embeddings"]
    if not (widened and (learned or config["ofs_embed_dim"] is not None)):
        return ""
    return (
        f"is {'CogVideoX-5b-I2V' if learned else 'CogVideoX1.5-5B-I2V'} or like it, an "
        "image-to-video model, which is not supported; take the text-to-video model: "
        f"{'zai-org/CogVideoX-5b' if learned else 'zai-org/CogVideoX1.5-5B'}"
    )


_NAMES = {
    r"^transformer\.final_layernorm\.": "norm_final.",
    r"^transformer\.layers\.": "transformer_blocks.",
    r"\.input_layernorm\.": ".norm1.norm.",
    r"\.post_attention_layernorm\.": ".norm2.norm.",
    r"\.attention\.dense\.": ".attn1.to_out.0.",
    r"\.attention\.query_key_value\.": ".attn1.to_qkv.",
    r"\.mlp\.dense_h_to_4h\.": ".ff.net.0.proj.",
    r"\.mlp\.dense_4h_to_h\.": ".ff.net.2.",
    r"^time_embed\.0\.": "time_embedding.linear_1.",
    r"^time_embed\.2\.": "time_embedding.linear_2.",
    r"^ofs_embed\.0\.": "ofs_embedding.linear_1.",
    r"^ofs_embed\.2\.": "ofs_embedding.linear_2.",
    r"^mixins\.patch_embed\.": "patch_embed.",
    r"^mixins\.final_layer\.norm_final\.": "norm_out.norm.",
    r"^mixins\.final_layer\.linear\.": "proj_out.",
    r"^mixins\.final_layer\.adaLN_modulation\.1\.": "norm_out.linear.",
    r"^mixins\.adaln_layer\.query_layernorm_list\.(\d+)\.": r"transformer_blocks.\1.attn1.norm_q.",
    r"^mixins\.adaln_layer\.key_layernorm_list\.(\d+)\.": r"transformer_blocks.\1.attn1.norm_k.",
    r"^mixins\.adaln_layer\.adaLN_modulations\.(\d+)\.1\.": r"transformer_blocks.\1.modulation.",
}
_CONSTANTS = r"embed_tokens|freqs_(sin|cos)|position_embedding"


def _from_original(weights: Weights) -> Weights:
    """From the names of the original trainer (SAT)."""
    named = split_layers(
        rename_keys(weights, _NAMES, _CONSTANTS), "to_qkv", ("to_q", "to_k", "to_v")
    )
    done: Weights = {}
    for name, tensor in named.items():
        block, is_modulation, kind = name.partition(".modulation.")
        if not is_modulation:
            done[name] = tensor
            continue
        parts = tensor.chunk(12)  # shift, scale, gate: of attention and of the rest, twice (text)
        done[f"{block}.norm1.linear.{kind}"] = torch.cat([*parts[0:3], *parts[6:9]])
        done[f"{block}.norm2.linear.{kind}"] = torch.cat([*parts[3:6], *parts[9:12]])
    return done


_LARGE = {"num_attention_heads": 48, "num_layers": 42, "use_rotary_positional_embeddings": True}
_NEWER = {"patch_size_t": 2, "patch_bias": False, "sample_frames": 81}
_NEWER |= {"sample_height": 300, "sample_width": 300}

FAMILY = Family(
    name="cogvideox",
    transformer="CogVideoXTransformer3DModel",
    adapt=CogVideoXBackbone,
    latents=CogVideoXBackbone.latent_channels,
    prompt_width=lambda transformer: int(transformer.config.text_embed_dim),
    patch=CogVideoXBackbone.patch,
    input_layer="patch_embed.proj",
    prediction="v",
    pipelines=("CogVideoXPipeline",),
    noise_schedule=cogvideox_noise,
    video=_video,
    refused=_refused,
    layouts=(
        CheckpointLayout(
            "diffusers",
            (
                "patch_embed.proj.weight",
                "patch_embed.text_proj.weight",
                "transformer_blocks.0.attn1.norm_q.weight",
            ),
        ),
        CheckpointLayout(
            "original",
            (
                "mixins.patch_embed.proj.weight",
                "mixins.adaln_layer.adaLN_modulations.0.1.weight",
                "transformer.layers.0.attention.query_key_value.weight",
            ),
            _from_original,
        ),
    ),
    variants=(
        Variant("CogVideoX 2B", ("zai-org/CogVideoX-2b",), {}),
        Variant("CogVideoX 5B", ("zai-org/CogVideoX-5b",), _LARGE),
        Variant("CogVideoX 1.5 5B", ("zai-org/CogVideoX1.5-5B",), {**_LARGE, **_NEWER}),
    ),
)
