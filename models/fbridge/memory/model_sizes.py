"""The parts of a model and their sizes, told from configurations and headers alone."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from accelerate import init_empty_weights
from transformers import AutoConfig

from fbridge.backbones.families import family_named
from fbridge.backbones.family import Family
from fbridge.errors import CheckpointError
from fbridge.files.modules import read_json, read_single_file_facts
from fbridge.files.tensors import find_weight_file, network_folder, read_header
from fbridge.loaders.codec import vae_class
from fbridge.loaders.components import network_config
from fbridge.loaders.detect import detect
from fbridge.loaders.inspect import inspect_model
from fbridge.loaders.locate import locate_model
from fbridge.loaders.single_file import autoencoder_config, count_numbers
from fbridge.loaders.text_encoder import text_encoder_class

_USUAL_TOKENS = 77
"""Of a prompt, where nothing tells."""


class ModelSizes(NamedTuple):
    """The parts of a model as their configurations tell them.

    Attributes:
        family: of its network.
        network: configuration of that.
        vae: configuration of its autoencoder of diffusers.
        vae_numbers, words_numbers: how many weights the autoencoder has, and the encoders of words
            and, where there is one, of pictures.
        tokens: of a prompt.
    """

    family: Family
    network: dict[str, Any]
    vae: dict[str, Any]
    vae_numbers: int
    words_numbers: int
    tokens: int


def model_sizes(name: str, *, components: str | None = None) -> ModelSizes:
    """The parts of a model that `inspect_model` knows, of which no weights are read.

    Raises:
        CheckpointError: as `inspect_model`; or a part is missing, or of a kind that only we have.
    """
    found = inspect_model(name, components=components)
    path = Path(found.path)
    if found.kind == "base":
        facts, header = read_single_file_facts(path), read_header(path)
        assert facts is not None
        vae_numbers = sum(prod(s) for key, s in header.shapes.items() if key.startswith("vae."))
        family = family_named(str(facts["transformer"]["_class_name"]))
        return ModelSizes(family, facts["transformer"], facts["vae"], vae_numbers, 0, _USUAL_TOKENS)
    if found.missing or found.kind == "adapter":
        lack = ", ".join(found.missing) or f"all but its updates of {found.base}"
        raise CheckpointError(f"{found.path}: lacks {lack}; see fbridge info")
    if found.kind == "whole":
        shapes = read_header(path).shapes
        network = detect(shapes).config
        assert network is not None, "identify has found one"
        try:
            vae, numbers = autoencoder_config(shapes), count_numbers(shapes)
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}") from error
        return ModelSizes(
            family_named(str(network["_class_name"])), network, vae, *numbers, _USUAL_TOKENS
        )
    remote = not path.exists()
    path = locate_model(found.path, {}, configs_only=True) if remote else path
    folder = Path(found.components) if found.components else path
    if path.is_file():
        network = network_config(path, folder) or detect(read_header(path).shapes).config
    else:
        network = read_json(network_folder(path) / "config.json")
    assert network is not None, "identify has found one"
    family = family_named(str(network["_class_name"]))
    if family.video is None or not (folder / "vae/config.json").is_file():
        raise CheckpointError(
            f"{found.path}: only networks of published families with an autoencoder of diffusers "
            f"are judged, and this is a {family.name} network; fbridge finetune --dry-run probes "
            "any training"
        )
    return ModelSizes(
        family,
        network,
        read_json(folder / "vae/config.json"),
        _numbers(folder / "vae"),
        _numbers(folder / "text_encoder") + _numbers(folder / "text_encoder_2"),
        found.tokens or _USUAL_TOKENS,
    )


def _numbers(folder: Path) -> int:
    """Of the weights in a part's folder or, where those are on the hub, of its configuration."""
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
            network = build(AutoConfig.from_pretrained(folder, local_files_only=True))
    return sum(parameter.numel() for parameter in network.parameters())
