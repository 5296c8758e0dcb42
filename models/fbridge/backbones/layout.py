"""What a family's weights look like in a file: names of tensors, and the models that are known."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

Weights = dict[str, Tensor]
"""By name, without what trainers put before the names."""


class Layout(NamedTuple):
    """One way in which the tensors of a family are named.

    Attributes:
        style: "diffusers", or "original" for that of the model's makers.
        keys: tensors that are in every file of it and, together, of no other family's.
        convert: to diffusers' names and shapes; None where they are those.
    """

    style: str
    keys: tuple[str, ...]
    convert: Callable[[Weights], Weights] | None = None


class Variant(NamedTuple):
    """A published model of a family.

    Attributes:
        name: as its makers call it.
        hubs: ids of the diffusers pipelines whose transformer looks so; where there are several,
            their autoencoders differ.
        config: of its transformer, where it differs from the class's own defaults.
    """

    name: str
    hubs: tuple[str, ...]
    config: Mapping[str, Any]


def renamed(weights: Weights, rules: Mapping[str, str], drop: str = "(?!)") -> Weights:
    """Weights under other names.

    Args:
        weights: to be renamed.
        rules: regular expressions of parts of names and what is put there, applied in their order.
        drop: regular expression of names that are left out.
    """
    done = {}
    for name, tensor in weights.items():
        if re.search(drop, name):
            continue
        for pattern, put in rules.items():
            name = re.sub(pattern, put, name)
        done[name] = tensor
    return done


def split(weights: Weights, ending: str, parts: tuple[str, ...]) -> Weights:
    """Layers of several in one, cut along their outputs.

    Args:
        weights: of which some are to be cut; the others stay.
        ending: of the names of modules that are, such as "qkv".
        parts: what takes its place in the names, in the order of the rows.
    """
    done = {}
    for name, tensor in weights.items():
        module, _, kind = name.rpartition(".")
        if not module.endswith(ending):
            done[name] = tensor
            continue
        for part, piece in zip(parts, tensor.chunk(len(parts)), strict=True):
            done[f"{module.removesuffix(ending)}{part}.{kind}"] = piece.contiguous()
    return done


def swapped_halves(weights: Weights, name: str) -> Weights:
    """The halves of a layer's outputs in the other order."""
    return {
        key: torch.cat(tensor.chunk(2)[::-1]) if key.rpartition(".")[0] == name else tensor
        for key, tensor in weights.items()
    }
