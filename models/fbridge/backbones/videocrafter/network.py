"""The U-Net, with the tensor names of the original code."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.loaders import PeftAdapterMixin
from diffusers.models.embeddings import get_timestep_embedding
from torch import Tensor, nn

from fbridge.backbones.adapter import check_patches, concat_inputs, masked_prompt, run_block
from fbridge.backbones.videocrafter.attention import (
    GROUPS,
    Context,
    SpatialTransformer,
    TemporalTransformer,
    TransformerOptions,
)
from fbridge.backbones.videocrafter.layers import Downsample, ResBlock, Stage, Upsample
from fbridge.backbones.videocrafter.resampler import Resampler
from fbridge.errors import ConfigError
from fbridge.types import Condition, Latents

INIT_HEADS = 8
"""Heads of the attention along time behind the first convolution."""


class VideoCrafterUNet(ModelMixin, ConfigMixin, PeftAdapterMixin):  # type: ignore[misc]
    """Latents (B, F, C, H, W), a step, prompt and picture to a prediction of the latents' shape.

    Args:
        in_channels: of the latents and further inputs: prior, picture.
        out_channels: of the latents.
        model_channels: of the first convolution, a multiple of 32.
        channel_mult: multiples of those for each level, which has half the sides of the one before.
        attention_levels: whether each level has transformers.
        num_res_blocks: of a level.
        head_features: of an attention head.
        transformer_depth: blocks of a transformer.
        context_dim: features of a token.
        linear: whether the transformers' projections are linear layers.
        temporal_conv: whether the residual blocks have convolutions along time.
        first_attention: whether there is attention along time behind the first convolution.
        reach: largest distance of frames with a position embedding; 0 is no such embeddings.
        rate: the constant frame-rate input: frames a second (VideoCrafter), or frames of the source
            video from one frame to the next (FrameBridge); None of a network without.
        image: of a network with CLIP's embedding of the picture, the arguments of its
            `resampler.Resampler` (features, width, count, depth, heads, head), and "gated" of
            `attention.Attention`; None of others.
        frames: number of frames that the picture has tokens for; 0 of a network without.
        signal_scale: last factor on the signal of its diffusion, and the number of steps in which
            it is reached, linearly from 1; None of a variance-preserving diffusion.
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
        embedding = 4 * model_channels
        resampler = dict(image or {})
        gated = bool(resampler.pop("gated", False))
        options = TransformerOptions(
            head_features, transformer_depth, context_dim, linear, reach, image is not None, gated
        )
        build = _Builder(options, embedding, timed=temporal_conv)
        self.time_embed = _embedding(model_channels, embedding)
        self.fps_embedding = None if rate is None else _embedding(model_channels, embedding)
        self.init_attn = (
            Stage([TemporalTransformer(model_channels, options, count=INIT_HEADS, linear=False)])
            if first_attention
            else None
        )
        self.image_proj_model = Resampler(outputs=context_dim, **resampler) if image else None

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
            ConfigError: the network cannot take latents of these sides or so many frames, or needs
                an image embedding and the condition has none.
        """
        check_patches(latents, patch_of(self))
        dtype: torch.dtype = self.dtype
        x = concat_inputs(self, latents, prior, condition).to(dtype).flatten(0, 1)
        context, kept = self._context(time, condition, latents, dtype), []
        for n, stage in enumerate(self.input_blocks):
            x = run_block(self, stage, x, context)
            if n == 0 and self.init_attn is not None:
                x = run_block(self, self.init_attn, x, context)
            kept.append(x)
        x = run_block(self, self.middle_block, x, context)
        for stage in self.output_blocks:
            x = run_block(self, stage, torch.cat([x, kept.pop()], 1), context)
        return self.out(x).unflatten(0, latents.shape[:2]).to(latents.dtype)

    def _context(
        self, time: Tensor, condition: Condition, latents: Latents, dtype: torch.dtype
    ) -> Context:
        frames = latents.shape[1]
        embedded = self.time_embed(self._sinusoids(time, dtype))
        if self.fps_embedding is not None:
            rate = torch.full_like(time, self.config.rate)
            embedded = embedded + self.fps_embedding(self._sinusoids(rate, dtype))
        mask = condition.prompt_mask
        mask = mask | ~mask.any(1, keepdim=True)  # an empty prompt attends to its zeros
        full = mask.is_meta or bool(mask.all())
        return Context(
            embedded.repeat_interleave(frames, 0),
            masked_prompt(condition).to(dtype).repeat_interleave(frames, 0),
            None if full else mask[:, None, None].repeat_interleave(frames, 0),
            self._image_tokens(condition, frames, dtype),
            len(latents),
        )

    def _sinusoids(self, numbers: Tensor, dtype: torch.dtype) -> Tensor:
        """(B, model_channels) of numbers (B,)."""
        return get_timestep_embedding(
            numbers, self.config.model_channels, flip_sin_to_cos=True, downscale_freq_shift=0
        ).to(dtype)

    def _image_tokens(self, condition: Condition, frames: int, dtype: torch.dtype) -> Tensor | None:
        """(B F, Q, D) image tokens of each frame."""
        if self.image_proj_model is None:
            return None
        if condition.image_embeds is None:
            raise ConfigError("this network needs an image encoder's embedding of the picture")
        if frames != self.config.frames:
            raise ConfigError(
                f"{frames} frames are not possible with this network: it has image tokens for "
                f"{self.config.frames}"
            )
        tokens = self.image_proj_model(condition.image_embeds.to(dtype))
        return tokens.unflatten(1, (frames, -1)).flatten(0, 1)


class _Builder:
    """Builds the layers of a level."""

    def __init__(self, options: TransformerOptions, embedding: int, *, timed: bool) -> None:
        self.options, self.embedding, self.timed = options, embedding, timed

    def residual(self, inputs: int, outputs: int) -> ResBlock:
        return ResBlock(inputs, outputs, self.embedding, timed=self.timed)

    def layers(self, inputs: int, outputs: int, *, attends: bool) -> list[nn.Module]:
        layers: list[nn.Module] = [self.residual(inputs, outputs)]
        if attends:
            layers += [
                SpatialTransformer(outputs, self.options),
                TemporalTransformer(outputs, self.options),
            ]
        return layers


def _embedding(width: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, outputs), nn.SiLU(), nn.Linear(outputs, outputs))


def patch_of(transformer: Any) -> int:
    """Side, in latent pixels, of one pixel at the lowest level."""
    return int(2 ** (len(transformer.config.channel_mult) - 1))
