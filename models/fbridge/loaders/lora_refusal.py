"""Why a LoRA does not fit a network: another family, another size, other parts."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fbridge.backbones.family import Family
from fbridge.loaders.lora_file import Update

_WORDS = ("lora_te", "text_encoder", "te1_", "te2_", "conditioner.")
_PICTURE = re.compile(r"k_img|v_img|img_emb|add_k_proj|image_embedder")
_MARKS = {
    "animatediff": r"(down|up)_blocks|mid_block|motion_modules|(input|output)_blocks",
    "hunyuan": r"(double|single)_blocks|single_transformer_blocks|add_q_proj",
    "wan": r"blocks[._]\d+[._](self_attn|cross_attn|ffn)|(?<!transformer_)blocks[._]\d+[._]attn",
    "ltx": r"transformer_blocks[._]\d+[._]attn2[._]",
    "cogvideox": r"transformer_blocks[._]\d+[._](attn1|norm1[._]linear)",
}
"""Layers that only one family has, as patterns; the most certain first."""


def misfit_reason(updates: Sequence[Update], strange: Sequence[Update], family: Family) -> str:
    """The reason, as a sentence.

    Args:
        updates: all of the file.
        strange: those that are of no tensor of the network, or of another shape.
        family: of the network.
    """
    if not updates:
        return "holds no updates; get the file again"
    layers = [update.layer for update in strange]
    few = _few(strange)
    if words := [layer for layer in layers if layer.startswith(_WORDS)]:
        return (
            f"holds {len(words)} updates of a text encoder, such as {words[0]}, which are not "
            "merged; take a LoRA of the network alone, or save this one without them"
        )
    if any(_PICTURE.search(layer) for layer in layers):
        return (
            f"is of an image-to-video model: {few} {'are' if len(strange) > 1 else 'is'} not in "
            "this text-to-video network; take the LoRA of the text-to-video model"
        )
    marked = _marked([update.layer for update in updates])
    if marked and marked != family.name and len(strange) == len(updates):
        return (
            f"has layers of the {marked} family, such as {layers[0]}, and this network is of the "
            f"{family.name} family; take a LoRA that was made for it"
        )
    if variant := _other_size(strange, family):
        return f"is a LoRA of {variant}, and this network is another one: {few}"
    return (
        f"does not fit this {family.name} network: {len(strange)} of its {len(updates)} updates "
        f"are of layers that it does not have or that have another shape, such as {few}"
    )


def _marked(layers: Sequence[str]) -> str:
    """The family by the names of layers; "" where they tell none."""
    for family, mark in _MARKS.items():
        if any(re.search(mark, layer) for layer in layers):
            return family
    return ""


def _other_size(strange: Sequence[Update], family: Family) -> str:
    """The published model of a family whose width the differences have; "" if there is none."""
    shapes = {update.shape for update in strange if update.kind == "weight"}
    for variant in family.variants:
        held = family.empty_network(variant.config).state_dict()
        if shapes and shapes <= {tuple(tensor.shape) for tensor in held.values()}:
            return variant.name
    return ""


def _few(strange: Sequence[Update]) -> str:
    shown = strange[0]
    return f"{shown.layer}.{shown.kind} of {'x'.join(map(str, shown.shape))}"
