"""What a model is, told from configurations and headers alone; no weights are read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from accelerate import init_empty_weights

from fbridge.backbones.detect import Detected, detect
from fbridge.backbones.families import FAMILIES, family_named
from fbridge.backbones.family import Family
from fbridge.components import find_components, lacking
from fbridge.errors import CheckpointError
from fbridge.model_files import read_base_facts, read_json
from fbridge.pretrained import ADAPTER, locate_model, packaged_file
from fbridge.reading import READINGS
from fbridge.weight_files import Header, is_weights, network_folder, read_header, weights_in

_USUAL_TOKENS = 77
"""Of a prompt, where nothing tells."""


@dataclass(frozen=True)
class Identified:
    """What a model is.

    Attributes:
        path: of the file or folder.
        kind: "weights" of a network alone, "base" in one file, "pipeline" of a text-to-video model,
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
        noise: that it was trained on, as `fbridge.scheduler.build_base` takes it.
        video: "frames" (default, minimum, maximum, step), "fps", and "size" in latent pixels.
        tokens: of a prompt that are read; 0 where that is not known.
        missing: files that it cannot be used without.
        components: where the parts are that the weights lack; "" where that is not known.
        others: tensors that are not the network's, by the first part of their names.
        differences: what keeps it from being the nearest published model.
        base: of an adapter.
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


def identify(name: str, *, components: str | None = None) -> Identified:
    """What a file of weights, a pipeline, a bridge or an adapter is.

    Args:
        name: as `fbridge.bases.load_base` and `fbridge.pipeline.FrameBridgePipeline` take it.
        components: as `fbridge.bases.load_base` takes it.

    Raises:
        CheckpointError: there is none, it is broken, or of no known family; names the nearest.
    """
    path = Path(name)
    if not path.exists():
        path = packaged_file(name) or path
    path = weights_in(path) or path
    if path.is_file():
        facts = read_base_facts(path)
        return _of_weights(path, components) if facts is None else _of_base(path, facts)
    if is_weights(path):
        raise CheckpointError(f"{name!r}: there is no such file; check the path")
    folder = locate_model(name, {})
    return _of_adapter(folder) if (folder / ADAPTER).is_file() else _of_pipeline(folder)


class Anatomy(NamedTuple):
    """The parts of a model as their configurations tell them.

    Attributes:
        family: of its network.
        network: configuration of that.
        vae: configuration of its autoencoder of diffusers; None where it has another codec.
        vae_numbers, words_numbers: how many weights autoencoder and text encoder have.
        tokens: of a prompt.
    """

    family: Family
    network: dict[str, Any]
    vae: dict[str, Any] | None
    vae_numbers: int
    words_numbers: int
    tokens: int


def anatomy(name: str, *, components: str | None = None) -> Anatomy:
    """The parts of a model that `identify` knows, of which no weights are read.

    Raises:
        CheckpointError: as `identify`; or a part is missing.
    """
    found = identify(name, components=components)
    path = Path(found.path)
    if found.kind == "base":
        facts, header = read_base_facts(path), read_header(path)
        assert facts is not None
        vae_numbers = sum(prod(s) for key, s in header.shapes.items() if key.startswith("vae."))
        family = family_named(str(facts["transformer"]["_class_name"]))
        return Anatomy(family, facts["transformer"], facts["vae"], vae_numbers, 0, _USUAL_TOKENS)
    if found.missing or found.kind == "adapter":
        lack = ", ".join(found.missing) or f"all but its updates of {found.base}"
        raise CheckpointError(f"{found.path}: lacks {lack}; see fbridge info")
    folder = Path(found.components or found.path)
    own = path.parent / "config.json" if path.is_file() else network_folder(path) / "config.json"
    network = detect(read_header(path).shapes).config if path.is_file() else None
    if network is None:
        place = own if own.is_file() else network_folder(folder) / "config.json"
        network = read_json(place)
    has_vae = (folder / "vae/config.json").is_file()
    return Anatomy(
        family_named(str(network["_class_name"])),
        network,
        read_json(folder / "vae/config.json") if has_vae else None,
        _numbers(folder / "vae"),
        _numbers(folder / "text_encoder") + _numbers(folder / "text_encoder_2"),
        found.tokens or _USUAL_TOKENS,
    )


def _numbers(folder: Path) -> int:
    weights = weights_in(folder)
    return 0 if weights is None else sum(map(prod, read_header(weights).shapes.values()))


