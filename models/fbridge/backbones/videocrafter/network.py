"""The U-Net, under the names of its makers' tensors."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.loaders import PeftAdapterMixin
from torch import Tensor, nn

from fbridge.backbones import expand
from fbridge.backbones.time_embedding import waves
from fbridge.backbones.videocrafter.attention import (
    GROUPS,
    Attending,
    SpatialTransformer,
    TemporalTransformer,
    Told,
)
from fbridge.backbones.videocrafter.layers import Downsample, ResBlock, Stage, Upsample
from fbridge.backbones.videocrafter.resampler import Resampler
from fbridge.errors import ConfigError
from fbridge.types import Condition, Latents

HEADS_AT_FIRST = 8
"""Of the attention along time behind the first convolution."""


class VideoCrafterUNet(ModelMixin, ConfigMixin, PeftAdapterMixin):  # type: ignore[misc]
    """(B, F, C, H, W) latents, a step, words and the picture in; a prediction of that shape out.

    Args:
        in_channels: of the latents and of what is shown beside them: prior, picture.
        out_channels: of the latents.
        model_channels: of the first convolution, a multiple of 32.
        channel_mult: times those, of every level; each has half the sides of the one before.
        attention_levels: of them, whether they have transformers.
        num_res_blocks: of a level.
        head_features: of an attention head.
        transformer_depth: blocks of a transformer.
        context_dim: features of a token.
        linear: whether the transformers' projections are linear layers.
        temporal_conv: whether the residual blocks have convolutions along time.
        first_attention: whether there is attention along time behind the first convolution.
        reach: frames that attention along time tells apart by an embedding; 0 is none.
        rate: what the network is told of the clip's speed, in its makers' scale: frames a second
            (VideoCrafter), or frames of the original from one to the next (FrameBridge); None of a
            network that is told nothing.
        image: of a network that is told what CLIP sees of the picture, the numbers of its
            `resampler.Resampler`: features, width, count, depth, heads, head, and "gated"
            as `attention.Attention` has it; None of others.
        frames: that the picture has tokens for; 0 where it has none.
        signal_scale: last factor on the signal of its diffusion, and after how many steps it is
            reached, in a line from 1; None of one that preserves variance.
        sample_size: (height, width) of the latents that it was trained on.
        bridge: whether it was trained as FrameBridge's bridge, not as a diffusion.
    """

    _supports_gradient_checkpointing = True
    _no_split_modules: ClassVar = ["ResBlock", "SpatialTransformer", "TemporalTransformer"]

    @register_to_config
    def __init__(  # noqa: PLR0913 - a network's numbers, all in its config
        self,
        in_channels: int = 4,
        out_channels: int = 4,
        model_channels: int = 320,
        channel_mult: tuple[int, ...] = (1, 2, 4, 4),
        attention_levels: tuple[bool, ...] = (True, True, True, False),
        num_res_blocks: int = 2,
        head_features: int = 64,
        transformer_depth: int = 1,
        context_dim: int = 1024,
        linear: bool = True,
        temporal_conv: bool = False,
        first_attention: bool = True,
        reach: int = 16,
        rate: int | None = None,
        image: dict[str, Any] | None = None,
        frames: int = 0,
        signal_scale: tuple[float, int] | None = None,
        sample_size: tuple[int, int] = (40, 64),
        bridge: bool = False,
    ) -> None:
        del signal_scale, sample_size, bridge, frames  # kept in the configuration
        super().__init__()
        told = 4 * model_channels
        looks = dict(image or {})
        gated = bool(looks.pop("gated", False))
        how = Attending(
            head_features, transformer_depth, context_dim, linear, reach, image is not None, gated
        )
        build = _Builder(how, told, timed=temporal_conv)
        self.time_embed = _embedding(model_channels, told)
        self.fps_embedding = None if rate is None else _embedding(model_channels, told)
        self.init_attn = (
            Stage([TemporalTransformer(model_channels, how, count=HEADS_AT_FIRST, linear=False)])
            if first_attention
            else None
        )
        self.image_proj_model = Resampler(outputs=context_dim, **looks) if image else None

        first = nn.Conv2d(in_channels, model_channels, 3, padding=1)
        self.input_blocks = nn.ModuleList([Stage([first])])
        width, kept = model_channels, [model_channels]
        levels = list(zip(channel_mult, attention_levels, strict=True))
        for level, (times, attends) in enumerate(levels):
            for _ in range(num_res_blocks):
                wide = times * model_channels
                self.input_blocks.append(Stage(build.layers(width, wide, attends=attends)))
                width = wide
                kept.append(width)
            if level + 1 < len(levels):
                self.input_blocks.append(Stage([Downsample(width)]))
                kept.append(width)
        around = build.layers(width, width, attends=True)
        self.middle_block = Stage([*around, build.residual(width, width)])
        self.output_blocks = nn.ModuleList()
        for level, (times, attends) in reversed(list(enumerate(levels))):
            for n in range(num_res_blocks + 1):
                wide = times * model_channels
                stage = build.layers(width + kept.pop(), wide, attends=attends)
                width = wide
                if level and n == num_res_blocks:
                    stage.append(Upsample(width))
                self.output_blocks.append(Stage(stage))
        last = nn.Conv2d(model_channels, out_channels, 3, padding=1)
        self.out = nn.Sequential(nn.GroupNorm(GROUPS, width), nn.SiLU(), last)
        self.gradient_checkpointing = False

    def forward(
        self, latents: Latents, time: Tensor, condition: Condition, prior: Latents
    ) -> Tensor:
        """Predict from a state at a fractional step (B,) of the network's own diffusion.

        Raises:
            ConfigError: sides or frames are such that the network cannot take them, or it is told
                nothing of the picture and should be.
        """
        expand.check_patches(latents, patch_of(self))
        dtype: torch.dtype = self.dtype
        given = expand.concat_inputs(self, latents, prior, condition).to(dtype)
        told = self._told(time, condition, latents, dtype)
        x, kept = given.flatten(0, 1), []
        for n, stage in enumerate(self.input_blocks):
            x = self._run(stage, x, told)
            if n == 0 and self.init_attn is not None:
                x = self._run(self.init_attn, x, told)
            kept.append(x)
        x = self._run(self.middle_block, x, told)
        for stage in self.output_blocks:
            x = self._run(stage, torch.cat([x, kept.pop()], 1), told)
        return self.out(x).unflatten(0, latents.shape[:2]).to(latents.dtype)

    def _told(
        self, time: Tensor, condition: Condition, latents: Latents, dtype: torch.dtype
    ) -> Told:
        frames = latents.shape[1]
        clip = self.time_embed(waves(time, self.config.model_channels).to(dtype))
        if self.fps_embedding is not None:
            rate = torch.full_like(time, self.config.rate)
            clip = clip + self.fps_embedding(waves(rate, self.config.model_channels).to(dtype))
        real = condition.prompt_mask
        words = torch.where(real[..., None], condition.prompt_embeds, 0.0).to(dtype)
        real = real | ~real.any(1, keepdim=True)  # who has no words reads zeros, which say nothing
        every = real.is_meta or bool(real.all())
        return Told(
            clip.repeat_interleave(frames, 0),
            words.repeat_interleave(frames, 0),
            None if every else real[:, None, None].repeat_interleave(frames, 0),
            self._looks(condition, frames, dtype),
            len(latents),
        )

    def _looks(self, condition: Condition, frames: int, dtype: torch.dtype) -> Tensor | None:
        """(B F, Q, D) of the picture, for every frame its own."""
        if self.image_proj_model is None:
            return None
        if condition.image_embeds is None:
            raise ConfigError(
                "this network is told what an image encoder sees of the picture, and was given none"
            )
        if frames != self.config.frames:
            raise ConfigError(
                f"{frames} frames are not possible with this network: it looks at the picture for "
                f"{self.config.frames}"
            )
        looks = self.image_proj_model(condition.image_embeds.to(dtype))
        return looks.unflatten(1, (frames, -1)).flatten(0, 1)

    def _run(self, stage: nn.Module, x: Tensor, told: Told) -> Tensor:
        if torch.is_grad_enabled() and self.gradient_checkpointing:
            ran: Tensor = self._gradient_checkpointing_func(stage, x, told)
            return ran
        out: Tensor = stage(x, told)
        return out


class _Builder:
    """Of the stages that levels are made of."""

    def __init__(self, how: Attending, told: int, *, timed: bool) -> None:
        self.how, self.told, self.timed = how, told, timed

    def residual(self, inputs: int, outputs: int) -> ResBlock:
        return ResBlock(inputs, outputs, self.told, timed=self.timed)

    def layers(self, inputs: int, outputs: int, *, attends: bool) -> list[nn.Module]:
        layers: list[nn.Module] = [self.residual(inputs, outputs)]
        if attends:
            layers += [
                SpatialTransformer(outputs, self.how),
                TemporalTransformer(outputs, self.how),
            ]
        return layers


def _embedding(width: int, told: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, told), nn.SiLU(), nn.Linear(told, told))


def patch_of(transformer: Any) -> int:
    """Side of the squares of latent pixels that are one at the lowest level."""
    return int(2 ** (len(transformer.config.channel_mult) - 1))
