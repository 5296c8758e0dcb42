"""Weights under other names: from one program's layers to another's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

Weights = dict[str, Tensor]
"""By name, without what trainers put before the names."""


def rename_keys(weights: Weights, rules: Mapping[str, str], drop: str = "(?!)") -> Weights:
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


def split_layers(weights: Weights, ending: str, parts: tuple[str, ...]) -> Weights:
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


def swap_halves(weights: Weights, name: str) -> Weights:
    """The halves of a layer's outputs in the other order."""
    return {
        key: torch.cat(tensor.chunk(2)[::-1]) if key.rpartition(".")[0] == name else tensor
        for key, tensor in weights.items()
    }


def with_prefix(weights: Mapping[str, Tensor], beginning: str) -> Weights:
    """Those whose names begin so, without that."""
    return {
        name[len(beginning) :]: tensor
        for name, tensor in weights.items()
        if name.startswith(beginning)
    }


def count_modules(names: Iterable[str], before: str) -> int:
    """How many modules of a list there are, whose names begin so and go on with their number."""
    numbers = [name[len(before) :].split(".")[0] for name in names if name.startswith(before)]
    return 1 + max(map(int, numbers), default=-1)
