"""Writes a bridge's LoRA and its workflow for ComfyUI."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from fbridge.errors import ConfigError
from fbridge.files.atomic import replacing, shown
from fbridge.files.tensors import sort_metadata
from fbridge.interop.comfy_lora import check_exportable, comfy_weights
from fbridge.interop.comfy_workflow import workflow
from fbridge.loaders.experts import SECOND
from fbridge.loaders.lora import load_base_of, read_card
from fbridge.loaders.lora_choice import recorded_choices

_HINT = (
    "A bridge from a still picture: give the encoded repeated picture as concat_latent_image, and "
    "start from its noised latents; the workflow beside this file does so."
)


def export_comfy(
    adapter: Path, file: Path, *, dtype: torch.dtype | None = None, base: str | None = None
) -> Path:
    """Write an adapter as a LoRA of ComfyUI, and a workflow beside it; returns the workflow's path.

    Args:
        adapter: its folder.
        file: of the LoRA, ending in .safetensors.
        dtype: of its matrices; None: float32.
        base: where the adapter's base lies, if not where the card says.

    Raises:
        CheckpointError: the adapter or its base does not load.
        ConfigError: ComfyUI cannot run it.
    """
    card = read_card(adapter)
    if card.second is not None:
        raise ConfigError(
            f"{shown(adapter)}: is a bridge of both networks of a pair, and ComfyUI takes a LoRA "
            f"for each; export the runs one by one, or {SECOND} in it and the other's run"
        )
    loras, _ = recorded_choices(card.loras, (), f"adapter {adapter}")
    found = load_base_of(adapter, card, loras, base=base)
    check_exportable(adapter, card, found)
    weights = comfy_weights(adapter, found, dtype=dtype)
    metadata = {"format": "pt", "modelspec.title": file.stem, "modelspec.usage_hint": _HINT}
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as part:
        save_file(weights, part, metadata)
        sort_metadata(part)
    plan = file.with_suffix(".json")
    with replacing(plan) as part:
        nodes = workflow(card, found, file.name)
        part.write_text(json.dumps(nodes, indent=2) + "\n", encoding="utf-8")
    return plan
