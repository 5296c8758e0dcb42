"""Which model some weights are of, by the names and shapes of the tensors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

from fbridge.backbones.checkpoint_layout import CheckpointLayout, Variant
from fbridge.backbones.families import FAMILIES
from fbridge.backbones.family import Family
from fbridge.errors import CheckpointError
from fbridge.files.lazy_weights import LazyWeights
from fbridge.loaders.unsupported import other_network, unsupported_network

PREFIXES = (
    "",
    "model.diffusion_model.",
    "diffusion_model.",
    "transformer.",
    "model.",
    "model.model.",
    "module.",
    "_orig_mod.",
    "module.transformer.",
    "nwarp_model.",
)
"""What trainers and other programs put before a network's names."""
_STRANGERS = {"vae", "text_encoder", "text_encoders", "first_stage_model"}
"""First parts of the names of other networks in a single file."""
_SHOWN = 3
_LOW_RANK = ("lora_A", "lora_down", "lora_up", "lora_B", ".hada_w", ".lokr_w")

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Detected:
    """Which model some weights are of.

    Attributes:
        family: of the network.
        layout: how its tensors are named.
        prefix: of their names.
        variant: the published model of exactly these names and shapes; None where none is.
        config: of diffusers' class, where the variant is known.
        parts: besides the latents, that its input has room for; None where the variant is unknown.
        others: numbers of tensors of other networks, by the first part of their names.
        differences: what keeps it from being the nearest variant, one a line.
        shapes: of the network's tensors under diffusers' names; {} where they do not fit its kind.
        refused: why the network cannot be used; "" if it can.
    """

    family: Family
    layout: CheckpointLayout
    prefix: str
    variant: Variant | None
    config: dict[str, Any] | None
    parts: int | None
    others: dict[str, int]
    differences: tuple[str, ...] = ()
    shapes: Shapes = field(default_factory=dict, repr=False)
    refused: str = ""

    def owned(self, names: Mapping[str, Any]) -> set[str]:
        """Those of a file's names that are of the network's own tensors."""
        return _owned(names, self.layout, self.prefix)

    def take(self, weights: Mapping[str, Tensor]) -> LazyWeights:
        """The network's tensors under diffusers' names, read when they are asked for."""
        own = self.owned(weights)
        names = {name: name.removeprefix(self.prefix) for name in weights if name in own}
        held = LazyWeights.of(weights).chosen(names)
        return held if self.layout.convert is None else held.converted(self.layout.convert)


def detect(shapes: Shapes) -> Detected:
    """Which model a file's tensors are of.

    Raises:
        CheckpointError: they are of no known family; the message names the nearest.
    """
    if why := unsupported_network(shapes, PREFIXES):
        raise CheckpointError(why)
    for family in FAMILIES.values():
        for layout in family.layouts:
            for prefix in PREFIXES:
                if all(prefix + key in shapes for key in layout.keys):
                    return _described(shapes, family, layout, prefix)
    raise CheckpointError(other_network(shapes, PREFIXES) or _nearest(shapes))


def _described(shapes: Shapes, family: Family, layout: CheckpointLayout, prefix: str) -> Detected:
    strangers = [name.split(".")[0] for name in shapes.keys() - _owned(shapes, layout, prefix)]
    others = dict(sorted(Counter(strangers).items()))
    found = Detected(family, layout, prefix, None, None, None, others)
    empty = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    held = found.take(empty).shapes
    found = replace(found, shapes=held)
    nearest: tuple[str, list[str]] | None = None
    try:
        variants = (
            family.variants
            if family.variant_from_shapes is None
            else (family.variant_from_shapes(held),)
        )
        compared = [(variant, *_compare(held, family, variant)) for variant in variants]
    except (KeyError, IndexError, ValueError) as error:  # names alone look like the family's
        return replace(found, differences=(f"like no model of it: {str(error)[:99]}",))
    for variant, config, differences in compared:
        if not differences:
            config |= {} if family.single_file_config is None else family.single_file_config(empty)
            parts = family.extra_inputs(family.empty_network(config))
            return replace(found, variant=variant, config=config, parts=parts)
        if nearest is None or len(differences) < len(nearest[1]):
            nearest = (variant.name, differences)
    if nearest is None:
        return found
    notes = (f"nearest: {nearest[0]}", *_few(nearest[1]))
    return replace(found, differences=notes, refused=_odd_input(family, *nearest))


