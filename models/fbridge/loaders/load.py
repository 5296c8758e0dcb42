"""Loading pretrained models, for fine-tuning and for training-free bridges."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from fbridge.backbones.families import family_named
from fbridge.codecs.vae import VAECodec
from fbridge.conditioning.image import load_image_encoder
from fbridge.data.sources.ucf101 import CLASSES
from fbridge.errors import CheckpointError, ConfigError, FBridgeError, reason
from fbridge.files.base_file import save_single_file as save_single_file
from fbridge.files.configs import has_component, read_json
from fbridge.files.hashing import hash_model
from fbridge.files.modules import Kept, build, load_folder
from fbridge.files.tensors import open_weights
from fbridge.files.weight_files import hash_weight_file, network_folder
from fbridge.loaders.codec import load_codec, vae_class
from fbridge.loaders.components import network_config
from fbridge.loaders.experts import BRIDGE_OF_BOTH, SECOND, find_boundary
from fbridge.loaders.lora_choice import LoraChoice
from fbridge.loaders.network import Built, build_network, network_of_folder
from fbridge.loaders.noise import SCHEDULER
from fbridge.loaders.pair_loras import check_loras, loras_of_pair
from fbridge.loaders.pretrained import PretrainedModel as PretrainedModel
from fbridge.loaders.resolve import SCRATCH, ResolvedModel, resolve
from fbridge.loaders.text_encoder import MINILM, cached_text_encoder
from fbridge.scheduler import FrameBridgeScheduler, build_noise_schedule


def load_pretrained(
    name: str | ResolvedModel,
    *,
    components: str | None = None,
    expert: str | None = None,
    download: bool = False,
    dtype: torch.dtype = torch.float32,
    loras: Sequence[LoraChoice] = (),
    kept: Kept | None = None,
    **hub: Any,
) -> PretrainedModel:
    """Load a pretrained model.

    Args:
        name: as `fbridge.loaders.resolve.resolve` takes it, or its answer.
        components: likewise.
        expert: likewise.
        download: fetch what a network's weights lack from the hub where it is not here.
        dtype: of the networks.
        loras: to be merged into the network, before it takes that dtype.
        kept: how the network's weights are kept; None: in that dtype.
        hub: options of `resolve` for a hub id.

    Raises:
        CheckpointError: there is none, it is broken or incomplete, or of no known family; or a LoRA
            does not fit.
        ConfigError: a LoRA is given for a network that is no text-to-video model's, or it does not
            tell for which of two.
    """
    kept = kept or Kept(dtype)
    if isinstance(name, str):
        model = resolve(name, components=components, expert=expert, **hub)
    else:
        model = name
    if model.refused:
        raise CheckpointError(f"{model.path}: {model.refused}")
    if loras:  # else the family need not be known
        check_loras(loras, model.family, model.name, expert=model.expert, pair=model.pair)
    match model.kind:
        case "scratch":
            preset = model.name.removeprefix(SCRATCH)
            return PretrainedModel(
                model.name, "", model.family, preset=preset, prediction=model.family.prediction
            )
        case "adapter":
            raise CheckpointError(
                f"{model.path}: is an adapter, not a whole model; make it one with fbridge export "
                "and take that as base"
            )
        case "base":
            loaded = _single_file(model, dtype, kept, loras, download=download)
        case "weights" | "whole":
            loaded = _weights(model, dtype, kept, loras, download=download)
        case _:
            loaded = _pipeline(model, dtype, kept, loras)
    if model.path.is_file():
        loaded = replace(loaded, hash=_hash_of_files(model))
    return replace(loaded, name=model.name, dtype=dtype)


def _single_file(
    model: ResolvedModel,
    dtype: torch.dtype,
    kept: Kept,
    loras: Sequence[LoraChoice],
    *,
    download: bool,
) -> PretrainedModel:
    facts, path = model.facts, model.path
    text_encoder = facts["text_encoder"] if download else _here(facts["text_encoder"], path)
    noise, prediction = model.noise_and_prediction(None)
    assert model.config is not None, "its header has it"
    try:
        build_noise_schedule(noise)
    except (FBridgeError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path}: 'noise' of its header is no noise schedule: {reason(error)}; get it again"
        ) from error
    held = open_weights(path)
    kind, own = model.family.load_class(), held.within("transformer.")
    transformer, merged = build_network(kind, model.config, own, path, kept, loras)
    vae = build(vae_class(facts["vae"]), facts["vae"], held.within("vae."), path, dtype)
    return PretrainedModel(
        "",
        "",
        model.family,
        transformer,
        noise_schedule=noise,
        prediction=prediction,
        codec=VAECodec(vae),
        vae=vae.requires_grad_(False),
        codec_path=path,
        text_encoder=text_encoder,
        frames=facts["frames"],
        fps=facts["fps"],
        sizes=facts["sizes"],
        world=facts.get("world", ""),
        loras=merged,
    )


def _here(text_encoder: str, path: Path) -> str:
    """A text encoder that a file names, as far as it is on this machine."""
    try:
        return cached_text_encoder(text_encoder)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: names its text encoder: {error}") from error


def _weights(
    model: ResolvedModel,
    dtype: torch.dtype,
    kept: Kept,
    loras: Sequence[LoraChoice],
    *,
    download: bool,
) -> PretrainedModel:
    folder = model.find_components(download=download)
    if model.components is None and (why := replace(model, components=folder).refused):
        raise CheckpointError(f"{model.path}: {why}")
    if model.second is None:
        transformer, merged = _network(model, folder, kept, loras)
        loaded = _with_components(replace(model, components=folder), transformer, dtype)
        return replace(loaded, loras=merged)
    chosen = loras_of_pair(loras)
    transformer, merged = _network(model, folder, kept, chosen["high"])
    second, merged_2 = _network(model.second, folder, kept, chosen["low"])
    loaded = _with_components(replace(model, components=folder), transformer, dtype)
    return replace(_with_second(model, loaded, second), loras=(*merged, *merged_2))


def _with_second(model: ResolvedModel, loaded: PretrainedModel, second: Any) -> PretrainedModel:
    """A pair: with the network for little noise, and the network time at which the two change."""
    assert loaded.noise_schedule is not None, "its folder has it"
    boundary = find_boundary(model) * float(loaded.noise_schedule["time_scale"])
    return replace(loaded, transformer_2=second, boundary=boundary)


def _network(model: ResolvedModel, folder: Path, kept: Kept, loras: Sequence[LoraChoice]) -> Built:
    """The network of a file, which may get its configuration from a folder of other parts."""
    found, path = model.detected, model.path
    assert found is not None, "weights have been detected"
    weights = open_weights(path)
    read = found.family.single_file_config
    try:
        held = {} if read is None else read(weights)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    config = {**(found.config or {}), **held, **(network_config(path, folder) or {})}
    if why := found.family.refused(config):
        raise CheckpointError(f"{path}: {why}")
    kind, own = found.family.load_class(), found.take(weights)
    return build_network(kind, config, own, path, kept, loras)


def _hash_of_files(model: ResolvedModel) -> str:
    own = hash_weight_file(model.path)
    return own if model.second is None else _hash_of([own, hash_weight_file(model.second.path)])


def _hash_of(parts: Iterable[str]) -> str:
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def _pipeline(
    model: ResolvedModel, dtype: torch.dtype, kept: Kept, loras: Sequence[LoraChoice]
) -> PretrainedModel:
    folder, index = model.path, model.facts
    network = network_folder(folder)
    if model.pair and model.kind == "bridge":
        raise ConfigError(f"base {folder}: {BRIDGE_OF_BOTH}")
    chosen = loras_of_pair(loras) if model.pair else {"high": loras}
    kind = model.family.load_class()
    transformer, merged = network_of_folder(kind, network, kept, chosen["high"])
    if model.kind == "pipeline":
        loaded = _with_components(model, transformer, dtype)
        held = [network.name, "vae", "scheduler"]
        if model.pair:
            second, merged_2 = network_of_folder(kind, folder / SECOND, kept, chosen["low"])
            loaded, merged = _with_second(model, loaded, second), (*merged, *merged_2)
            held.insert(1, SECOND)
        hash_ = _hash_of(hash_model(folder / part) for part in held)
        return replace(loaded, hash=hash_, loras=merged)
    scheduler = FrameBridgeScheduler.from_pretrained(folder / "scheduler")
    return PretrainedModel(
        "",
        hash_model(folder),
        model.family,
        transformer,
        noise_schedule=scheduler.config.base,
        prediction=scheduler.config.prediction,
        **_codec(folder, dtype),
        text_encoder=_text_encoder(model) if has_component(index, "text_encoder") else MINILM,
        frames=index["frames"],
        fps=index["fps"],
        sizes=index.get("sizes"),
        world=index.get("world") or "",
        scheduler=scheduler,
        prior=_prior(folder / "prior", dtype) if has_component(index, "prior") else None,
        classes=index.get("classes"),
        start_from=index.get("start_from"),
        image_encoder=_image_encoder(folder, transformer, dtype),
        loras=merged,
    )


def _with_components(model: ResolvedModel, transformer: Any, dtype: torch.dtype) -> PretrainedModel:
    """A network with the other parts of its pipeline's folder, as diffusers lays them out."""
    family, folder = model.family, model.components or model.path
    if family.noise_schedule is None or family.video is None:
        raise CheckpointError(
            f"{folder}: a {family.transformer} is part of a FrameBridge model; name that model's "
            "folder as base"
        )
    try:
        noise, prediction = model.noise_and_prediction(transformer.config)
    except CheckpointError as error:
        raise CheckpointError(f"{folder}: {error}") from error
    if not noise:
        raise CheckpointError(f"{folder}: lacks {SCHEDULER}; fetch the folder again")
    video = family.video({**transformer.config, **(model.config or {})})
    parts = _codec(folder, dtype)
    return PretrainedModel(
        "",
        "",
        family,
        transformer,
        noise_schedule=noise,
        prediction=prediction,
        **parts,
        text_encoder=_text_encoder(model) if family.prompt_width(transformer) > 0 else MINILM,
        frames=video.frames,
        fps=video.fps,
        sizes=[[side * parts["codec"].spatial for side in video.grid]],
        classes=_classes(transformer),
        image_encoder=_image_encoder(folder, transformer, dtype),
    )


