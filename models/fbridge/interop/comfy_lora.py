"""A bridge's LoRA as ComfyUI loads it: the makers' names, and a widened input (a "control LoRA").

ComfyUI multiplies `lora_up @ lora_down` by alpha / rank, and pads a weight with zeros to the shape
in `reshape_weight` before it adds that. So the difference of the widened input layer, which was
trained in full, is written as `lora_up` with the identity as `lora_down`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from fbridge.backbones.checkpoint_layout import CheckpointLayout
from fbridge.backbones.families import FAMILIES
from fbridge.backbones.family import Family
from fbridge.errors import CheckpointError, ConfigError
from fbridge.files.atomic import shown
from fbridge.files.key_mapping import rename_keys
from fbridge.loaders.locate import ADAPTER_WEIGHTS
from fbridge.loaders.lora import EXTRA, PRIOR, AdapterCard
from fbridge.loaders.lora_file import Update, read_lora
from fbridge.loaders.lora_products import Product
from fbridge.loaders.pretrained import PretrainedModel
from fbridge.scheduler import FrameBridgeScheduler

_PREFIX = "diffusion_model."


def check_exportable(folder: Path, card: AdapterCard, base: PretrainedModel) -> None:
    """Raise ConfigError, with the way out, for an adapter that ComfyUI cannot run.

    Args:
        folder: of the adapter.
        card: of it.
        base: it was trained on, without it.
    """
    scheduler = FrameBridgeScheduler(**card.scheduler)
    config = scheduler.config
    usual = "neural" if (folder / PRIOR).is_dir() else "repeat"
    start = (card.pipeline.get("start_from") or {}).get("kind", usual)
    known = [family.name for family in FAMILIES.values() if _layout(family) is not None]
    faults = {
        f"the makers' names of the family {base.family.name} are not known; they are of "
        f"{', '.join(known)}": _layout(base.family) is None,
        "its base has input channels for a prior already, which ComfyUI does not load; train over "
        "a text-to-video model": base.family.extra_inputs(base.transformer) > 0,
        f"its prediction is {config.prediction}, where ComfyUI samples a flow; train with "
        'bridge.prediction = "auto"': config.prediction != "aligned-flow",
        f"its prior is {start}, which ComfyUI does not have; train one with prior.kind = "
        '"repeat"': start != "repeat",
        f"its network is given the picture {config.image_input}, and a control LoRA is about "
        'added input channels; train with condition.image_input = "bridge"': (
            config.image_input != "bridge"
        ),
        f"its network takes {card.parts} inputs beside the latents, and ComfyUI adds one; train "
        "with condition.picture_dropout = 0": card.parts != 1,
        f"its sampling starts {config.start}; use fbridge generate": config.start != "noised",
        "its network knows no bridge times near 0, where a video ends; take the other expert of "
        "the pair": scheduler.time_range[0] > 0,
    }
    if fault := next((fault for fault, holds in faults.items() if holds), ""):
        raise ConfigError(f"{shown(folder)}: ComfyUI cannot run it: {fault}")


def comfy_weights(
    folder: Path, base: PretrainedModel, *, dtype: torch.dtype | None = None
) -> dict[str, Tensor]:
    """The tensors of a LoRA for ComfyUI.

    Args:
        folder: of the adapter.
        base: it was trained on, without it.
        dtype: of the matrices; None: float32.

    Raises:
        CheckpointError: the adapter is broken, or of another network.
        ConfigError: it is a DoRA, or has layers trained in full besides the input layer.
    """
    layout = _layout(base.family)
    assert layout is not None, "check_exportable was called"
    part = f"{base.family.pipeline_part}."
    found: dict[str, Tensor] = {}
    for update in read_lora(folder / ADAPTER_WEIGHTS).updates:
        if update.magnitude is not None:
            raise ConfigError(
                f"{shown(folder)}: is a DoRA, whose norms versions of ComfyUI take along other axes"
                "; use --merged, or train with lora.dora = false"
            )
        layer = _original(layout, update.layer.removeprefix(part))
        found |= {f"{_PREFIX}{layer}{end}": held for end, held in _matrices(update)}
    held = load_file(folder / EXTRA) if (folder / EXTRA).is_file() else {}
    layer = base.family.input_layer
    if held.keys() - {f"{layer}.weight", f"{layer}.bias"}:
        raise ConfigError(
            f"{shown(folder)}: has layers trained in full besides {layer}, which are no LoRA; use "
            "--merged"
        )
    own = base.transformer.get_submodule(layer)
    name = f"{_PREFIX}{_original(layout, layer)}"
    found |= {f"{name}{end}": value for end, value in _input_layer(own, layer, held)}
    kept = {".alpha", ".reshape_weight"}
    return {
        key: value if any(key.endswith(end) for end in kept) else value.to(dtype or torch.float32)
        for key, value in found.items()
    }


def _matrices(update: Update) -> Iterator[tuple[str, Tensor]]:
    """Of an update: endings of names, and tensors."""
    product = update.product
    assert isinstance(product, Product), "fbridge writes plain LoRAs"
    assert product.up is not None, "and no whole differences"
    yield ".lora_down.weight", product.down.contiguous()
    yield ".lora_up.weight", product.up.contiguous()
    yield ".alpha", torch.tensor(float(update.scale * len(product.down)))


def _input_layer(own: Any, layer: str, held: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Of the input layer: its difference to the base's, in full rank, and the wider shape."""
    weight = held[f"{layer}.weight"].float()
    difference = weight.clone()
    difference[:, : own.weight.shape[1]] -= own.weight.detach().float()
    flat = difference.flatten(1)
    rank = flat.shape[1]
    yield ".lora_up.weight", flat.contiguous()
    yield ".lora_down.weight", torch.eye(rank)
    yield ".alpha", torch.tensor(float(rank))
    yield ".reshape_weight", torch.tensor(weight.shape)
    if f"{layer}.bias" in held:
        yield ".diff_b", held[f"{layer}.bias"].float() - own.bias.detach().float()


def _layout(family: Family) -> CheckpointLayout | None:
    """The makers' layout, if the way back to their names is known."""
    return next((layout for layout in family.layouts if layout.layer_names), None)


def _original(layout: CheckpointLayout, layer: str) -> str:
    """The makers' name of a layer, checked by the way from it.

    Raises:
        CheckpointError: there is none.
    """
    (name,) = rename_keys({layer: torch.empty(0)}, layout.layer_names)
    assert layout.convert is not None, "a layout with other names has it"
    if list(layout.convert({f"{name}.weight": torch.empty(0)})) != [f"{layer}.weight"]:
        raise CheckpointError(
            f"layer {layer}: its name in the makers' code is not known; use --merged"
        )
    return name
