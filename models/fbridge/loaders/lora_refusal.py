"""Why a LoRA does not fit a network: another family, another size, other parts."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fbridge.backbones.family import Family
from fbridge.loaders.lora_family import family_of_layers, variant_of_shapes
from fbridge.loaders.lora_file import Update

_WORDS = ("lora_te", "text_encoder", "te1_", "te2_", "conditioner.")
_PICTURE = re.compile(r"k_img|v_img|img_emb|add_k_proj|image_embedder")


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
    marked = family_of_layers([update.layer for update in updates])
    if marked and marked != family.name and len(strange) == len(updates):
        return (
            f"has layers of the {marked} family, such as {layers[0]}, and this network is of the "
            f"{family.name} family; take a LoRA that was made for it"
        )
    if variant := variant_of_shapes(strange, family):
        return f"is a LoRA of {variant}, and this network is another one: {few}"
    return (
        f"does not fit this {family.name} network: {len(strange)} of its {len(updates)} updates "
        f"are of layers that it does not have or that have another shape, such as {few}"
    )


def _few(strange: Sequence[Update]) -> str:
    shown = strange[0]
    return f"{shown.layer}.{shown.kind} of {'x'.join(map(str, shown.shape))}"
