"""The parts of a model and their sizes, from configurations and headers alone."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from accelerate import init_empty_weights
from transformers import AutoConfig

from fbridge.backbones.family import Family
from fbridge.errors import CheckpointError, ConfigError
from fbridge.files.configs import read_json
from fbridge.files.tensors import read_header
from fbridge.files.weight_files import find_weight_file
from fbridge.loaders.adapter_card import read_card
from fbridge.loaders.codec import vae_class
from fbridge.loaders.experts import BRIDGE_OF_BOTH
from fbridge.loaders.resolve import ResolvedModel, resolve
from fbridge.loaders.single_file import autoencoder_config, count_numbers
from fbridge.loaders.text_encoder import text_encoder_class

_USUAL_TOKENS = 77
"""Of a prompt, of a model that does not say how many it reads."""


class ModelSizes(NamedTuple):
    """The parts of a model.

    Attributes:
        family: of its network.
        network: its configuration.
        vae: configuration of its autoencoder, which is one of diffusers.
        vae_numbers: number of the autoencoder's weights.
        words_numbers: number of the weights of its text encoders and, in a makers' single file, of
            its image encoder.
        tokens: the most of a prompt.
        clip: frames, width and height of the clips that it makes, where it says so itself.
    """

    family: Family
    network: dict[str, Any]
    vae: dict[str, Any]
    vae_numbers: int
    words_numbers: int
    tokens: int
    clip: tuple[int, int, int] | None = None


def model_sizes(
    name: str, *, components: str | None = None, expert: str | None = None, base: str | None = None
) -> ModelSizes:
    """The parts of a model and their sizes; no weights are read. Of an adapter, its base's.

    Args:
        name: as `fbridge.loaders.resolve.resolve` takes it.
        components: likewise.
        expert: likewise.
        base: of an adapter, if it does not lie where it was.

    Raises:
        CheckpointError: as `resolve`; or a part is missing, or is not one of diffusers.
    """
    model = resolve(name, components=components, expert=expert, configs_only=True)
    if model.kind == "scratch":
        raise CheckpointError(f"{name}: has no sizes before there is data for it")
    place = model.name if model.remote else model.path
    if model.kind == "adapter":
        return _sizes_of_base(model.path, base)
    if base is not None:
        raise ConfigError(f"--base {base}: {name} is no adapter; leave it out")
    if why := _unjudged(model):
        raise CheckpointError(f"{place}: {why}")
    tokens = model.tokens or _USUAL_TOKENS
    assert model.config is not None, "it is not missing"
    if model.kind == "base":
        shapes = model.header.shapes
        numbers = sum(prod(shape) for key, shape in shapes.items() if key.startswith("vae."))
        vae = model.facts["vae"]
        return ModelSizes(model.family, model.config, vae, numbers, 0, tokens, _own_clip(model))
    if model.kind == "whole":
        shapes = model.header.shapes
        try:
            vae, counts = autoencoder_config(shapes), count_numbers(shapes)
        except CheckpointError as error:
            raise CheckpointError(f"{place}: {error}") from error
        return ModelSizes(model.family, model.config, vae, *counts, tokens)
    folder = model.components or model.path
    if model.family.video is None or not (folder / "vae/config.json").is_file():
        raise CheckpointError(
            f"{place}: only networks of published families with an autoencoder of diffusers are "
            f"judged, and this is a {model.family.name} network; fbridge finetune --dry-run probes "
            "any training"
        )
    return ModelSizes(
        model.family,
        model.config,
        read_json(folder / "vae/config.json"),
        _numbers(folder / "vae"),
        _numbers(folder / "text_encoder") + _numbers(folder / "text_encoder_2"),
        tokens,
        _own_clip(model) if model.kind == "bridge" else None,
    )


def _own_clip(model: ResolvedModel) -> tuple[int, int, int] | None:
    """Frames, width and height that a model of ours makes; None where it does not say."""
    frames, sizes = model.facts.get("frames"), model.facts.get("sizes")
    return (frames[0], *sizes[0]) if frames and sizes else None


def _unjudged(model: ResolvedModel) -> str:
    """Why the sizes of a model are not known; "" if they are."""
    if not model.refused and model.pair:
        one_by_one = "is a pair of networks, which are judged one by one: add --expert low"
        return one_by_one if model.kind != "bridge" else BRIDGE_OF_BOTH
    lacks = f"lacks {', '.join(model.missing)}; see fbridge info" if model.missing else ""
    return model.refused or lacks


def _sizes_of_base(adapter: Path, base: str | None) -> ModelSizes:
    card = read_card(adapter)
    if card.second is not None:
        raise CheckpointError(
            f"{adapter}: is a bridge of both networks of a pair, which are judged one by one; name "
            "its base, and add --expert low"
        )
    known = card.place(base)
    try:
        return model_sizes(known.base, components=known.components)
    except CheckpointError as error:
        raise CheckpointError(f"{adapter}: its base: {error}; name it with --base") from error


def _numbers(folder: Path) -> int:
    """Number of the weights in a part's folder or, where they are on the hub, by its config."""
    weights = find_weight_file(folder)
    if weights is not None:
        return sum(map(prod, read_header(weights).shapes.values()))
    if not (folder / "config.json").is_file():
        return 0
    config = read_json(folder / "config.json")
    with init_empty_weights():
        if folder.name == "vae":
            known = {key: value for key, value in config.items() if key[0] != "_"}
            network = vae_class(config).from_config(known)
        else:
            kind = text_encoder_class(folder)
            build = getattr(kind, "from_config", None) or kind._from_config
            local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
            network = build(AutoConfig.from_pretrained(folder, **local))
    return sum(parameter.numel() for parameter in network.parameters())