def _of_weights(path: Path, components: str | None) -> Identified:
    header = read_header(path)
    try:
        found = detect(header.shapes)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    try:
        place: Path | None = find_components(
            path, given=components, variant=found.variant, needed=found.family.needs
        )
    except CheckpointError:
        place = None
    config = found.config
    beside = path.parent / "config.json"
    if config is None and beside.is_file():
        config = read_json(beside)
    elif config is None and place is not None and (network_folder(place) / "config.json").is_file():
        config = read_json(network_folder(place) / "config.json")
    missing = list(found.family.needs) if place is None else []
    if config is None:
        missing = ["transformer/config.json", *missing]
    told = _scheduled(found.family, place)
    reading = _tokens(found.family)
    return Identified(
        str(path), "weights", **_named(found), **_counted(header, found.prefix),
        **_measured(found.family, config), **told, tokens=reading, missing=missing,
        components="" if place is None else str(place),
    )  # fmt: skip


def _of_base(path: Path, facts: dict[str, Any]) -> Identified:
    family = family_named(str(facts["transformer"]["_class_name"]))
    measured = _measured(family, facts["transformer"])
    measured["video"].update(frames=facts["frames"], fps=facts["fps"])
    return Identified(
        str(path), "base", family.name, style="diffusers", prefix="transformer.",
        **_counted(read_header(path), "transformer."), **measured,
        prediction=facts["prediction"], noise=facts["noise"],
    )  # fmt: skip


def _of_pipeline(folder: Path) -> Identified:
    index = read_json(folder / "model_index.json")
    config = read_json(network_folder(folder) / "config.json")
    family = family_named(str(config.get("_class_name")))
    bridge = index.get("_class_name") == "FrameBridgePipeline"
    stock = [name for known in FAMILIES.values() for name in known.pipelines]
    if not bridge and index.get("_class_name") not in stock:
        raise CheckpointError(
            f"{folder}: a {index.get('_class_name')} is not supported; known: {', '.join(stock)}"
        )
    weights = weights_in(network_folder(folder))
    missing = ["transformer/*.safetensors"] if weights is None else []
    header = Header({}, {}) if weights is None else read_header(weights)
    named: dict[str, Any] = {"family": family.name}
    if weights is not None and family.layouts:
        named = _named(detect(header.shapes))
    measured = _measured(family, config)
    if bridge:
        scheduler = read_json(folder / "scheduler/scheduler_config.json")
        told = {"prediction": scheduler["prediction"], "noise": scheduler.get("base") or {}}
        measured["video"].update(frames=index["frames"], fps=index["fps"])
        reading = (index.get("reading") or [0])[0]
    else:
        missing += lacking(folder, family.needs)
        told = _scheduled(family, folder)
        reading = _tokens(family)
    return Identified(
        str(folder), "bridge" if bridge else "pipeline", **named, **_counted(header, ""),
        **measured, **told, tokens=reading, missing=missing,
    )  # fmt: skip


def _of_adapter(folder: Path) -> Identified:
    card = read_json(folder / ADAPTER)
    header = read_header(folder / "pytorch_lora_weights.safetensors")
    return Identified(
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


def _counted(header: Header, prefix: str) -> dict[str, Any]:
    own = [name for name in header.shapes if name.startswith(prefix)]
    return {
        "tensors": len(own),
        "parameters": sum(prod(header.shapes[name]) for name in own),
        "dtypes": dict(Counter(header.dtypes[name] for name in own)),
    }


def _measured(family: Family, config: dict[str, Any] | None) -> dict[str, Any]:
    if config is None:
        return {"network": {}, "video": {}}
    with init_empty_weights():
        network = family.load_class().from_config({k: v for k, v in config.items() if k[0] != "_"})
    sides = {
        "latents": family.latents(network),
        "words": family.words(network),
        "patch": family.patch(network),
        "parts": family.parts(network),
    }
    if family.video is None:
        return {"network": sides, "video": {}}
    video = family.video(network.config)
    told = {"frames": video.frames, "fps": video.fps, "grid": list(video.grid)}
    return {"network": sides, "video": told}


def _scheduled(family: Family, folder: Path | None) -> dict[str, Any]:
    """What the scheduler of a pipeline tells, or else what the family is known for."""
    path = None if folder is None else folder / "scheduler/scheduler_config.json"
    if path is None or not path.is_file() or family.noise is None:
        return {"prediction": family.prediction}
    noise, prediction = family.noise(read_json(path))
    return {"prediction": prediction, "noise": noise}


def _tokens(family: Family) -> int:
    known = [READINGS[name].tokens for name in family.pipelines if name in READINGS]
    return known[0] if known else 0
