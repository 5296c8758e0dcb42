"""Bases: the pretrained models that fine-tuning begins with, whatever they are stored as.

A base is named by a single file (`t2v.safetensors`, see `save_single_file`), a pipeline's folder or
hub id (FrameBridge's own, or diffusers' text-to-video ones), the weights of a transformer alone
with a folder for the rest, or "scratch:<preset>" for a fresh network.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from fbridge.backbones.families import FAMILIES, family_named
from fbridge.backbones.family import Family
from fbridge.backbones.scratch import find_preset
from fbridge.codecs.vae import VAECodec
from fbridge.conditioning.image import load_image_encoder
from fbridge.data.sources.ucf101 import CLASSES
from fbridge.errors import CheckpointError
from fbridge.files.modules import (
    SingleFile,
    build,
    load_folder,
    read_json,
    read_single_file,
)
from fbridge.files.modules import save_single_file as save_single_file
from fbridge.files.tensors import (
    find_weight_file,
    hash_weight_file,
    is_weight_file,
    network_folder,
    read_header,
    read_weights,
)
from fbridge.loaders.codec import load_codec, vae_class
from fbridge.loaders.components import find_components, network_config, required_files
from fbridge.loaders.detect import Detected, detect
from fbridge.loaders.locate import ADAPTER, hash_model, locate_model, packaged_file
from fbridge.loaders.pretrained import PretrainedModel as PretrainedModel
from fbridge.loaders.single_file import holds_other_parts
from fbridge.loaders.text_encoder import MINILM
from fbridge.scheduler import FrameBridgeScheduler

SCRATCH = "scratch:"
"""What the name of a base without weights begins with."""


def is_stock(folder: Path) -> bool:
    """Whether a folder is one of diffusers' text-to-video pipelines, not a bridge's."""
    index = folder / "model_index.json"
    known = [name for family in FAMILIES.values() for name in family.pipelines]
    return index.is_file() and read_json(index).get("_class_name") in known


def load_pretrained(
    name: str,
    *,
    components: str | None = None,
    download: bool = False,
    dtype: torch.dtype = torch.float32,
) -> PretrainedModel:
    """Find and read a base.

    Args:
        name: see the module.
        components: folder or hub id with `vae/`, `scheduler/`, `text_encoder/`, `tokenizer/`, for
            the weights of a transformer alone; None: see `find_components`.
        download: fetch them from the hub where they are not here.
        dtype: of the networks.

    Raises:
        CheckpointError: there is none, it is broken or incomplete, or of no known family.
    """
    if name.startswith(SCRATCH):
        preset = name[len(SCRATCH) :]
        find_preset(preset)
        family = FAMILIES["SpaceTimeTransformer"]
        return PretrainedModel(name, "", family, preset=preset, prediction=family.prediction)
    path = Path(name)
    if not path.exists():
        path = packaged_file(name) or path
    path = find_weight_file(path) or path
    if path.is_file():
        held = read_single_file(path)
        base = (
            _of_weights(path, components, download=download, dtype=dtype)
            if held is None
            else _of_file(path, held, dtype)
        )
        return replace(base, name=name, hash=hash_weight_file(path), dtype=dtype)
    if is_weight_file(path):
        raise CheckpointError(f"base {name!r}: there is no such file; check the path")
    folder = locate_model(name, {})
    base = _of_folder(folder, dtype)
    own_words = base.text_encoder == str(folder)
    words = name if own_words and not path.is_dir() else base.text_encoder  # a hub id stays one
    return replace(
        base, name=name, hash=base.hash or hash_model(folder), text_encoder=words, dtype=dtype
    )


def _of_file(path: Path, held: SingleFile, dtype: torch.dtype) -> PretrainedModel:
    facts = held.facts
    try:
        family = family_named(facts["transformer"]["_class_name"])
        transformer = build(
            family.load_class(), facts["transformer"], held.part("transformer."), path, dtype
        )
        vae = build(vae_class(facts["vae"]), facts["vae"], held.part("vae."), path, dtype)
        return PretrainedModel(
            "",
            "",
            family,
            transformer,
            noise_schedule=facts["noise"],
            prediction=facts["prediction"],
            codec=VAECodec(vae),
            vae=vae,
            text_encoder=facts["text_encoder"],
            frames=facts["frames"],
            fps=facts["fps"],
            sizes=facts["sizes"],
        )
    except KeyError as error:
        raise CheckpointError(
            f"{path}: its header lacks {error}; the file is incomplete, get it again"
        ) from error


def _of_weights(
    path: Path, components: str | None, *, download: bool, dtype: torch.dtype
) -> PretrainedModel:
    shapes = read_header(path).shapes
    try:
        found = detect(shapes)
    except CheckpointError as error:
        raise CheckpointError(
            f"{path}: {error}" if str(path) not in str(error) else str(error)
        ) from error
    whole = holds_other_parts(shapes)
    if whole and network_config(path, None) is None and found.config is None:
        raise _unknown(path, found)  # before anything is unpacked
    folder = find_components(
        path,
        given=components,
        variant=found.variant,
        needed=required_files(found),
        download=download,
        whole=whole,
    )
    own, weights = network_config(path, folder), read_weights(path)
    if own is None and found.config is None:
        raise _unknown(path, found, folder)
    try:
        told = (
            {}
            if found.family.single_file_config is None
            else found.family.single_file_config(weights)
        )
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    config = {**(found.config or {}), **told, **(own or {})}
    if why := found.family.refused(config):
        raise CheckpointError(f"{path}: {why}")
    transformer = build(found.family.load_class(), config, found.take(weights), path, dtype)
    return _diffusers(folder, found.family, transformer, dtype)


def _unknown(path: Path, found: Detected, folder: Path | None = None) -> CheckpointError:
    where = "" if folder is None else f" or in {folder}"
    return CheckpointError(
        f"{path}: is of the {found.family.name} family but no published model of it "
        f"({'; '.join(found.differences)}); its transformer/config.json is needed, beside it{where}"
    )


def _of_folder(folder: Path, dtype: torch.dtype) -> PretrainedModel:
    if (folder / ADAPTER).is_file():
        raise CheckpointError(
            f"{folder}: is an adapter, not a whole model; make it one with fbridge export and take "
            "that as base"
        )
    index = read_json(folder / "model_index.json")
    kind = index.get("_class_name")
    known = ["FrameBridgePipeline", *(name for f in FAMILIES.values() for name in f.pipelines)]
    if kind not in known:
        raise CheckpointError(
            f"{folder}: a {kind} is not supported as base; known: {', '.join(known)}"
        )
    if (index.get("transformer_2") or [None])[0] is not None:
        raise CheckpointError(
            f"{folder}: has two networks, one for much noise and one for little (Wan 2.2 A14B), "
            "which is not supported as base; take a model of one"
        )
    family = family_named(str(read_json(network_folder(folder) / "config.json").get("_class_name")))
    transformer = load_folder(family.load_class(), network_folder(folder), dtype)
    if kind != "FrameBridgePipeline":
        told = "".join(
            hash_model(folder / part) for part in (network_folder(folder).name, "vae", "scheduler")
        )
        return replace(
            _diffusers(folder, family, transformer, dtype),
            hash=hashlib.sha256(told.encode()).hexdigest(),
        )
    codec, vae = _codec(folder, dtype)
    has_words = (index.get("text_encoder") or [None])[0] is not None
    has_prior = (index.get("prior") or [None])[0] is not None
    scheduler = FrameBridgeScheduler.from_pretrained(folder / "scheduler")
    return PretrainedModel(
        "",
        "",
        family,
        transformer,
        noise_schedule=scheduler.config.base,
        prediction=scheduler.config.prediction,
        codec=codec,
        vae=vae,
        text_encoder=str(folder) if has_words else MINILM,
        frames=index["frames"],
        fps=index["fps"],
        sizes=index.get("sizes"),
        scheduler=scheduler,
        prior=_prior(folder / "prior", dtype) if has_prior else None,
        classes=index.get("classes"),
        start_from=index.get("start_from"),
        image_encoder=_image_encoder(folder, transformer, dtype),
    )


def _diffusers(
    folder: Path, family: Family, transformer: Any, dtype: torch.dtype
) -> PretrainedModel:
    """A base whose parts but the transformer lie in a folder as diffusers' pipelines have them."""
    if family.noise_schedule is None or family.video is None:
        raise CheckpointError(
            f"{folder}: a {family.transformer} is part of a FrameBridge model; name that model's "
            "folder as base"
        )
    place = "scheduler/scheduler_config.json"
    has_words = family.prompt_width(transformer) > 0
    told = read_json(folder / place) if place in family.required_files else transformer.config
    try:
        noise, prediction = family.noise_schedule(told)
    except CheckpointError as error:
        raise CheckpointError(f"{folder}: {error}") from error
    video = family.video(transformer.config)
    codec, vae = _codec(folder, dtype)
    width, height = (side * codec.spatial for side in video.grid)
    return PretrainedModel(
        "",
        "",
        family,
        transformer,
        noise_schedule=noise,
        prediction=prediction,
        codec=codec,
        vae=vae,
        text_encoder=str(folder) if has_words else MINILM,
        frames=video.frames,
        fps=video.fps,
        sizes=[[width, height]],
        classes=_classes(transformer),
        image_encoder=_image_encoder(folder, transformer, dtype),
    )


def _codec(folder: Path, dtype: torch.dtype) -> tuple[Any, Any]:
    codec = load_codec(str(folder), device="cpu", dtype=dtype).codec
    return codec, getattr(codec, "vae", None)


def _prior(folder: Path, dtype: torch.dtype) -> Any:
    family = family_named(str(read_json(folder / "config.json").get("_class_name")))
    return load_folder(family.load_class(), folder, dtype).requires_grad_(False)


def _image_encoder(folder: Path, transformer: Any, dtype: torch.dtype) -> Any:
    """Of a network that is told what it sees."""
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
