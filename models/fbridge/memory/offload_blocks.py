"""Keep frozen weights of a network's blocks in the host's memory while it trains.

A block's weights are copied to the device when it computes and forgotten there afterwards. Frozen
weights never change, so nothing is copied back. Copies take the place of parameters and not of
their data: for some layers autograd saves the parameter itself, and would see other data. Blocks
must recompute their activations in the backward pass (gradient checkpointing): else what it keeps
holds the copies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fbridge.backbones.families import family_of
from fbridge.errors import ConfigError

_IN_PARTS = "gradient_checkpointing"
"""diffusers' switch, on modules that recompute what is in them and not themselves."""
Place = tuple[nn.Module, str]
"""A layer and the name of a parameter or buffer of it."""


def offload_blocks(network: Any, count: int, device: torch.device) -> int:
    """Move a network to a device but for the frozen weights of some of its blocks.

    Args:
        network: on the CPU; which of its parameters are trained is settled.
        count: of the blocks, spread evenly over the network; as many as there are, if it is more.
        device: where it computes.

    Returns:
        The number of blocks that are kept in the host's memory.

    Raises:
        ConfigError: parts of its blocks are recomputed and not the blocks, as in AnimateDiff's.
    """
    blocks = family_of(network).blocks(network)
    if any(hasattr(block, _IN_PARTS) for block in blocks):
        raise ConfigError(
            f"lora.offload_blocks {count}: gradient checkpointing recomputes parts of the blocks "
            f"of {type(network).__name__}, and only weights of whole blocks can be in the host's "
            "memory; leave it out"
        )
    count = min(count, len(blocks))
    chosen = [blocks[number * len(blocks) // count] for number in range(count)]
    held = [_frozen_layers(block) for block in chosen]
    kept = {layer for layers in held for layer in layers}
    _move_others(network, kept, device)
    traffic = _Traffic(device)
    for block, layers in zip(chosen, held, strict=True):
        traffic.add(block, layers)
    return count


def _frozen_layers(block: nn.Module) -> list[nn.Module]:
    """Layers without layers in them, all of whose weights are frozen."""
    return [
        layer
        for layer in block.modules()
        if next(layer.children(), None) is None
        and any(True for _ in layer.parameters())
        and not any(parameter.requires_grad for parameter in layer.parameters())
    ]


def _move_others(network: nn.Module, kept: set[nn.Module], device: torch.device) -> None:
    """Move all but the layers that are kept."""
    for module in network.modules():
        if module in kept:
            continue
        if next(module.children(), None) is None:
            module.to(device)
            continue
        for parameter in module.parameters(recurse=False):
            parameter.data = parameter.data.to(device)
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, buffer.to(device))


class _Traffic:
    """The copies on the device: of the block that computes, and of the next one ahead of it.

    The next one is that which came the last time after the same two: networks call their blocks in
    different orders, and the backward pass recomputes them from the last to the first.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._held: list[list[Place]] = []
        self._copies: dict[int, list[Tensor]] = {}
        self._trail = (-1, -1)
        self._next: dict[tuple[int, int], int] = {}

    def add(self, block: nn.Module, layers: Sequence[nn.Module]) -> None:
        """Take a block, in the order of the network."""
        number = len(self._held)
        self._held.append([(layer, name) for layer in layers for name in _names(layer)])
        if self._stream is not None:
            for layer, name in self._held[-1]:
                _pin(layer, name)
        compute = block.forward

        def forward(*args: Any, **kwargs: Any) -> Any:
            hosts = self._bring(number)
            try:
                return compute(*args, **kwargs)
            finally:  # checkpointing ends a recomputation early, which it does by an exception
                for (layer, name), host in zip(self._held[number], hosts, strict=True):
                    _put(layer, name, host)

        block.forward = forward

    def _bring(self, number: int) -> list[Any]:
        """Put copies in the place of a block's weights; returns the weights."""
        copies = self._copies.pop(number, None) or self._copy(number)
        if self._stream is not None:
            now = torch.cuda.current_stream(self._device)
            now.wait_stream(self._stream)
            for copy in copies:
                copy.record_stream(now)
        hosts = []
        for (layer, name), copy in zip(self._held[number], copies, strict=True):
            hosts.append(_get(layer, name))
            _put(layer, name, copy)
        self._next[self._trail] = number
        self._trail = (self._trail[1], number)
        following = self._next.get(self._trail)
        self._copies = {}
        if self._stream is not None and following not in (None, number):
            self._copies[following] = self._copy(following)
        return hosts

    def _copy(self, number: int) -> list[Tensor]:
        with torch.cuda.stream(self._stream):  # of none, it does nothing
            return [_copied(_get(*place), self._device) for place in self._held[number]]


def _names(layer: nn.Module) -> list[str]:
    return [*layer._parameters, *layer._buffers]


def _get(layer: nn.Module, name: str) -> Any:
    return getattr(layer, name)


def _put(layer: nn.Module, name: str, value: Any) -> None:
    """Not by setattr, which costs more than it does here."""
    (layer._parameters if name in layer._parameters else layer._buffers)[name] = value


def _pin(layer: nn.Module, name: str) -> None:
    held = _get(layer, name)
    if held is not None and type(held.data) is Tensor:
        held.data = held.data.pin_memory()


def _copied(value: Any, device: torch.device) -> Any:
    """A copy on the device that is of the same kind, as layers in few bits need it.

    On the host's own device it is a copy too, so that what happens there is the same.
    """
    if value is None:
        return None
    moved = value.to(device, non_blocking=True)  # bitsandbytes' weights take no copy=True
    if moved is value:
        moved = value.clone()
    if isinstance(value, nn.Parameter) and not isinstance(moved, nn.Parameter):
        moved = nn.Parameter(moved, requires_grad=False)
    return moved
