"""The adapter over diffusers' video networks, and what our own networks have in common with it.

A network gets the noisy latents and, in further input channels, as many as it has room for of the
prior and of the picture's latent, repeated over the frames (`fbridge.backbones.expand`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fbridge.backbones import expand
from fbridge.errors import ConfigError
from fbridge.types import Condition, Latents


class DiffusersBackbone(nn.Module, ABC):
    """A network of diffusers as a `fbridge.denoiser.Backbone` that shares its parameters.

    Attributes:
        transformer: diffusers' network, called with videos in its own dtype.
        frame_axis: of its videos: 2 of (B, C, F, H, W), 1 of (B, F, C, H, W).
    """

    frame_axis: ClassVar[int] = 2

    def __init__(self, transformer: Any) -> None:
        super().__init__()
        expand.check_input_channels(transformer, self.latent_channels(transformer))
        self.transformer = transformer

    @staticmethod
    def latent_channels(transformer: Any) -> int:
        """Channels of the latents that a network denoises."""
        return int(transformer.config.out_channels)

    @staticmethod
    def patch(transformer: Any) -> int:
        """Side of a network's square patches, in latent pixels."""
        return int(transformer.config.patch_size)

    def check(self, latents: Latents) -> None:
        """Raise ConfigError for latents (B, F, C, H, W) that the network cannot take."""
        check_patches(latents, self.patch(self.transformer))

    @abstractmethod
    def predict(self, video: Tensor, time: Tensor, condition: Condition) -> Tensor:
        """The network's output for its input video, both with the axes that `frame_axis` says."""

    def forward(
        self, latents: Latents, time: Tensor, condition: Condition, prior: Latents
    ) -> Tensor:
        """Prediction (B, F, C, H, W) at the network's own time: a DDPM step or 1000 s.

        The time is (B,), or (B, F) for a family that takes a picture natively.
        """
        self.check(latents)
        video = concat_inputs(self.transformer, latents, prior, condition)
        video = video.to(self.transformer.dtype).transpose(1, self.frame_axis)
        out = self.predict(video, time, condition).transpose(1, self.frame_axis)
        return out[:, :, : latents.shape[2]].to(latents.dtype)


def run_block(network: Any, block: nn.Module, *inputs: Any) -> Any:
    """A block's output, recomputed in the backward pass if the network checkpoints gradients."""
    if torch.is_grad_enabled() and network.gradient_checkpointing:
        return network._gradient_checkpointing_func(block, *inputs)
    return block(*inputs)


def concat_inputs(
    transformer: Any, latents: Latents, prior: Latents, condition: Condition
) -> Tensor:
    """(B, F, in_channels, H, W): latents, and prior and picture if there is room for them."""
    count = expand.extra_inputs(transformer, latents.shape[2])
    picture = condition.image_latents[:, None].expand_as(latents)
    return torch.cat([latents, prior, picture][: 1 + count], 2)


def check_patches(latents: Latents, patch: int) -> None:
    """Raise ConfigError unless the sides of latents are multiples of a patch's side."""
    height, width = latents.shape[3:]
    if height % patch or width % patch:
        raise ConfigError(
            f"latents of {width}x{height} are not possible with this network: its patches need "
            f"sides that are multiples of {patch}; choose another size"
        )


def check_temporal_patches(latents: Latents, patch: int) -> None:
    """Raise ConfigError unless the number of latent frames is a multiple of a patch's."""
    if latents.shape[1] % patch:
        raise ConfigError(
            f"{latents.shape[1]} latent frames are not possible with this network: its patches "
            f"need a multiple of {patch}"
        )


def token_times(time: Tensor, tokens: int) -> Tensor:
    """Times (B,) as they are; times (B, F) of frames as (B, F * tokens): one a token."""
    return time if time.ndim == 1 else time.repeat_interleave(tokens, dim=1)


def masked_prompt(condition: Condition) -> Tensor:
    """(B, L, D) prompt embeddings, zero at the padding."""
    return torch.where(condition.prompt_mask[..., None], condition.prompt_embeds, 0.0)


def pad_prompt(condition: Condition, length: int) -> Tensor:
    """(B, length, D) prompt embeddings, cut or padded with zeros to a length."""
    real = masked_prompt(condition)[:, :length]
    return F.pad(real, (0, 0, 0, length - real.shape[1]))
