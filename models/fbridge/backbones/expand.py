"""Room for prior and picture in the input of a pretrained network, and what is put there."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fbridge.errors import CheckpointError, ConfigError
from fbridge.types import Condition, Latents

Layer = nn.Linear | nn.Conv2d | nn.Conv3d


def extra_inputs(transformer: Any, latents: int) -> int:
    """How many parts of the latents' size a network is shown besides them.

    Args:
        transformer: its configuration tells `in_channels`.
        latents: their channels.
    """
    return int(transformer.config.in_channels) // latents - 1


def check_input_channels(transformer: Any, latents: int) -> None:
    """Raise CheckpointError where a network's input is not the latents and parts of their size."""
    channels = transformer.config.in_channels
    if channels % latents:
        raise CheckpointError(
            f"this transformer reads {channels} channels and writes {latents}; its input must be "
            "latents and whole parts of their size"
        )


def expand_inputs(transformer: Any, wanted: int, *, latents: int, name: str) -> None:
    """Make room in the input for so many parts, in place.

    The new weights are zero, so that the network answers as before until it is trained; the new
    `in_channels` is in its configuration, so that diffusers loads what was saved.

    Args:
        transformer: of any family.
        wanted: parts besides the latents.
        latents: their channels.
        name: of the first layer, whose inputs are channels, or channels by the pixels of a patch.

    Raises:
        ConfigError: there is room for more already.
    """
    known = extra_inputs(transformer, latents)
    if wanted < known:
        raise ConfigError(
            f"this network is shown {known} parts besides the latents already and cannot be "
            f"narrowed to {wanted}"
        )
    if wanted == known:
        return
    channels = (1 + wanted) * latents
    home, _, last = name.rpartition(".")
    owner = transformer.get_submodule(home)
    setattr(owner, last, _widened(getattr(owner, last), channels / transformer.config.in_channels))
    transformer.register_to_config(in_channels=channels)


def _widened(old: Layer, times: float) -> Layer:
    weight = old.weight
    inputs = round(weight.shape[1] * times)
    kind: dict[str, Any] = {"bias": old.bias is not None, "device": "meta", "dtype": weight.dtype}
    new: Layer
    if isinstance(old, nn.Linear):
        new = nn.Linear(inputs, old.out_features, **kind)
    else:
        shape: tuple[Any, ...] = (inputs, old.out_channels, old.kernel_size, old.stride)
        kind["padding"] = old.padding
        new = type(old)(*shape, **kind)
    grown = weight.new_zeros(weight.shape[0], inputs, *weight.shape[2:])
    grown[:, : weight.shape[1]] = weight.detach()
    new.weight = nn.Parameter(grown, requires_grad=weight.requires_grad)
    new.bias = old.bias
    return new


def concat_inputs(
    transformer: Any, latents: Latents, prior: Latents, condition: Condition
) -> Tensor:
    """(B, F, in_channels, H, W): the latents, and the prior, and the picture for every frame."""
    count = extra_inputs(transformer, latents.shape[2])
    picture = condition.image_latents[:, None].expand_as(latents)
    return torch.cat([latents, prior, picture][: 1 + count], 2)


def check_patches(latents: Latents, patch: int) -> None:
    """Raise ConfigError where the sides of latents are no multiples of a patch's."""
    height, width = latents.shape[3:]
    if height % patch or width % patch:
        raise ConfigError(
            f"latents of {width}x{height} are not possible with this network: its patches need "
            f"sides that are multiples of {patch}; choose another size"
        )


def pad_prompt(condition: Condition, length: int) -> Tensor:
    """(B, length, D) words, zero where there is none."""
    real = torch.where(condition.prompt_mask[..., None], condition.prompt_embeds, 0.0)[:, :length]
    return F.pad(real, (0, 0, 0, length - real.shape[1]))