def _text_encoder(model: ResolvedModel) -> str:
    """The name of a model's own text encoder: the folder, or the hub id that it is from."""
    return model.name if model.remote else str(model.components or model.path)


def _codec(folder: Path, dtype: torch.dtype) -> dict[str, Any]:
    loaded = load_codec(str(folder), device="cpu", dtype=dtype)
    codec = loaded.codec
    return {"codec": codec, "vae": getattr(codec, "vae", None), "codec_path": loaded.folder}


def _prior(folder: Path, dtype: torch.dtype) -> Any:
    family = family_named(str(read_json(folder / "config.json").get("_class_name")))
    return load_folder(family.load_class(), folder, dtype).requires_grad_(False)


def _image_encoder(folder: Path, transformer: Any, dtype: torch.dtype) -> Any:
    """Of a network that takes image embeddings; None of others."""
    image = transformer.config.get("image")
    if not image:
        return None
    return load_image_encoder(folder / "image_encoder", features=image["features"], dtype=dtype)


def _classes(transformer: Any) -> list[str] | None:
    """Of a class-conditional network: UCF-101's where there are as many, else numbers."""
    count = transformer.config.get("num_classes")
    if count is None:
        return None
    return list(CLASSES) if count == len(CLASSES) else [str(number) for number in range(count)]
