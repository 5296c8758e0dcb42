"""Adapters (LoRA and DoRA) over a base that stays as it is.

A folder with these files:

- `pytorch_lora_weights.safetensors`: as diffusers writes and reads it;
- `fbridge_extra.safetensors`: layers trained in full, such as the expanded input; absent if none;
- `adapter.json`: the base by name and hash, the bridge and the facts of the pipeline;
- `prior/`: the network of a neural prior, if there is one;
- `transformer_2/`: of a bridge of both networks of a pair, the adapter of that for little noise.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from fbridge.backbones.families import family_of
from fbridge.backbones.space_time import SpaceTimeTransformer
from fbridge.errors import CheckpointError, reason
from fbridge.files.modules import load_folder
from fbridge.files.tensors import read_header
from fbridge.loaders.adapter_card import AdapterCard as AdapterCard
from fbridge.loaders.adapter_card import read_card as read_card
from fbridge.loaders.experts import Expert, other_file
from fbridge.loaders.load import PretrainedModel, load_pretrained
from fbridge.loaders.locate import ADAPTER_WEIGHTS
from fbridge.loaders.lora_choice import LoraChoice, recorded_choices
from fbridge.loaders.lora_merge import merge_loras
from fbridge.loaders.pair_loras import check_loras, loras_of_pair
from fbridge.scheduler import FrameBridgeScheduler

EXTRA = "fbridge_extra.safetensors"
PRIOR = "prior"
_OLD_PREFIX = "transformer"
"""Of the tensors' names in the first adapters of networks that diffusers calls `unet`."""


def load_adapter(
    folder: Path,
    *,
    base: str | None = None,
    dtype: torch.dtype = torch.float32,
    download: bool = False,
    loras: Sequence[LoraChoice] = (),
) -> tuple[AdapterCard, PretrainedModel]:
    """An adapter's card, and its base with the adapter merged into the network.

    The LoRAs that the base had when the adapter was trained are merged before, `loras` after it.

    Args:
        folder: of the adapter.
        base: where the base lies, if not where the card says.
        dtype: of the base's networks.
        download: fetch from the hub what the card names; else it must be in the local cache, since
            an adapter may be anybody's.
        loras: further ones, and places of those that are not where the card says.

    Raises:
        CheckpointError: the base or a LoRA of it is missing or another one, or the adapter does not
            fit it.
    """
    card = read_card(folder)
    if card.second is not None:
        return _load_both(folder, card, base, loras, dtype=dtype, download=download)
    expert: Any = card.expert or ""
    return _load_one(folder, card, base, loras, expert, dtype=dtype, download=download)


def _load_both(
    folder: Path, card: AdapterCard, base: str | None, loras: Sequence[LoraChoice], **how: Any
) -> tuple[AdapterCard, PretrainedModel]:
    """A pair, whose two adapters have each its network's base and LoRAs."""
    chosen, inner = loras_of_pair(loras), folder / str(card.second)
    other = base
    if base is not None and Path(base).is_file():  # that for much noise, or the one beside it
        side, beside = other_file(Path(base))
        base, other = (base, str(beside)) if side == "high" else (str(beside), base)
    _, high = _load_one(folder, card, base, chosen["high"], "high", **how)
    card_2, low = _load_one(inner, read_card(inner), other, chosen["low"], "low", **how)
    own = len(card.loras), len(card_2.loras)
    merged = (*high.loras[: own[0]], *low.loras[: own[1]])
    merged += (*high.loras[own[0] :], *low.loras[own[1] :])
    both = replace(
        high, transformer_2=low.transformer, boundary=card.scheduler["boundary"], loras=merged
    )
    return replace(card, loras=[*card.loras, *card_2.loras]), both


