"""Why a model that was found cannot be used, by its configurations and the headers of its files.

`fbridge info` and `fbridge doctor` say it, loading raises it, in the same words.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fbridge.backbones.families import CLASSES
from fbridge.errors import FBridgeError
from fbridge.files.configs import read_json
from fbridge.files.low_bit import low_bit_refusal
from fbridge.files.modules import misfit
from fbridge.loaders.experts import expert_remark, find_boundary, pair_remark
from fbridge.loaders.own_autoencoder import other_autoencoder, uncompared_autoencoder
from fbridge.loaders.unsupported import MAKERS_CLASSES, foreign_pipeline

if TYPE_CHECKING:
    from fbridge.loaders.resolve import ResolvedModel


def find_refusal(model: ResolvedModel) -> str:
    """Why a model cannot be used; "" if it can, or if only parts of it are missing.

    Raises:
        ConfigError: it is said to be one network of a pair, and cannot be one.
    """
    if not model.expert and model.kind in ("scratch", "adapter", "base"):
        return ""
    if model.second is not None and (why := model.second.refused):
        return f"its other network, {model.second.path}: {why}"
    if model.kind == "pipeline" and model.pair:
        if not model.family.boundary:
            return f"has two networks, which are not supported of {model.family.name} models"
        find_boundary(model)  # raises where it is not told
    found = model.detected
    if why := _low_bit(model) or ("" if found is None else found.refused):
        return why
    if found is not None and (why := _foreign_place(model.path)):
        return why
    if model.components is not None and model.kind == "weights":
        other = other_autoencoder(model.path, model.header, model.components)
        if other:
            return other
    if model.config is None or model.config.get("quantization_config"):
        return ""
    return _misfit(model, model.config)


def find_remark(model: ResolvedModel) -> str:
    """What is to be said of a model that can be used; "" if there is nothing."""
    found = model.detected
    if found is None:
        return pair_remark(model) if model.pair else ""
    remarks = [pair_remark(model) if model.pair else expert_remark(model)]
    if model.components is not None and model.kind == "weights":
        remarks.append(uncompared_autoencoder(model.header, model.components))
    return "; it ".join(filter(None, remarks))


def _low_bit(model: ResolvedModel) -> str:
    if model.weights is None or (model.config or {}).get("quantization_config"):
        return ""  # diffusers reads what it saved itself
    own = None if model.detected is None else model.detected.owned(model.header.shapes)
    return low_bit_refusal(model.weights, model.header, own)


def _foreign_place(path: Path) -> str:
    """By the configuration beside the weights, and the index of the pipeline that they are in."""
    beside = path.parent / "config.json"
    kind = read_json(beside).get("_class_name") if beside.is_file() else None
    if kind is not None and kind not in {*CLASSES, *MAKERS_CLASSES}:
        return f"is a {kind}, as its config.json says, which is not supported"
    index = path.parent.parent / "model_index.json"
    if path.parent.name not in ("transformer", "unet") or not index.is_file():
        return ""
    return foreign_pipeline(str(read_json(index).get("_class_name")))


def _misfit(model: ResolvedModel, config: Mapping[str, Any]) -> str:
    """By the network of the configuration, built without weights."""
    network = model.family.empty_network(config)
    if model.kind != "bridge" and (why := model.family.refused({**config, **network.config})):
        return why
    if model.weights is None:
        return ""
    known = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    alone = model.detected is not None
    held = model.detected.shapes if model.detected is not None else model.header.shapes
    first = f"{model.family.input_layer}.weight"
    if {name for name in known if held.get(name, known[name]) != known[name]} == {first}:
        return (
            f"is a {model.family.name} network with another input ({first} has {held[first][1]} "
            f"channels, where its configuration says {known[first][1]}), as image-to-video and "
            "control models have, which are not supported; take the text-to-video model"
        )
    if why := misfit(type(network).__name__, known, held, strict=alone):
        return why
    if not alone and (more := _unknown_weights(known, held)):
        return (
            f"holds {len(more)} weights that a {type(network).__name__} does not have (such as "
            f"{more[0]}), so it is another network, and would run without them; take the family's "
            "own text-to-video model"
        )
    try:
        model.family.adapt(network)
    except FBridgeError as error:
        return f"cannot be used: {error}"
    return ""


def _unknown_weights(known: Mapping[str, Any], held: Mapping[str, Any]) -> list[str]:
    """Weights of a folder that its class does not know, which libraries leave out.

    Other tensors that it does not know are tables of positions and the like, which earlier versions
    stored and newer ones compute.
    """
    return sorted(
        name for name in held.keys() - known.keys() if name.endswith((".weight", ".bias"))
    )
