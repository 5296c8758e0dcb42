"""Sizes of a model's network, extrapolated from networks with one and two blocks of each kind."""

from __future__ import annotations

from typing import Any

from accelerate import init_empty_weights
from torch import nn

from fbridge.memory.model_sizes import ModelSizes
from fbridge.memory.plans import BYTES


class Blocks:
    """The network of a model, without weights.

    Args:
        model: its configurations.

    Attributes:
        layers: number of blocks by key of the network's configuration.
    """

    def __init__(self, model: ModelSizes) -> None:
        self.model = model
        self.layers = {key: int(model.network[key]) for key in model.family.depth_keys}

    def depths(self) -> list[tuple[int, ...]]:
        """Numbers of blocks to measure: one of each kind, then two of each kind in turn."""
        kinds = range(len(self.layers))
        return [tuple(1 for _ in kinds)] + [tuple(1 + (k == n) for k in kinds) for n in kinds]

    def extrapolate(self, found: list[int]) -> int:
        """A quantity that is linear in the blocks, of the whole network, from that at `depths`."""
        more = [n - 1 for n in self.layers.values()]
        return found[0] + sum(n * (two - found[0]) for n, two in zip(more, found[1:], strict=True))

    def build(self, layers: tuple[int, ...] | int, parts: int) -> Any:
        """The network with these numbers of blocks and inputs for `parts`, without weights."""
        config = {key: value for key, value in self.model.network.items() if key[0] != "_"}
        each = layers if isinstance(layers, tuple) else (layers,) * len(self.layers)
        depths = dict(zip(self.layers, each, strict=True))
        with init_empty_weights(include_buffers=False):
            network = self.model.family.load_class().from_config({**config, **depths})
        family = self.model.family
        family.expand_inputs(network, max(parts, family.extra_inputs(network)))
        return network

    def parameter_count(self, parts: int) -> int:
        """Parameters of the whole network."""
        return self.extrapolate([_parameters(network) for network in self._networks(parts)])

    def weight_bytes(self, *, parts: int, dtype: str, quantize: str) -> int:
        """Bytes of the weights; only the large layers of the blocks are kept in fewer bits."""
        networks = self._networks(parts)
        return self.extrapolate([self._bytes(network, dtype, quantize) for network in networks])

    def _bytes(self, network: Any, dtype: str, quantize: str) -> int:
        total, quantized = _parameters(network), 0
        if quantize:
            layers = self.model.family.quantizable_layers(network)
            quantized = sum(layer.weight.numel() for _, layer in layers)
        return int(quantized * BYTES[quantize or dtype] + (total - quantized) * BYTES[dtype])

    def bytes_of_blocks(self, *, parts: int, dtype: str, quantize: str) -> list[int]:
        """Bytes of the weights of each block, in the order of the kinds."""
        found = [self._bytes(network, dtype, quantize) for network in self._networks(parts)]
        grown = [two - found[0] for two in found[1:]]
        counts = self.layers.values()
        return [size for size, n in zip(grown, counts, strict=True) for _ in range(n)]

    def largest_layer(self) -> int:
        """Parameters of the largest layer."""
        layers = (m for m in self.build(1, 0).modules() if next(m.children(), None) is None)
        return max(map(_parameters, layers))

    def trained_by_lora(self, rank: int, parts: int) -> tuple[int, int]:
        """Parameters of the updates, and of the input layer, which is trained in full."""
        family = self.model.family
        networks = self._networks(parts)
        updates = [
            sum(
                rank * (layer.in_features + layer.out_features)
                for name, layer in network.named_modules()
                if isinstance(layer, nn.Linear) and name.endswith(tuple(family.lora_targets))
            )
            for network in networks
        ]
        first = networks[0].get_submodule(family.input_layer) if family.input_layer else nn.Module()
        return self.extrapolate(updates), _parameters(first)

    def _networks(self, parts: int) -> list[Any]:
        return [self.build(layers, parts) for layers in self.depths()]


def _parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
