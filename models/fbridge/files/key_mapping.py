"""State dicts under other names: from one program's layers to another's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

Weights = dict[str, Tensor]
"""A state dict, without prefixes of trainers."""


def rename_keys(weights: Weights, rules: Mapping[str, str], drop: str = "(?!)") -> Weights:
    """Weights under other names.

    Args:
        weights: to be renamed.
        rules: regular expressions of parts of names and their replacements, applied in order.
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
    """Fused layers split along their outputs.

    Args:
        weights: of which some are split.
        ending: of the names of fused modules, such as "qkv".
        parts: replacements of the ending, in the order of the rows.
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


def count_modules(names: Iterable[str], before: str) -> int:
    """Length of a list of modules, whose names go on after `before` with their number."""
    numbers = [name[len(before) :].split(".")[0] for name in names if name.startswith(before)]
    return 1 + max(map(int, numbers), default=-1)
