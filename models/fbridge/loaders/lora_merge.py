"""Merging LoRA files into a network: every name is looked up before any weight changes.

A LoRA is a difference of weights, and a layout's conversion of names is linear: so differences
under the makers' names go the way of their weights, one tensor at a time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor

from fbridge.backbones.checkpoint_layout import CheckpointLayout
from fbridge.backbones.families import family_of
from fbridge.backbones.family import Family
from fbridge.errors import CheckpointError, ConfigError
from fbridge.files.atomic import shown
from fbridge.files.key_mapping import Weights
from fbridge.files.lora_record import LoraRecord
from fbridge.loaders.detect import PREFIXES
from fbridge.loaders.lora_choice import LoraChoice
from fbridge.loaders.lora_file import LoraFile, Update, changed_rows, read_lora
from fbridge.loaders.lora_refusal import misfit_reason
from fbridge.loaders.merged_lora import MergedLora as MergedLora

KOHYA = ("lora_unet_", "lora_unet__", "lora_transformer_", "lycoris_")
"""What kohya's and LyCORIS's names begin with; the rest of them has underscores for dots. Wan Fun's
trainer puts a second one before the first layer."""
_PREFIXES = (*PREFIXES, "unet.", "base_model.model.", "base_model.model.transformer.", "pipe.dit.")
_OWN = CheckpointLayout("diffusers", ())
_FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)

Shapes = Mapping[str, tuple[int, ...]]
"""Of a network's tensors, by name."""
Stored = Callable[[str], Tensor | None]
"""A tensor of a network as its file has it, by name; None where that is not known."""


@dataclass(frozen=True)
class _Change:
    """An update of one or, of a fused layer, several tensors of a network."""

    update: Update
    weight: float
    layout: CheckpointLayout
    name: str

    def apply(self, target: str, old: Tensor) -> Tensor:
        """The network's tensor of that name, changed; in float32."""
        difference = self._piece(target, self.update.difference())
        magnitude = self.update.magnitude
        if magnitude is not None:  # goes where the layer's bias, one number a row, would go
            layer, bias = self.name.rpartition(".")[0], f"{target.rpartition('.')[0]}.bias"
            magnitude = _converted(self.layout, f"{layer}.bias", magnitude)[bias]
        if difference.shape != old.shape:
            difference = _shaped(difference, old)
        return old + self.weight * changed_rows(old, difference, magnitude)

    def _piece(self, target: str, difference: Tensor) -> Tensor:
        return _converted(self.layout, self.name, difference)[target]


@dataclass(frozen=True)
class LoraMerge:
    """LoRAs that have been looked up in a network.

    Attributes:
        done: what records and messages say about them.
        changes: of the network's tensors, by name.
    """

    done: list[MergedLora]
    changes: Mapping[str, Sequence[_Change]]

    def changed(self, name: str, stored: Tensor) -> Tensor:
        """A tensor of the network with its changes, in float32; itself where there are none."""
        new = stored
        for change in self.changes.get(name, ()):
            new = change.apply(name, new.detach().float())
        return new


def plan_loras(transformer: Any, choices: Sequence[LoraChoice]) -> LoraMerge:
    """Read LoRAs and look up their names in a network, which may be empty.

    Args:
        transformer: of a family in `fbridge.backbones.families`; its input may have been expanded.
        choices: of the LoRAs.

    Raises:
        CheckpointError: a file is missing, is not understood in full, or does not fit.
    """
    shapes = {name: tuple(held.shape) for name, held in transformer.named_parameters()}
    family = family_of(transformer)
    changes: dict[str, list[_Change]] = {}
    done = []
    for choice in choices:
        sha256 = choice.check()
        lora = read_lora(choice.file)
        weight = 1.0 if choice.weight is None else choice.weight
        targets = set()
        for change, names in _fitted(lora, weight, family, shapes):
            targets |= names
            for name in names:
                changes.setdefault(name, []).append(change)
        place = shown(choice.file.absolute())
        record = LoraRecord(shown(choice.file.name), sha256, weight, place, choice.network)
        done.append(MergedLora(record, lora.tensors, len(targets), lora.steps, lora.whole))
    return LoraMerge(done, changes)


def merge_loras(
    transformer: Any, choices: Sequence[LoraChoice], *, stored: Stored = lambda _: None
) -> list[MergedLora]:
    """Add LoRAs to a network's weights, in place, one tensor at a time, summed in float32.

    Args:
        transformer: as `plan_loras` takes it, neither quantised nor cast to float8.
        choices: all are read and looked up before anything changes.
        stored: the tensors as the network's file has them, where they have lost precision.

    Raises:
        CheckpointError: as `plan_loras`.
        ConfigError: the network's weights cannot be changed any more.
    """
    merge = plan_loras(transformer, choices)
    for name in merge.changes:
        _check_changeable(transformer, name)
    with torch.no_grad():
        for name in merge.changes:
            held = transformer.get_parameter(name)
            first = stored(name)
            new = (held if first is None else first).detach().to(held.device)
            held.copy_(merge.changed(name, new))  # casts
    return merge.done


