"""A description of a model for `fbridge info`, from what `resolve` found; no weights are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

from fbridge.errors import CheckpointError, reason
from fbridge.files.configs import read_json
from fbridge.files.hub import parse_hub_name
from fbridge.files.tensors import Header, read_header
from fbridge.loaders.adapter_card import read_card
from fbridge.loaders.detect import Detected, detect
from fbridge.loaders.locate import ADAPTER_WEIGHTS, EMBEDDED, packaged_file
from fbridge.loaders.noise import SCHEDULER
from fbridge.loaders.official import takes_picture, unknown_bridge
from fbridge.loaders.resolve import ResolvedModel, resolve


@dataclass(frozen=True)
class InspectedModel:
    """Description of a model, from its configurations and headers.

    Attributes:
        path: of the file or folder.
        kind: see `fbridge.loaders.resolve.Kind`.
        family: of its network; "" of an adapter.
        variant: the published model that it is one of; "" where it is none.
        style: of the tensors' names: "diffusers" or "original".
        prefix: before the tensors' names.
        tensors, parameters: their numbers; 0 of what is not there.
        dtypes: number of tensors of each type.
        network: its sizes: channels of "latents", features of "words", side of a "patch" in latent
            pixels, and the "parts" besides the latents that its input has room for.
        prediction: "v", "flow", "noise" or "clean"; of a bridge its scheduler's.
        noise: that it was trained on, as `fbridge.scheduler.build_noise_schedule` takes it.
        video: "frames" (default, minimum, maximum, step), "fps", and "grid" in latent pixels.
        tokens: the most of a prompt that are read; 0 where that is not known.
        missing: files that it cannot be used without.
        components: folder of the parts that the weights lack; "" where that is not known.
        others: tensors that are not the network's, by the first part of their names.
        differences: what keeps it from being the nearest published model.
        base: of an adapter.
        refused: why it cannot be used; "" if it can.
        unknown_bridge: why it can only be trained from, and not generate; "" else.
        world: the only things that it, or the base it was trained from, knows; "" if it says none.
        remark: what it cannot do, though it can be used; "" if there is nothing to say.
        given: the folder or hub id of the parts, as it was named.
        expert: which network of a pair it is: "low", "high", "unknown"; "" of other models.
        asked_expert: the same, if it was named.
        pair: both networks of a pair are here.
        second: of a pair in two files, that of the network for little noise.
        distilled: what a student in few steps was taught; "" of any other model.
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
    unknown_bridge: str = ""
    world: str = ""
    remark: str = ""
    given: str = ""
    expert: str = ""
    asked_expert: str = ""
    pair: bool = False
    second: str = ""
    distilled: str = ""


def _taught(model: ResolvedModel) -> str:
    return taught_words(read_json(model.path / SCHEDULER)) if model.kind == "bridge" else ""


def taught_words(scheduler: Mapping[str, Any]) -> str:
    """What the scheduler of a student says it was taught; "" of any other."""
    taught = scheduler.get("distilled")
    if not isinstance(taught, Mapping):
        return ""
    steps, scale = taught.get("steps"), taught.get("guidance_scale")
    return f"from paths of {steps} steps at guidance {scale:g}"


