"""What a model is, told from configurations and headers alone; no weights are read."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

from fbridge.backbones.families import FAMILIES, family_named
from fbridge.backbones.family import Family
from fbridge.conditioning.prompt_specs import PROMPT_SPECS
from fbridge.errors import CheckpointError
from fbridge.files.modules import read_json, read_single_file_facts
from fbridge.files.tensors import (
    Header,
    find_weight_file,
    is_weight_file,
    network_folder,
    read_header,
)
from fbridge.loaders.components import (
    find_components,
    missing_files,
    network_config,
    required_files,
)
from fbridge.loaders.detect import Detected, detect
from fbridge.loaders.locate import ADAPTER, EMBEDDED, locate_model, packaged_file
from fbridge.loaders.single_file import find_tokenizer, holds_other_parts

_SCHEDULER = "scheduler/scheduler_config.json"


@dataclass(frozen=True)
class InspectedModel:
    """What a model is.

    Attributes:
        path: of the file or folder.
        kind: "weights" of a network alone, a "whole" model in its makers' one file, "base" in one
            of ours, "pipeline" of a text-to-video model,
            "bridge", or "adapter" of a bridge.
        family: of its network; "" of an adapter.
        variant: the published model that it is one of; "" where it is none.
        style: of the tensors' names: "diffusers" or "original".
        prefix: before the tensors' names.
        tensors, parameters: how many; 0 of what is not there.
        dtypes: how many tensors are of each type.
        network: its numbers: "latents" and "words" (features), "patch" (side in latent pixels), and
            "parts" (besides the latents) that there is room for.
        prediction: what it answers: "v", "flow", "noise", "clean"; of a bridge its scheduler's.
        noise: that it was trained on, as `fbridge.scheduler.build_noise_schedule` takes it.
        video: "frames" (default, minimum, maximum, step), "fps", and "grid" in latent pixels.
        tokens: of a prompt that are read; 0 where that is not known.
        missing: files that it cannot be used without.
        components: where the parts are that the weights lack; "" where that is not known.
        others: tensors that are not the network's, by the first part of their names.
        differences: what keeps it from being the nearest published model.
        base: of an adapter.
        refused: why it cannot be used, as `load_base` says it; "" of all others.
    """

    path: str
    kind: str
    family: str = ""
    variant: str = ""
    style: str = ""
    prefix: str = ""
    tensors: int = 0
    parameters: int = 0
    dtypes: dict[str, int] = field(default_factory=dict)
    network: dict[str, int] = field(default_factory=dict)
    prediction: str = ""
    noise: dict[str, Any] = field(default_factory=dict)
    video: dict[str, Any] = field(default_factory=dict)
    tokens: int = 0
    missing: list[str] = field(default_factory=list)
    components: str = ""
    others: dict[str, int] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)
    base: str = ""
    refused: str = ""


def inspect_model(name: str, *, components: str | None = None) -> InspectedModel:
    """What a file of weights, a pipeline, a bridge or an adapter is.

    Args:
        name: as `load_base` and `FrameBridgePipeline` take it.
        components: as `fbridge.loaders.load.load_pretrained` takes it.

    Raises:
        CheckpointError: there is none, it is broken, or of no known family; names the nearest.
    """
    path = Path(name)
    if not path.exists():
        path = packaged_file(name) or path
    path = find_weight_file(path) or path
    if path.is_file():
        facts = read_single_file_facts(path)
        return _of_weights(path, components) if facts is None else _of_base(path, facts)
    if is_weight_file(path):
        raise CheckpointError(f"{name!r}: there is no such file; check the path")
    remote = name != EMBEDDED and not path.is_dir()
    folder = locate_model(name, {}, configs_only=remote)
    if (folder / ADAPTER).is_file():
        return _of_adapter(folder)
    return _of_pipeline(folder, name if remote else "")


def _of_weights(path: Path, components: str | None) -> InspectedModel:
    header = read_header(path)
    try:
        found = detect(header.shapes)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    needed, whole = required_files(found), holds_other_parts(header.shapes) and components is None
    place: Path | None = None
    with suppress(CheckpointError):
        if not whole:
            place = find_components(path, given=components, variant=found.variant, needed=needed)
    config = network_config(path, place) or found.config
    missing = list(needed) if place is None else []
    whole = place is None and holds_other_parts(header.shapes)
    if whole:
        missing = [] if find_tokenizer(path, components) else ["tokenizer/tokenizer_config.json"]
    if config is None:
        missing = ["transformer/config.json", *missing]
    told = _scheduled(found.family, place, config)
    reading = _tokens(found.family)
    return InspectedModel(
        str(path), "whole" if whole else "weights",
        **_named(found), **_counted(header, (found.prefix, *found.layout.beside)),
        **_measured(found.family, config), **told, tokens=reading, missing=missing,
        components="" if place is None else str(place), refused=found.family.refused(config or {}),
    )  # fmt: skip


def _of_base(path: Path, facts: dict[str, Any]) -> InspectedModel:
    family = family_named(str(facts["transformer"]["_class_name"]))
    measured = _measured(family, facts["transformer"])
    measured["video"].update(frames=facts["frames"], fps=facts["fps"])
    return InspectedModel(
        str(path), "base", family.name, style="diffusers", prefix="transformer.",
        **_counted(read_header(path), "transformer."), **measured,
        prediction=facts["prediction"], noise=facts["noise"],
    )  # fmt: skip


def _of_pipeline(folder: Path, hub: str = "") -> InspectedModel:
    """Of a folder; of a hub id, whose weights stay where they are, from configurations alone."""
    index = read_json(folder / "model_index.json")
    config = read_json(network_folder(folder) / "config.json")
    family = family_named(str(config.get("_class_name")))
    bridge = index.get("_class_name") == "FrameBridgePipeline"
    stock = [name for known in FAMILIES.values() for name in known.pipelines]
    if not bridge and index.get("_class_name") not in stock:
        raise CheckpointError(
            f"{folder}: a {index.get('_class_name')} is not supported; known: {', '.join(stock)}"
        )
    weights = find_weight_file(network_folder(folder))
    missing = ["transformer/*.safetensors"] if weights is None and not hub else []
    header = _imagined(family, config) if weights is None else read_header(weights)
    named: dict[str, Any] = {"family": family.name}
    if family.layouts:
        named = _named(detect(header.shapes))
    measured = _measured(family, config)
    if bridge:
        scheduler = read_json(folder / "scheduler/scheduler_config.json")
        told = {"prediction": scheduler["prediction"], "noise": scheduler.get("base") or {}}
        measured["video"].update(frames=index["frames"], fps=index["fps"])
        reading = (index.get("reading") or [0])[0]
    else:
        missing += missing_files(folder, family.required_files)
        told = _scheduled(family, folder, config)
        reading = _tokens(family)
    return InspectedModel(
        hub or str(folder), "bridge" if bridge else "pipeline", **named, **_counted(header, ""),
        **measured, **told, tokens=reading, missing=missing,
    )  # fmt: skip


def _imagined(family: Family, config: dict[str, Any]) -> Header:
    """Names and shapes that a configuration's network has."""
    network = family.empty_network(config)
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    return Header(shapes, dict.fromkeys(shapes, "not here"))