def _load_one(
    folder: Path,
    card: AdapterCard,
    base: str | None,
    loras: Sequence[LoraChoice],
    expert: Expert,
    *,
    dtype: torch.dtype,
    download: bool,
) -> tuple[AdapterCard, PretrainedModel]:
    recorded, further = recorded_choices(card.loras, loras, f"adapter {folder}")
    found = load_base_of(folder, card, recorded, base=base, dtype=dtype, download=download)
    if further:
        check_loras(further, found.family, f"the base of {folder}", expert=expert)
    found.family.expand_inputs(found.transformer, card.parts)
    _put(folder, found.transformer)
    merge_lora(found.transformer)
    merged = merge_loras(found.transformer, further)
    return card, replace(found, loras=(*found.loras, *merged))


def load_base_of(
    folder: Path,
    card: AdapterCard,
    loras: Sequence[LoraChoice],
    *,
    base: str | None = None,
    dtype: torch.dtype = torch.float32,
    download: bool = False,
) -> PretrainedModel:
    """An adapter's base, checked to be the one that it was trained on.

    Args:
        folder: of the adapter.
        card: of it.
        loras: of the base, that the card names, at their places.
        base: see `load_adapter`.
        dtype: likewise.
        download: likewise.

    Raises:
        CheckpointError: the base or a LoRA of it is missing or another one.
    """
    place = card.place(base)
    for choice in loras:
        choice.check()
    try:
        found = load_pretrained(
            place.base,
            components=place.components,
            expert=card.expert,
            dtype=dtype,
            download=download,
            loras=loras,
            local_files_only=base is None and not download,
        )
    except CheckpointError as error:
        raise CheckpointError(
            f"{folder}: its base cannot be had: {error}; name its place with --base (base= in "
            "Python)"
        ) from error
    if found.hash != card.base_sha256:
        raise CheckpointError(
            f"{folder}: was trained on a base of sha256 {card.base_sha256[:12]}..., but "
            f"{found.name!r} has {found.hash[:12]}...; name the right one with --base "
            "(base= in Python)"
        )
    return found


def adapted_components(folder: Path, card: AdapterCard, found: PretrainedModel) -> dict[str, Any]:
    """Arguments of `FrameBridgePipeline` for an adapter's folder, as `load_adapter` read it."""
    dtype = found.dtype
    prior = load_folder(SpaceTimeTransformer, folder / PRIOR, dtype) if _has_prior(folder) else None
    return {
        **found.components(),
        "transformer": found.transformer,
        "scheduler": FrameBridgeScheduler(**card.scheduler),
        "prior": prior,
        **card.pipeline,
    }


def merge_lora(transformer: Any) -> None:
    """Add the updates to the layers' own weights, in place, and drop the adapter."""
    transformer.fuse_lora()
    transformer.unload_lora()


def _put(folder: Path, transformer: Any) -> None:
    try:
        held = read_header(folder / ADAPTER_WEIGHTS).shapes
        prefix = _prefix(held, family_of(transformer).pipeline_part)
        transformer.load_lora_adapter(
            str(folder), prefix=prefix, weight_name=ADAPTER_WEIGHTS, local_files_only=True
        )
        fitting = sum("lora_" in name for name in transformer.state_dict())
        if fitting != len(held):  # diffusers only logs what it leaves out
            raise ValueError(f"of its {len(held)} tensors {fitting} are of layers of this network")
        extra = load_file(folder / EXTRA) if (folder / EXTRA).is_file() else {}
        strange = transformer.load_state_dict(extra, strict=False).unexpected_keys
    except (
        CheckpointError, OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError,
    ) as error:  # fmt: skip
        raise CheckpointError(f"{folder}: does not fit its base: {reason(error)}") from error
    if strange:
        raise CheckpointError(f"{folder}/{EXTRA}: does not fit its base: {strange[0]} is unknown")


def _prefix(names: Iterable[str], part: str) -> str:
    """What the names begin with: the network's part of a pipeline or, of older files, another."""
    held = list(names)
    return part if any(name.startswith(f"{part}.") for name in held) else _OLD_PREFIX


def _has_prior(folder: Path) -> bool:
    return (folder / PRIOR / "config.json").is_file()
