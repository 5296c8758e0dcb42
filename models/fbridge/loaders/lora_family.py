"""The family and the size of the network that a LoRA was made for."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fbridge.backbones.family import Family
from fbridge.loaders.lora_file import Update

_MARKS = {
    "animatediff": r"(down|up)_blocks|mid_block|motion_modules|(input|output)_blocks",
    "hunyuan": r"(double|single)_blocks|single_transformer_blocks|add_q_proj",
    "wan": r"blocks[._]\d+[._](self_attn|cross_attn|ffn)|(?<!transformer_)blocks[._]\d+[._]attn",
    "ltx": r"transformer_blocks[._]\d+[._]attn2[._]",
    "cogvideox": r"transformer_blocks[._]\d+[._](attn1|norm1[._]linear)",
}
"""Layers that only one family has, as patterns; the most certain first."""


def family_of_layers(layers: Sequence[str]) -> str:
    """The family by the names of layers; "" where they tell none."""
    for family, mark in _MARKS.items():
        if any(re.search(mark, layer) for layer in layers):
            return family
    return ""


def variant_of_shapes(updates: Sequence[Update], family: Family) -> str:
    """The published model of a family whose width the differences have; "" if there is none."""
    shapes = {update.shape for update in updates if update.kind == "weight"}
    for variant in family.variants:
        held = family.empty_network(variant.config).state_dict()
        if shapes and shapes <= {tuple(tensor.shape) for tensor in held.values()}:
            return variant.name
    return ""