def _of_adapter(folder: Path) -> InspectedModel:
    card = read_json(folder / ADAPTER)
    header = read_header(folder / "pytorch_lora_weights.safetensors")
    return InspectedModel(
        str(folder), "adapter", **_counted(header, ""), base=str(card.get("base")),
        prediction=str(card.get("scheduler", {}).get("prediction", "")),
    )  # fmt: skip


def _named(found: Detected) -> dict[str, Any]:
    return {
        "family": found.family.name,
        "variant": "" if found.variant is None else found.variant.name,
        "style": found.layout.style,
        "prefix": found.prefix,
        "others": found.others,
        "differences": list(found.differences),
    }


def _counted(header: Header, beginnings: str | tuple[str, ...]) -> dict[str, Any]:
    own = [name for name in header.shapes if name.startswith(beginnings)]
    return {
        "tensors": len(own),
        "parameters": sum(prod(header.shapes[name]) for name in own),
        "dtypes": dict(Counter(header.dtypes[name] for name in own)),
    }


def _measured(family: Family, config: dict[str, Any] | None) -> dict[str, Any]:
    if config is None:
        return {"network": {}, "video": {}}
    network = family.empty_network(config)
    sides = {
        "latents": family.latents(network),
        "words": family.prompt_width(network),
        "patch": family.patch(network),
        "parts": family.extra_inputs(network),
    }
    if family.video is None:
        return {"network": sides, "video": {}}
    video = family.video(network.config)
    told = {"frames": video.frames, "fps": video.fps, "grid": list(video.grid)}
    return {"network": sides, "video": told}


def _scheduled(
    family: Family, folder: Path | None, config: dict[str, Any] | None
) -> dict[str, Any]:
    """What scheduler or network of a pipeline tell, or else what the family is known for."""
    path = None if folder is None else folder / _SCHEDULER
    if (
        family.noise_schedule is not None
        and _SCHEDULER not in family.required_files
        and config is not None
    ):
        noise, prediction = family.noise_schedule(config)
    elif path is None or not path.is_file() or family.noise_schedule is None:
        return {"prediction": family.prediction}
    else:
        noise, prediction = family.noise_schedule(read_json(path))
    return {"prediction": prediction, "noise": noise}


def _tokens(family: Family) -> int:
    names = (*family.pipelines, family.transformer)
    known = [PROMPT_SPECS[name].max_tokens for name in names if name in PROMPT_SPECS]
    return known[0] if known else 0
