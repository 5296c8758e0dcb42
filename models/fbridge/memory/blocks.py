"""A model's network on shapes alone: with few blocks, and what that tells of all of them."""

from __future__ import annotations

from typing import Any

from accelerate import init_empty_weights
from torch import nn

from fbridge.memory.model_sizes import ModelSizes
from fbridge.memory.plans import BYTES


class Blocks:
    """The network of a model, of which one and two blocks of each kind tell the rest.

    Args:
        model: its parts.

    Attributes:
        layers: numbers of blocks, by the names of the configuration.
    """

    def __init__(self, model: ModelSizes) -> None:
        self.model = model
        self.layers = {key: int(model.network[key]) for key in model.family.depth_keys}

    def deeper(self) -> list[tuple[int, ...]]:
        """Numbers of blocks of each kind: one of all, then two of each in turn."""
        kinds = range(len(self.layers))
        return [tuple(1 for _ in kinds)] + [tuple(1 + (k == n) for k in kinds) for n in kinds]

    def all_of(self, found: list[int]) -> int:
        """What grows with the blocks, of the whole network, from what it is of `deeper`."""
        more = [n - 1 for n in self.layers.values()]
        return found[0] + sum(n * (two - found[0]) for n, two in zip(more, found[1:], strict=True))

    def build(self, layers: tuple[int, ...] | int, parts: int) -> Any:
        """The network with so many blocks, and room for so many parts; without weights."""
        config = {key: value for key, value in self.model.network.items() if key[0] != "_"}
        each = layers if isinstance(layers, tuple) else (layers,) * len(self.layers)
        depths = dict(zip(self.layers, each, strict=True))
        with init_empty_weights(include_buffers=False):
            network = self.model.family.load_class().from_config({**config, **depths})
        family = self.model.family
        family.expand_inputs(network, max(parts, family.extra_inputs(network)))
        return network

    def numbers(self, parts: int) -> int:
        """How many weights the whole network has."""
        return self.all_of(
            [
                sum(p.numel() for p in self.build(layers, parts).parameters())
                for layers in self.deeper()
            ]
        )

    def kept(self, *, parts: int, dtype: str, kept: str) -> int:
        """Bytes of the network, of which few bits hold the large layers of its blocks alone."""
        numbers, few = self.numbers(parts), 0
        if kept == "float8":
            few = numbers
        elif kept:
            networks = [self.build(layers, parts) for layers in self.deeper()]
            many = [self.model.family.quantizable_layers(network) for network in networks]
            few = self.all_of([sum(layer.weight.numel() for _, layer in each) for each in many])
        return int(few * BYTES[kept or dtype] + (numbers - few) * BYTES[dtype])

    def largest(self) -> int:
        """Numbers of the largest layer."""
        layers = (m for m in self.build(1, 0).modules() if next(m.children(), None) is None)
        return max(sum(p.numel() for p in layer.parameters()) for layer in layers)

    def trained(self, rank: int, parts: int) -> tuple[int, int]:
        """Numbers of the updates, and of the layer that is trained in full."""
        family = self.model.family
        networks = [self.build(layers, parts) for layers in self.deeper()]
        updates = self.all_of(
            [
                sum(
                    rank * (layer.in_features + layer.out_features)
                    for name, layer in network.named_modules()
                    if isinstance(layer, nn.Linear) and name.endswith(tuple(family.lora_targets))
                )
                for network in networks
            ]
        )
        network = networks[0]
        first = network.get_submodule(family.input_layer).parameters() if family.input_layer else ()
        return updates, sum(p.numel() for p in first)
