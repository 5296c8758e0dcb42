"""Bases: the pretrained models that fine-tuning begins with, whatever they are stored as.

A base is named by a single file (`t2v.safetensors`, see `save_base_file`), a pipeline's folder or
hub id (FrameBridge's own, or diffusers' text-to-video ones), the weights of a transformer alone
with a folder for the rest, or "scratch:<preset>" for a fresh network.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from fbridge.backbones.detect import detect
from fbridge.backbones.families import FAMILIES, family_named
from fbridge.backbones.family import Family
from fbridge.backbones.scratch import find_preset
from fbridge.codecs import Codec
from fbridge.codecs.load import load_codec, vae_class
from fbridge.codecs.vae import VAECodec
from fbridge.components import find_components
from fbridge.errors import CheckpointError
from fbridge.model_files import (
    BaseFile,
    build,
    load_folder,
    read_base_file,
    read_json,
)
from fbridge.model_files import save_base_file as save_base_file
from fbridge.pretrained import ADAPTER, hash_model, locate_model, packaged_file
from fbridge.scheduler import FrameBridgeScheduler
from fbridge.text import MINILM, load_text_encoder
from fbridge.weight_files import hash_weights, is_weights, read_header, read_weights, weights_in

SCRATCH = "scratch:"
"""What the name of a base without weights begins with."""


@dataclass(frozen=True)
class Base:
    """A pretrained model, taken apart.

    Attributes:
        name: as it was asked for.
        hash: sha256 of its file or files; "" of a network from scratch.
        family: of its network.
        transformer: the network; None from scratch, where the data decide its shapes.
        preset: of a network from scratch.
        noise: the argument of `fbridge.scheduler.build_base`; None of a base that knows no noise.
        prediction: what it answers: "v", "flow", "noise", "clean"; of a bridge its scheduler's.
        codec: of its latents; None where the data tell it.
        vae: diffusers' autoencoder behind the codec, where it is one.
        text_encoder: name of what reads its words.
        frames: default, minimum, maximum and step of their number.
        fps: frames per second.
        sizes: (width, height) it was trained at; None where any will do.
        scheduler: of a base that is a bridge already.
        prior: network of such a one.
        classes: names of a class-conditional one's.
        start_from: of a bridge, see `FrameBridgePipeline`.
        dtype: of the networks.
    """

    name: str
    hash: str
    family: Family
    transformer: Any = None
    preset: str | None = None
    noise: dict[str, Any] | None = None
    prediction: str | None = None
    codec: Codec | None = None
    vae: Any = None
    text_encoder: str = MINILM
    frames: list[int] = field(default_factory=lambda: [16, 2, 64, 1])
    fps: float = 8.0
    sizes: list[list[int]] | None = None
    scheduler: FrameBridgeScheduler | None = None
    prior: Any = None
    classes: list[str] | None = None
    start_from: dict[str, Any] | None = None
    dtype: torch.dtype = torch.float32

    def parts(self) -> dict[str, Any]:
        """Arguments of `FrameBridgePipeline` that are the base's own, but its network."""
        held: dict[str, Any] = {"vae": self.vae} if self.vae is not None else {"codec": self.codec}
        if self.text_encoder != MINILM:
            encoder = load_text_encoder(self.text_encoder, dtype=self.dtype)
            held.update(text_encoder=encoder.model, tokenizer=encoder.tokenizer)
            held["reading"] = list(encoder.reading)
        facts = {"frames": self.frames, "fps": self.fps, "sizes": self.sizes}
        return {**held, **facts, "classes": self.classes}


def names_weights(name: str) -> bool:
    """Whether a name is that of a file of weights, or of a network's own folder."""
    path = Path(name)
    return is_weights(path) or (path.is_dir() and weights_in(path) is not None)


def is_stock(folder: Path) -> bool:
    """Whether a folder is one of diffusers' text-to-video pipelines, not a bridge's."""
    index = folder / "model_index.json"
    known = [name for family in FAMILIES.values() for name in family.pipelines]
    return index.is_file() and read_json(index).get("_class_name") in known