def _check_changeable(transformer: Any, name: str) -> None:
    held = transformer.get_parameter(name)
    hooks = ("_hf_hook", "_diffusers_hook")
    if any(hasattr(layer, hook) for layer in transformer.modules() for hook in hooks):
        raise ConfigError("LoRA: the network is offloaded or cast already; merge LoRAs first")
    if held.is_meta or held.dtype not in _FLOATS or type(held.data) is not Tensor:
        raise ConfigError(
            f"LoRA: {name} is {'offloaded' if held.is_meta else 'quantised or cast'} already; "
            "merge LoRAs first"
        )


def _fitted(
    lora: LoraFile, weight: float, family: Family, shapes: Shapes
) -> Iterator[tuple[_Change, set[str]]]:
    """The changes and the tensors of the network that they concern.

    Raises:
        CheckpointError: a layer of the file is none of the network, or has another shape.
    """
    layers = list(dict.fromkeys(update.layer for update in lora.updates))
    first = f"{family.input_layer}.weight"
    best: tuple[list[Update], list[tuple[_Change, set[str]]]] | None = None
    for layout, names in _readings(layers, family, shapes):
        strange: list[Update] = []
        fitting: list[tuple[_Change, set[str]]] = []
        for update in lora.updates:
            layer = names.get(update.layer, "")
            found = _targets(layout, f"{layer}.{update.kind}", update)
            if found and all(_fits(shapes.get(n), shape, n == first) for n, shape in found.items()):
                change = _Change(update, weight, layout, f"{layer}.{update.kind}")
                fitting.append((change, set(found)))
            else:
                strange.append(update)
        if best is None or len(strange) < len(best[0]):
            best = strange, fitting
    assert best is not None, "names as they are, are one reading"
    if best[0] or not lora.updates:
        raise CheckpointError(f"LoRA {lora.path}: {misfit_reason(lora.updates, best[0], family)}")
    return iter(best[1])


def _readings(
    layers: Sequence[str], family: Family, shapes: Shapes
) -> Iterator[tuple[CheckpointLayout, Mapping[str, str]]]:
    """Ways to take a file's layers: a layout of the family, and names under it."""
    layouts = [_OWN, *(layout for layout in family.layouts if layout.convert is not None)]
    for layout in layouts:
        for prefix in _PREFIXES:
            if all(layer.startswith(prefix) for layer in layers):
                yield layout, {layer: layer[len(prefix) :] for layer in layers}
        for prefix in KOHYA:
            if all(layer.startswith(prefix) for layer in layers):
                yield (
                    layout,
                    {layer: _dotted(layer[len(prefix) :], layout, shapes) for layer in layers},
                )


def _dotted(name: str, layout: CheckpointLayout, shapes: Shapes) -> str:
    """A layer's name whose dots became underscores, as it was."""
    if layout.convert is None:
        known = {own.rpartition(".")[0] for own in shapes}
        return next((layer for layer in known if layer.replace(".", "_") == name), name)
    for word in sorted(layout.compounds, key=len, reverse=True):
        name = re.sub(rf"(?<![a-zA-Z]){word}(?![a-zA-Z\d])", word.replace("_", "\0"), name)
    return name.replace("_", ".").replace("\0", "_")


def _targets(layout: CheckpointLayout, name: str, update: Update) -> dict[str, tuple[int, ...]]:
    """Names in the network, and shapes, of the tensors that an update concerns; {} if of none."""
    try:
        pieces = _converted(layout, name, torch.empty(update.shape, device="meta"))
    except (KeyError, IndexError, ValueError, RuntimeError):
        return {}
    return {own: tuple(piece.shape) for own, piece in pieces.items()}


def _converted(layout: CheckpointLayout, name: str, tensor: Tensor) -> Weights:
    return {name: tensor} if layout.convert is None else layout.convert({name: tensor})


def _fits(known: tuple[int, ...] | None, shape: tuple[int, ...], is_input: bool) -> bool:
    """Whether a difference is of a tensor.

    A kernel may be written as a matrix, and one of a point as either; an input layer may have got
    room for the prior.
    """
    if known == shape:
        return True
    if known is None or min(len(known), len(shape)) < 2:
        return False
    if len(known) != len(shape):
        flat = 2 in (len(known), len(shape))
        return flat and known[0] == shape[0] and prod(known) == prod(shape)
    if not is_input:
        return False
    return (
        known[1] > shape[1]
        and known[1] % shape[1] == 0
        and ((known[0], *known[2:]) == (shape[0], *shape[2:]))
    )


def _shaped(difference: Tensor, old: Tensor) -> Tensor:
    """A difference in the shape of its tensor; see `_fits`.

    Of a widened input the latents' channels come first, as `fbridge.backbones.expand` puts them.
    """
    if difference.numel() == old.numel():
        return difference.view_as(old)
    wide = torch.zeros_like(old)
    wide[:, : difference.shape[1]] = difference
    return wide
