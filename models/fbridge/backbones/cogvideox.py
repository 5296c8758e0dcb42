"""CogVideoX's transformer of diffusers as a backbone, with room for prior and picture.

Text is the token embeddings without padding, cut or filled up with zeros to the length that the
network knows; time is a step of its diffusion, between steps too. Version 1.5 takes two latent
frames at once, so that there must be an even number of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fbridge.backbones import expand
from fbridge.backbones.checkpoint_layout import CheckpointLayout, Variant
from fbridge.backbones.family import Family, Video
from fbridge.backbones.noise_schedules import cogvideox_noise
from fbridge.errors import ConfigError
from fbridge.files.key_mapping import Weights, rename_keys, split_layers
from fbridge.types import Condition, Latents

_FIRST = "patch_embed.proj"
_OFFSET = 2.0  # what diffusers tells 1.5's networks that have an offset embedding


class CogVideoXBackbone(nn.Module):
    """A `CogVideoXTransformer3DModel` behind `fbridge.denoiser.Backbone`.

    Attributes:
        transformer: diffusers' network. It is shown, side by side in the channels, the latents and
            as many of prior and picture (repeated over the frames) as its input has room for.
    """

    def __init__(self, transformer: Any) -> None:
        super().__init__()
        expand.check_input_channels(transformer, _latents(transformer))
        self.transformer = transformer

    def forward(
        self, latents: Latents, time: Tensor, condition: Condition, prior: Latents
    ) -> Tensor:
        """Output (B, F, C, H, W) at the base's own, fractional step (B,)."""
        config = self.transformer.config
        expand.check_patches(latents, config.patch_size)
        together = config.patch_size_t or 1
        if latents.shape[1] % together:
            raise ConfigError(
                f"{latents.shape[1]} latent frames are not possible with this network: it takes "
                f"{together} together"
            )
        dtype = self.transformer.dtype
        given = expand.concat_inputs(self.transformer, latents, prior, condition)
        offset = None if config.ofs_embed_dim is None else time.new_full((1,), _OFFSET)
        out: Tensor = self.transformer(
            hidden_states=given.to(dtype),
            encoder_hidden_states=expand.pad_prompt(condition, config.max_text_seq_length).to(
                dtype
            ),
            timestep=time,
            ofs=offset,
            image_rotary_emb=self._rotary(latents),
            return_dict=False,
        )[0]
        return out.to(latents.dtype)

    def _rotary(self, latents: Latents) -> tuple[Tensor, Tensor] | None:
        """Rotary embeddings of the latents' grid, where the network uses them (5B and 1.5)."""
        config = self.transformer.config
        if not config.use_rotary_positional_embeddings:
            return None
        from diffusers.models.embeddings import get_3d_rotary_pos_embed
        from diffusers.pipelines.cogvideo.pipeline_cogvideox import get_resize_crop_region_for_grid

        p, together = config.patch_size, config.patch_size_t
        grid = (latents.shape[3] // p, latents.shape[4] // p)
        trained = (config.sample_width // p, config.sample_height // p)
        if together is None:
            placed = {"crops_coords": get_resize_crop_region_for_grid(grid, *trained)}
        else:
            placed = {"crops_coords": None, "grid_type": "slice", "max_size": trained[::-1]}
        angles: tuple[Tensor, Tensor] = get_3d_rotary_pos_embed(
            embed_dim=config.attention_head_dim,
            grid_size=grid,
            temporal_size=latents.shape[1] // (together or 1),
            device=latents.device,
            **placed,
        )
        return angles


def _latents(transformer: Any) -> int:
    return int(transformer.config.out_channels)


def _video(config: Mapping[str, Any]) -> Video:
    step = config["temporal_compression_ratio"]
    if config["patch_size_t"] is None:
        frames = (config["sample_frames"] - 1) // step * step + 1
        grid = (config["sample_width"], config["sample_height"])
        return Video([frames, 1, frames, step], 8.0, grid)
    together = config["patch_size_t"] * step  # 1.5: 1360x768 at 16 frames a second
    first = together - step + 1
    most = first + (config["sample_frames"] - first) // together * together
    return Video([most, first, most, together], 16.0, (170, 96))


def _load_class() -> Any:
    from diffusers import CogVideoXTransformer3DModel

    return CogVideoXTransformer3DModel


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
    r"^mixins\.adaln_layer\.adaLN_modulations\.(\d+)\.1\.": r"transformer_blocks.\1.tuned.",
}
_CONSTANTS = r"embed_tokens|freqs_(sin|cos)|position_embedding"


def _from_original(weights: Weights) -> Weights:
    """From the names of the makers' own trainer (SAT)."""
    named = split_layers(
        rename_keys(weights, _NAMES, _CONSTANTS), "to_qkv", ("to_q", "to_k", "to_v")
    )
    done: Weights = {}
    for name, tensor in named.items():
        home, is_tuning, kind = name.partition(".tuned.")
        if not is_tuning:
            done[name] = tensor
            continue
        parts = tensor.chunk(12)  # shift, scale, gate: of attention and of the rest, twice (text)
        done[f"{home}.norm1.linear.{kind}"] = torch.cat([*parts[0:3], *parts[6:9]])
        done[f"{home}.norm2.linear.{kind}"] = torch.cat([*parts[3:6], *parts[9:12]])
    return done


_LARGE = {"num_attention_heads": 48, "num_layers": 42, "use_rotary_positional_embeddings": True}
_NEWER = {"patch_size_t": 2, "patch_bias": False, "sample_frames": 81}
_NEWER |= {"sample_height": 300, "sample_width": 300}

FAMILY = Family(
    name="cogvideox",
    transformer="CogVideoXTransformer3DModel",
    load_class=_load_class,
    adapt=CogVideoXBackbone,
    latents=_latents,
    prompt_width=lambda transformer: int(transformer.config.text_embed_dim),
    patch=lambda transformer: int(transformer.config.patch_size),
    lora_targets=("to_q", "to_k", "to_v", "to_out.0"),
    input_layer=_FIRST,
    prediction="v",
    pipelines=("CogVideoXPipeline",),
    noise_schedule=cogvideox_noise,
    video=_video,
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
