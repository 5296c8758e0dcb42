"""How a family's tensors are named in files, and its published models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from fbridge.files.key_mapping import Weights


class CheckpointLayout(NamedTuple):
    """One way in which the tensors of a family are named.

    Attributes:
        style: "diffusers", or "original" for that of the model's own code.
        keys: tensors that every such file has and, together, no other family's.
        convert: to diffusers' names and shapes; None if they are the same.
        beside: prefixes of the network's tensors in a single file that lack the prefix of its
            other tensors.
        compounds: words with underscores in the names of layers, which tell kohya's LoRA files,
            whose dots are underscores too, where a dot was.
        layer_names: regular expressions of parts of diffusers' names of layers, and what the makers
            have in their place, applied in order; empty where that is not known.
    """

    style: str
    keys: tuple[str, ...]
    convert: Callable[[Weights], Weights] | None = None
    beside: tuple[str, ...] = ()
    compounds: tuple[str, ...] = ()
    layer_names: Mapping[str, str] = {}


class Variant(NamedTuple):
    """A published model of a family.

    Attributes:
        name: as published.
        hubs: ids of the diffusers pipelines with this transformer; if there are several, their
            autoencoders differ.
        config: of the transformer, where it differs from the defaults of its class.
    """

    name: str
    hubs: tuple[str, ...]
    config: Mapping[str, Any]