def _odd_input(family: Family, variant: str, differences: list[str]) -> str:
    """Of a published network but for the channels of its input: what it is not."""
    first = f"{family.input_layer}.weight"
    if len(differences) != 1 or not differences[0].startswith(f"{first} is "):
        return ""
    return (
        f"is {variant} with another input ({differences[0]}), as its image-to-video and control "
        "models have, which are not supported; take the text-to-video model"
    )


def _compare(held: Shapes, family: Family, variant: Variant) -> tuple[dict[str, Any], list[str]]:
    """A variant's configuration, with a file's input channels, and how the file differs."""
    if family.variant_from_shapes is not None:  # made of the shapes themselves
        known, config = _built(family, variant)
        return config, _differing(known, held)
    published, config = _published(family.transformer, variant.name)
    first = f"{family.input_layer}.weight"
    wide, narrow = held.get(first, (0, 0)), published[first]
    whole = len(wide) == len(narrow) and wide[1] % narrow[1] == 0
    times = max(wide[1] // narrow[1], 1) if whole else 1
    widened = (narrow[0], narrow[1] * times, *narrow[2:])
    config = {**config, "in_channels": config["in_channels"] * times}
    return config, _differing({**published, first: widened}, held)


def _differing(known: Shapes, held: Shapes) -> list[str]:
    differences = [f"{name} is missing" for name in sorted(known.keys() - held.keys())]
    differences += [f"{name} is unknown" for name in sorted(held.keys() - known.keys())]
    differences += [
        f"{name} is {_sides(held[name])}, not {_sides(known[name])}"
        for name in sorted(known.keys() & held.keys())
        if known[name] != held[name]
    ]
    return differences


@cache
def _published(transformer: str, variant: str) -> tuple[Shapes, dict[str, Any]]:
    """Shapes of a published model's tensors, and its whole configuration."""
    family = FAMILIES[transformer]
    (one,) = (known for known in family.variants if known.name == variant)
    return _built(family, one)


def _built(family: Family, variant: Variant) -> tuple[Shapes, dict[str, Any]]:
    network = family.empty_network(variant.config)
    whole = {key: value for key, value in network.config.items() if key[0] != "_"}
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    return shapes, {"_class_name": family.transformer, **whole}


def _owned(names: Mapping[str, Any], layout: CheckpointLayout, prefix: str) -> set[str]:
    """Names of the network's own tensors."""
    return {
        name
        for name in names
        if (name.startswith(prefix) and (prefix or name.split(".")[0] not in _STRANGERS))
        or name.startswith(layout.beside)
    }


def is_low_rank(names: Iterable[str]) -> bool:
    """Whether the tensors of a file are low-rank updates, by their names."""
    return any(part in name for name in names for part in _LOW_RANK)


def _nearest(shapes: Shapes) -> str:
    """The error: which family is nearest, and what is missing of it."""
    if not shapes:
        return "holds no tensors"
    if is_low_rank(shapes):
        return (
            "holds low-rank updates (LoRA) of some model, not a model; name the model that it was "
            "made for, and give this file with --lora"
        )
    best: tuple[int, float, Family, list[str]] | None = None
    for family in FAMILIES.values():
        for layout in family.layouts:
            for prefix in PREFIXES:
                missing = [key for key in layout.keys if prefix + key not in shapes]
                score = (len(layout.keys) - len(missing), -len(missing) / len(layout.keys))
                if best is None or score > best[:2]:
                    best = (*score, family, missing)
    assert best is not None
    known = _list([family.name for family in FAMILIES.values() if family.layouts])
    nearest = (
        f"nearest is {best[2].name}, which would need {_list(best[3])}"
        if best[0]
        else "not one tensor has a name that one of them would have"
    )
    has = _list(_few(sorted(shapes)))
    return f"is of none of the known families ({known}): {nearest}; the file has {has}"


def _few(names: list[str]) -> list[str]:
    more = len(names) - _SHOWN
    return names[:_SHOWN] + ([f"and {more} more"] if more > 0 else [])


def _list(names: list[str]) -> str:
    return ", ".join(names)


def _sides(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a number"