def inspect_model(
    name: str, *, components: str | None = None, expert: str | None = None
) -> InspectedModel:
    """Describe a file of weights, a pipeline, a bridge or an adapter.

    Args:
        name: as `fbridge.loaders.resolve.resolve` takes it.
        components: likewise.
        expert: likewise.

    Raises:
        CheckpointError: there is none, it is broken, or of no known family; names the nearest.
    """
    model = resolve(name, components=components, expert=expert, configs_only=True)
    if model.kind == "scratch":
        raise CheckpointError(f"{name}: has no weights yet, which could be described")
    path = model.name if model.remote else str(model.path)
    if model.kind == "adapter":
        card = read_card(model.path)
        base = card.place().base
        here = Path(base).exists() or base == EMBEDDED or packaged_file(base) is not None
        away = not here and parse_hub_name(base) is None
        return InspectedModel(
            path, model.kind, **_of_adapter(model, card.second), base=base,
            prediction=str(card.scheduler.get("prediction", "")),
            distilled=taught_words(card.scheduler),
            world=card.pipeline.get("world") or "",
            missing=["its base, which --base names"] if away else [],
            remark="" if card.second is None else "is a bridge of both networks of a pair",
        )  # fmt: skip
    noise, prediction = model.noise_and_prediction(model.config)
    return InspectedModel(
        path, model.kind, **_names(model), **_sizes(model), prediction=prediction, noise=noise,
        distilled=_taught(model), tokens=model.tokens, missing=model.missing,
        components=str(model.components or ""), refused=model.refused,
        world=model.facts.get("world") or "", remark=model.remark, given=components or "",
        expert=model.expert, asked_expert=expert or "", pair=model.pair,
        second="" if model.second is None else str(model.second.path),
    )  # fmt: skip


def _names(model: ResolvedModel) -> dict[str, Any]:
    """Family and variant, how the tensors are named, and their numbers."""
    if model.kind == "base":
        prefix = "transformer."
        named = {"family": model.family.name, "style": "diffusers", "prefix": prefix}
        return {**named, **_counts(model, prefix)}
    found = model.detected
    if found is not None:
        return {**_named(found), **_counts(model, (found.prefix, *found.layout.beside))}
    if not model.family.layouts:
        return {"family": model.family.name, **_counts(model, "")}
    return {**_named(detect(model.header.shapes)), **_counts(model, "")}


def _named(found: Detected) -> dict[str, Any]:
    return {
        "family": found.family.name,
        "variant": "" if found.variant is None else found.variant.name,
        "style": found.layout.style,
        "prefix": found.prefix,
        "others": found.others,
        "differences": list(found.differences),
    }


def _of_adapter(model: ResolvedModel, second: str | None) -> dict[str, Any]:
    """The tensors of an adapter, those of the second network included."""
    counts = _counts(model, "")
    if second is None:
        return counts
    other = _counts(model, "", read_header(model.path / second / ADAPTER_WEIGHTS))
    dtypes = Counter(counts["dtypes"]) + Counter(other["dtypes"])
    return {
        **{key: counts[key] + other[key] for key in counts if key != "dtypes"},
        "dtypes": dtypes,
    }


def _counts(
    model: ResolvedModel, prefixes: str | tuple[str, ...], header: Header | None = None
) -> dict[str, Any]:
    header = header or model.header
    own = [name for name in header.shapes if name.startswith(prefixes)]
    return {
        "tensors": len(own),
        "parameters": sum(prod(header.shapes[name]) for name in own),
        "dtypes": dict(Counter(_dtype(header, name) for name in own)),
    }


def _dtype(header: Header, name: str) -> str:
    return header.dtypes[name] + (" with scales" if name in header.scales else "")


def _sizes(model: ResolvedModel) -> dict[str, Any]:
    """Of the network and of the videos that it was trained on."""
    if model.config is None:
        return {"network": {}, "video": {}}
    family, facts = model.family, model.facts
    unknown = ""
    try:
        network = family.empty_network(model.config)
        parts = family.extra_inputs(network)
        if model.kind in ("weights", "whole", "pipeline") and takes_picture(network.config, parts):
            unknown = unknown_bridge(family, network.config, parts)
        sizes = {
            "latents": family.latents(network),
            "words": family.prompt_width(network),
            "patch": family.patch(network),
            "parts": parts,
        }
    except (CheckpointError, ArithmeticError, TypeError, ValueError) as error:
        raise CheckpointError(f"{model.path}: {reason(error)}") from error
    video: dict[str, Any] = {}
    if family.video is not None:
        usual = family.video({**network.config, **model.config})
        video = {"frames": usual.frames, "fps": usual.fps, "grid": list(usual.grid)}
    if model.kind in ("base", "bridge"):
        video |= {"frames": facts["frames"], "fps": facts["fps"]}
    return {"network": sizes, "video": video, "unknown_bridge": unknown}
