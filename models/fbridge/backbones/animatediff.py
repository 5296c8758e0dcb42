"""AnimateDiff, Stable Diffusion's U-Net with motion modules, as a backbone with room for a picture.

Frames are latents of an image VAE. Text is CLIP's token embeddings, with no mask that the network
could be told: videos of prompts of several lengths are computed apart. Time is a step of its
diffusion, between steps too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fbridge.backbones import expand
from fbridge.backbones.checkpoint_layout import CheckpointLayout
from fbridge.backbones.family import Family, Video
from fbridge.backbones.noise_schedules import stable_diffusion_noise
from fbridge.errors import ConfigError
from fbridge.types import Condition, Latents

_FIRST = "conv_in"
_FRAMES = 16
"""Of a clip that motion modules were trained on."""


class AnimateDiffBackbone(nn.Module):
    """A `UNetMotionModel` behind `fbridge.denoiser.Backbone`.

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
        expand.check_patches(latents, _patch(self.transformer))
        most = _places(self.transformer.config)
        if latents.shape[1] > most:
            raise ConfigError(
                f"{latents.shape[1]} frames are not possible with this network: its motion modules "
                f"have places for {most}"
            )
        given = expand.concat_inputs(self.transformer, latents, prior, condition)
        if condition.prompt_mask.is_meta or bool(condition.prompt_mask.all()):
            return self._run(given, time, condition.prompt_embeds).to(latents.dtype)
        lengths = condition.prompt_mask.sum(1)
        out = torch.empty_like(latents)
        for length in lengths.unique().tolist():
            rows = lengths == length
            words = condition.prompt_embeds[rows][condition.prompt_mask[rows]].unflatten(
                0, (-1, length)
            )
            out[rows] = self._run(given[rows], time[rows], words).to(out)
        return out

    def _run(self, given: Tensor, time: Tensor, words: Tensor) -> Tensor:
        dtype = self.transformer.dtype
        out: Tensor = self.transformer(
            given.to(dtype).transpose(1, 2),
            time,
            words.to(dtype).repeat_interleave(given.shape[1], 0),
            return_dict=False,
        )[0]
        return out.transpose(1, 2)


def _latents(transformer: Any) -> int:
    return int(transformer.config.out_channels)


def _patch(transformer: Any) -> int:
    return int(2 ** (len(transformer.config.block_out_channels) - 1))


def _places(config: Mapping[str, Any]) -> int:
    return int(config["motion_max_seq_length"])


def _video(config: Mapping[str, Any]) -> Video:
    side = config["sample_size"] or 64
    most = _places(config)
    return Video([min(_FRAMES, most), 2, most, 1], 8.0, (side, side))


def _load_class() -> Any:
    from diffusers import UNetMotionModel

    return UNetMotionModel


FAMILY = Family(
    name="animatediff",
    transformer="UNetMotionModel",
    load_class=_load_class,
    adapt=AnimateDiffBackbone,
    latents=_latents,
    prompt_width=lambda transformer: int(transformer.config.cross_attention_dim),
    patch=_patch,
    lora_targets=("to_q", "to_k", "to_v", "to_out.0"),
    input_layer=_FIRST,
    prediction="noise",
    pipelines=("AnimateDiffPipeline",),
    depth_keys=(),
    noise_schedule=stable_diffusion_noise,
    video=_video,
    layouts=(
        CheckpointLayout(
            "diffusers",
            (
                "conv_in.weight",
                "time_embedding.linear_1.weight",
                "down_blocks.0.motion_modules.0.proj_in.weight",
            ),
        ),
    ),
)
