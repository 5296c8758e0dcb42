"""The pretrained model of a run, with the LoRAs that are merged into it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch

from fbridge.backbones.families import family_of
from fbridge.choices import FrozenWeights
from fbridge.config.tree import Config
from fbridge.errors import CheckpointError, ConfigError
from fbridge.files.finite import check_weights
from fbridge.files.modules import Kept
from fbridge.loaders.load import PretrainedModel, load_pretrained
from fbridge.loaders.lora_choice import LoraChoice, parse_lora, recorded_choices
from fbridge.memory.apply import layer_shrinker
from fbridge.memory.options import MemoryOptions


def load_base(config: Config, recorded: Sequence[Mapping[str, Any]] = ()) -> PretrainedModel:
    """The model that a configuration fine-tunes, with its LoRAs merged.

    Args:
        config: of the run.
        recorded: the LoRAs that the run was begun with, as its run.json has them, where it was.

    Raises:
        CheckpointError: it or a LoRA is missing or broken, or a LoRA is not the recorded one.
        ConfigError: it needs what prepared latents do not hold.
    """
    assert config.base is not None, "the command line has filled it in"
    base = load_pretrained(
        config.base,
        kept=_kept(config),
        components=config.components,
        expert=config.expert,
        download=config.download,
        loras=_loras(config, recorded),
    )
    base.check_one_network()
    if base.transformer is not None:
        check_weights(base.transformer, f"base {base.name}: its {type(base.transformer).__name__}")
    if base.transformer is not None and base.transformer.config.get("image"):
        raise ConfigError(
            f"base {base.name}: takes what an image encoder sees of the picture, which prepared "
            "latents do not hold; fine-tune the text-to-video model that it was made from"
        )
    return base


def _kept(config: Config) -> Kept:
    """Float32 what is trained, and what stays frozen under a LoRA in the arithmetic's precision.

    What is quantised, is so from float32 and layer by layer.
    """
    if not config.lora.rank:
        return Kept()
    shrink_layer = layer_shrinker(frozen_memory(config.lora.quantize))

    def exact(network: Any, layer: str) -> bool:
        family = family_of(network)
        quantised = shrink_layer is not None and family.is_quantizable(network, layer)
        return layer == family.input_layer or quantised

    return Kept(frozen_dtype(config.train.precision), exact, finish=shrink_layer)


def frozen_memory(kept: FrozenWeights, attention: str | None = None) -> MemoryOptions:
    """The memory options of a network whose frozen weights are kept in fewer bits."""
    if kept == "float8":
        return MemoryOptions(cast=kept, attention=attention)
    return MemoryOptions(quantize=kept, attention=attention)


def frozen_dtype(precision: str) -> torch.dtype:
    """Of weights that are not trained, for a precision of the arithmetic."""
    return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.float32)


def _loras(config: Config, recorded: Sequence[Mapping[str, Any]]) -> list[LoraChoice]:
    """The LoRAs of the base; of a run that was begun, those that it was begun with."""
    if not recorded:
        return [parse_lora(text, "lora.base") for text in config.lora.base]
    there = []
    for text in config.lora.base:
        with suppress(CheckpointError):
            there.append(parse_lora(text, "lora.base"))
    choices, _ = recorded_choices(recorded, there, "this run", "put it back")
    for choice in choices:
        choice.check()
    return choices
