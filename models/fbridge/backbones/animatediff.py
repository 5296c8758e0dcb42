"""AnimateDiff, Stable Diffusion's U-Net with motion modules, as a backbone.

Frames are latents of an image VAE. Prompts are CLIP's embeddings; the network takes no mask, so
that prompts of different lengths run in separate batches. Time is a step of its diffusion, which
may be fractional.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from fbridge.backbones.adapter import DiffusersBackbone
from fbridge.backbones.checkpoint_layout import CheckpointLayout
from fbridge.backbones.family import Family, VideoDefaults
from fbridge.backbones.noise_schedules import stable_diffusion_noise
from fbridge.errors import ConfigError
from fbridge.types import Condition, Latents

_FRAMES = 16
"""Of the clips that motion modules were trained on."""


class AnimateDiffBackbone(DiffusersBackbone):
    """A `UNetMotionModel`; predicts the noise."""

    @staticmethod
    def patch(transformer: Any) -> int:
        """Side, in latent pixels, of one pixel at the lowest level."""
        return int(2 ** (len(transformer.config.block_out_channels) - 1))

    def check(self, latents: Latents) -> None:
        """Motion modules have position embeddings for so many frames."""
        super().check(latents)
        most = _most_frames(self.transformer.config)
        if latents.shape[1] > most:
            raise ConfigError(
                f"{latents.shape[1]} frames are not possible with this network: its motion modules "
                f"have positions for {most}"
            )

    def predict(self, video: Tensor, time: Tensor, condition: Condition) -> Tensor:
        """Noise (B, C, F, H, W)."""
        embeds, mask = condition.prompt_embeds, condition.prompt_mask
        if mask.is_meta or bool(mask.all()):
            return self._run(video, time, embeds)
        lengths = mask.sum(1)
        out = video.new_empty(len(video), self.latent_channels(self.transformer), *video.shape[2:])
        for length in lengths.unique().tolist():
            rows = lengths == length
            prompts = embeds[rows][mask[rows]].unflatten(0, (-1, length))
            out[rows] = self._run(video[rows], time[rows], prompts)
        return out

    def _run(self, video: Tensor, time: Tensor, prompts: Tensor) -> Tensor:
        prompts = prompts.to(video.dtype).repeat_interleave(video.shape[2], 0)
        out: Tensor = self.transformer(video, time, prompts, return_dict=False)[0]
        return out


def _most_frames(config: Mapping[str, Any]) -> int:
    return int(config["motion_max_seq_length"])


def _video(config: Mapping[str, Any]) -> VideoDefaults:
    side = config["sample_size"] or 64
    most = _most_frames(config)
    return VideoDefaults([min(_FRAMES, most), 2, most, 1], 8.0, (side, side))


FAMILY = Family(
    name="animatediff",
    transformer="UNetMotionModel",
    adapt=AnimateDiffBackbone,
    latents=AnimateDiffBackbone.latent_channels,
    prompt_width=lambda transformer: int(transformer.config.cross_attention_dim),
    patch=AnimateDiffBackbone.patch,
    input_layer="conv_in",
    pipeline_part="unet",
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
