"""Further input channels of a pretrained network, for the prior and the picture."""

from __future__ import annotations

from typing import Any

from torch import nn

from fbridge.errors import CheckpointError, ConfigError

Layer = nn.Linear | nn.Conv2d | nn.Conv3d


def extra_inputs(transformer: Any, latents: int) -> int:
    """How many inputs of the latents' shape a network takes besides them.

    Args:
        transformer: its configuration has `in_channels`.
        latents: channels of the latents.
    """
    return int(transformer.config.in_channels) // latents - 1


def check_input_channels(transformer: Any, latents: int) -> None:
    """Raise CheckpointError unless a network's input channels are a multiple of the latents'."""
    channels = transformer.config.in_channels
    if channels % latents:
        raise CheckpointError(
            f"this transformer takes {channels} channels and predicts {latents}; it must take a "
            f"multiple of {latents}: the latents, and further inputs of their shape"
        )


def expand_inputs(transformer: Any, wanted: int, *, latents: int, name: str) -> None:
    """Give a network input channels for `wanted` inputs besides the latents, in place.

    The new weights are zero: the network predicts as before until it is trained. The new
    `in_channels` is written to its configuration, with which diffusers loads what was saved.

    Args:
        transformer: of any family.
        wanted: inputs besides the latents.
        latents: channels of the latents.
        name: of the first layer, whose inputs are channels, or channels times pixels of a patch.

    Raises:
        ConfigError: it has input channels for more already.
    """
    known = extra_inputs(transformer, latents)
    if wanted < known:
        raise ConfigError(
            f"this network takes {known} inputs besides the latents already and cannot be "
            f"narrowed to {wanted}"
        )
    if wanted == known:
        return
    channels = (1 + wanted) * latents
    parent, _, last = name.rpartition(".")
    owner = transformer.get_submodule(parent)
    setattr(owner, last, _expanded(getattr(owner, last), channels / transformer.config.in_channels))
    transformer.register_to_config(in_channels=channels)


def _expanded(old: Layer, times: float) -> Layer:
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