def load_base(
    name: str,
    *,
    components: str | None = None,
    download: bool = False,
    dtype: torch.dtype = torch.float32,
) -> Base:
    """Find and read a base.

    Args:
        name: see the module.
        components: folder or hub id with `vae/`, `scheduler/`, `text_encoder/`, `tokenizer/`, for
            the weights of a transformer alone; None: see `fbridge.components.find_components`.
        download: fetch them from the hub where they are not here.
        dtype: of the networks.

    Raises:
        CheckpointError: there is none, it is broken or incomplete, or of no known family.
    """
    if name.startswith(SCRATCH):
        preset = name[len(SCRATCH) :]
        find_preset(preset)
        family = FAMILIES["SpaceTimeTransformer"]
        return Base(name, "", family, preset=preset, prediction=family.prediction)
    path = Path(name)
    if not path.exists():
        path = packaged_file(name) or path
    path = weights_in(path) or path
    if path.is_file():
        held = read_base_file(path)
        base = (
            _of_weights(path, components, download=download, dtype=dtype)
            if held is None
            else _of_file(path, held, dtype)
        )
        return replace(base, name=name, hash=hash_weights(path), dtype=dtype)
    if is_weights(path):
        raise CheckpointError(f"base {name!r}: there is no such file; check the path")
    folder = locate_model(name, {})
    base = _of_folder(folder, dtype)
    own_words = base.text_encoder == str(folder)
    words = name if own_words and not path.is_dir() else base.text_encoder  # a hub id stays one
    return replace(
        base, name=name, hash=base.hash or hash_model(folder), text_encoder=words, dtype=dtype
    )


def _of_file(path: Path, held: BaseFile, dtype: torch.dtype) -> Base:
    facts = held.facts
    try:
        family = family_named(facts["transformer"]["_class_name"])
        transformer = build(
            family.load_class(), facts["transformer"], held.part("transformer."), path, dtype
        )
        vae = build(vae_class(facts["vae"]), facts["vae"], held.part("vae."), path, dtype)
        return Base(
            "",
            "",
            family,
            transformer,
            noise=facts["noise"],
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


def _of_weights(path: Path, components: str | None, *, download: bool, dtype: torch.dtype) -> Base:
    try:
        found = detect(read_header(path).shapes)
    except CheckpointError as error:
        raise CheckpointError(
            f"{path}: {error}" if str(path) not in str(error) else str(error)
        ) from error
    folder = find_components(path, given=components, variant=found.variant, download=download)
    config = _own_config(path, folder) or found.config
    if config is None:
        raise CheckpointError(
            f"{path}: is of the {found.family.name} family but no published model of it "
            f"({'; '.join(found.differences)}); its transformer/config.json is needed, beside it "
            f"or in {folder}"
        )
    transformer = build(
        found.family.load_class(), config, found.take(read_weights(path)), path, dtype
    )
    return _diffusers(folder, found.family, transformer, dtype)


def _own_config(path: Path, folder: Path) -> dict[str, Any] | None:
    """The configuration of a transformer, from beside its weights or from its pipeline."""
    for place in (path.parent / "config.json", folder / "transformer/config.json"):
        if place.is_file():
            config = read_json(place)
            if config.get("_class_name") in FAMILIES:
                return config
    return None


def _of_folder(folder: Path, dtype: torch.dtype) -> Base:
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
    family = family_named(str(read_json(folder / "transformer/config.json").get("_class_name")))
    transformer = load_folder(family.load_class(), folder / "transformer", dtype)
    if kind != "FrameBridgePipeline":
        told = "".join(hash_model(folder / part) for part in ("transformer", "vae", "scheduler"))
        return replace(
            _diffusers(folder, family, transformer, dtype),
            hash=hashlib.sha256(told.encode()).hexdigest(),
        )
    codec, vae = _codec(folder, dtype)
    has_words = (index.get("text_encoder") or [None])[0] is not None
    has_prior = (index.get("prior") or [None])[0] is not None
    scheduler = FrameBridgeScheduler.from_pretrained(folder / "scheduler")
    return Base(
        "",
        "",
        family,
        transformer,
        noise=scheduler.config.base,
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
    )


def _diffusers(folder: Path, family: Family, transformer: Any, dtype: torch.dtype) -> Base:
    """A base whose parts but the transformer lie in a folder as diffusers' pipelines have them."""
    if family.noise is None or family.video is None:
        raise CheckpointError(
            f"{folder}: a {family.transformer} is part of a FrameBridge model; name that model's "
            "folder as base"
        )
    try:
        noise, prediction = family.noise(read_json(folder / "scheduler/scheduler_config.json"))
    except CheckpointError as error:
        raise CheckpointError(f"{folder}: {error}") from error
    video = family.video(transformer.config)
    codec, vae = _codec(folder, dtype)
    width, height = (side * codec.spatial for side in video.grid)
    return Base(
        "",
        "",
        family,
        transformer,
        noise=noise,
        prediction=prediction,
        codec=codec,
        vae=vae,
        text_encoder=str(folder),
        frames=video.frames,
        fps=video.fps,
        sizes=[[width, height]],
    )


def _codec(folder: Path, dtype: torch.dtype) -> tuple[Any, Any]:
    codec = load_codec(str(folder), device="cpu", dtype=dtype).codec
    return codec, getattr(codec, "vae", None)


def _prior(folder: Path, dtype: torch.dtype) -> Any:
    kind = family_named(str(read_json(folder / "config.json").get("_class_name"))).load_class()
    return load_folder(kind, folder, dtype).requires_grad_(False)
