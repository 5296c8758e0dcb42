"""A base's network: its weights read, converted, changed by LoRAs and kept, tensor by tensor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fbridge.files.modules import Kept, build, load_folder
from fbridge.files.tensors import open_weights
from fbridge.files.weight_files import find_weight_file
from fbridge.loaders.lora_choice import LoraChoice
from fbridge.loaders.lora_merge import MergedLora, merge_loras, plan_loras

Built = tuple[Any, tuple[MergedLora, ...]]
"""A network, and the LoRAs that were merged into it."""


def build_network(
    kind: Any,
    config: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    path: Path,
    kept: Kept,
    loras: Sequence[LoraChoice],
) -> Built:
    """A network of a class, from its configuration and all its weights.

    Args:
        kind: of diffusers' models, or ours.
        config: as its `from_config` takes it.
        weights: by name; see `fbridge.files.modules.build`.
        path: that they are from, for messages.
        kept: how the weights are kept.
        loras: are added to tensors as they are stored, in float32.

    Raises:
        CheckpointError: configuration and weights, or a LoRA, do not fit.
    """
    merging, done = _merging(kept, loras)
    return build(kind, config, weights, path, merging), tuple(done)


def network_of_folder(kind: Any, folder: Path, kept: Kept, loras: Sequence[LoraChoice]) -> Built:
    """The same of a folder written by save_pretrained."""
    merging, done = _merging(kept, loras)
    network = load_folder(kind, folder, merging)
    if loras and not done:  # its class has loaded it by itself
        stored = stored_tensors(folder, kept.dtype)
        done = merge_loras(network, loras, stored=stored.get)
    return network, tuple(done)


def stored_tensors(network: Path, dtype: Any) -> Mapping[str, Tensor]:
    """A network's tensors as its folder has them; {} where it was loaded in full precision."""
    file = None if dtype == torch.float32 else find_weight_file(network)
    return {} if file is None else open_weights(file)


def _merging(kept: Kept, loras: Sequence[LoraChoice]) -> tuple[Kept, list[MergedLora]]:
    """With LoRAs merged on the way; the list is filled when the network is known."""
    done: list[MergedLora] = []

    def plan(network: Any) -> Callable[[str, Tensor], Tensor]:
        merge = plan_loras(network, loras)
        done.extend(merge.done)
        return merge.changed

    return (replace(kept, change=plan) if loras else kept), done
