"""The parts that a network's weights alone lack (autoencoder, scheduler, text encoder)."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from fbridge.backbones.checkpoint_layout import Variant
from fbridge.backbones.families import CLASSES
from fbridge.backbones.family import Family
from fbridge.errors import CheckpointError
from fbridge.files.configs import read_json
from fbridge.files.hashing import hash_files
from fbridge.files.hub import NOT_READ, cached_snapshot, fetch_snapshot, parse_hub_name
from fbridge.files.tensors import read_header
from fbridge.files.weight_files import find_weight_file, network_folder
from fbridge.loaders.compose import WORDS, LackingParts, compose, find_shelves
from fbridge.loaders.single_file import unpack

_PARTS = (
    "vae",
    "scheduler",
    "text_encoder",
    "text_encoder_2",
    "tokenizer",
    "tokenizer_2",
    "image_encoder",
)
_PATTERNS = [
    "model_index.json",
    "transformer/config.json",
    "unet/config.json",
    *(f"{part}/*" for part in _PARTS),
]
_IS_SHA256 = re.compile("[0-9a-f]{64}").fullmatch


def find_components(
    weights: Path,
    *,
    given: str | None,
    variant: Variant | None,
    needed: tuple[str, ...],
    family: Family | None = None,
    latents: int | None = None,
    download: bool = False,
    whole: bool = False,
) -> Path:
    """The folder with the parts that a network's weights lack, or one composed of their files.

    Args:
        weights: the file.
        given: the folder, a single file (the others lie beside it), or a pipeline's hub id; None
            looks beside the weights and, of a known model, in the local cache of the hub.
        variant: the published model that the weights are of.
        needed: files that the folder must hold.
        family: of the network; None takes no single files.
        latents: channels of its latents, where they are known.
        download: fetch it from the hub where it is not here.
        whole: the file holds its other parts itself; they are unpacked where none are given.

    Raises:
        CheckpointError: it is nowhere or incomplete; the message says how to get it.
    """
    hubs = () if variant is None else variant.hubs
    pick = partial(
        _composed, family=family, needed=needed, latents=latents, hubs=hubs, download=download
    )
    if given is not None and (Path(given).exists() or parse_hub_name(given) is None):
        named = _named(Path(given), needed, pick, whole=whole)
        if named is not None:
            return named
    if whole and (given is None or Path(given).is_dir()):
        return unpack(weights, given, download=download)
    beside = _beside(weights, needed, pick) if given is None else None
    if isinstance(beside, Path):
        return beside
    hubs = hubs if given is None else (given,)
    cached = [place for hub in hubs if (place := _cached(hub, needed)) is not None]
    if len(cached) == 1:
        return cached[0]
    if download and len(hubs) == 1:
        return _fetched(hubs[0], needed)
    raise beside or CheckpointError(
        _how(weights, variant, given, hubs, needed, several=len(cached) > 1)
    )


_Pick = Callable[..., Path | None]
"""`_composed` of places."""


def _named(given: Path, needed: tuple[str, ...], pick: _Pick, *, whole: bool) -> Path | None:
    """What `--components` names; None where only the vocabulary of a whole file is there."""
    if given.is_file():
        if (found := pick([given, given.parent], first=given)) is not None:
            return found
        folders = _list([f"{name.split('/')[0]}/" for name in needed])
        raise CheckpointError(
            f"components {str(given)!r}: is no single file of an autoencoder or text encoder that "
            f"this model reads; name one, or a folder that has {folders}"
        )
    missing = missing_files(given, needed)
    if not missing:
        return given
    if not whole and (found := pick([given])) is not None:
        return found
    rest = [name for name in needed if not name.startswith("tokenizer")]
    if whole and missing == rest:  # a vocabulary alone is what a whole file lacks
        return None
    own = " or, since the file holds its own, leave --components out" if whole else ""
    raise CheckpointError(
        f"components {str(given)!r} lack {', '.join(missing)}; copy them from the base's own "
        f"pipeline folder{own}"
    )


def _beside(weights: Path, needed: tuple[str, ...], pick: _Pick) -> Path | CheckpointError | None:
    """The parts that lie around the weights, what some of them lack, or None of none."""
    home, around = weights.parent, weights.parent.parent
    try:
        whole = (folder for folder in (home, around) if not missing_files(folder, needed))
        return next(whole, None) or pick([home, *find_shelves(around)])
    except CheckpointError as error:
        return error


def missing_files(
    folder: Path, needed: tuple[str, ...], *, configs_only: bool = False
) -> list[str]:
    """Which of the needed files are not in a folder, nor the weights and words that go with them.

    Args:
        folder: of a pipeline.
        needed: configurations of its parts.
        configs_only: the weights may be elsewhere.

    Raises:
        CheckpointError: the weights of a part are broken or incomplete.
    """
    missing = []
    for name in needed:
        part = folder / Path(name).parent
        if not (folder / name).is_file():
            missing.append(name)
        elif configs_only or part.name == "scheduler":
            continue
        elif part.name.startswith("tokenizer"):
            if not any(any(part.glob(pattern)) for pattern in WORDS):
                missing.append(f"{part.name}/tokenizer.json")
        elif (weights := find_weight_file(part)) is not None:
            read_header(weights)
        else:
            old = " (.bin files can hold code and are not read)" if [*part.glob("*.bin")] else ""
            missing.append(f"{part.name}/*.safetensors{old}")
    return missing


def _composed(
    places: list[Path],
    *,
    family: Family | None,
    needed: tuple[str, ...],
    latents: int | None,
    hubs: tuple[str, ...],
    download: bool,
    first: Path | None = None,
) -> Path | None:
    """Of single files in some places; what these lack is taken from the hub's cache or the hub."""
    if family is None:
        return None
    try:
        found = compose(places, family, needed, latents, first=first)
    except LackingParts as error:
        if len(hubs) != 1:
            raise
        patterns = [f"{part}/*" for part in error.parts]
        more = cached_snapshot(hubs[0], patterns)
        if download:
            more = fetch_snapshot(hubs[0], patterns, what=f"{hubs[0]}:", ignore=NOT_READ)
        if more is None:
            raise CheckpointError(
                f"{error}, or fetch them from {hubs[0]} with --download"
            ) from None
        found = compose([*places, more], family, needed, latents, first=first)
    if found is not None and (missing := missing_files(found, needed)):
        raise CheckpointError(f"{places[0]}: lacks {', '.join(missing)}")
    return found


def network_config(weights: Path, folder: Path | None) -> dict[str, Any] | None:
    """The configuration of a network, from beside its weights or from its pipeline's folder."""
    places = [weights.parent / "config.json"]
    places += [] if folder is None else [network_folder(folder) / "config.json"]
    for place in places:
        if place.is_file() and (config := read_json(place)).get("_class_name") in CLASSES:
            return config
    return None


def _how(
    weights: Path,
    variant: Variant | None,
    given: str | None,
    hubs: tuple[str, ...],
    needed: tuple[str, ...],
    *,
    several: bool,
) -> str:
    what = "a transformer" if variant is None else variant.name
    need = _list([f"{name.split('/')[0]}/" for name in needed])
    if given is not None:
        return (
            f"components {given!r} are not in the hub's cache; fetch them with --download, or name "
            f"a folder that has {need}"
        )
    if len(hubs) > 1:
        why = "more than one is in the cache" if several else "their autoencoders differ"
        return (
            f"{weights}: holds weights only, of {what}, which {' and '.join(hubs)} have ({why}); "
            f"name the right one with --components (and --download), or a folder that has {need}"
        )
    way = f", or fetch them from {hubs[0]} with --download" if hubs else ""
    return (
        f"{weights}: holds weights only, of {what}; name a folder that has {need} with "
        f"--components{way} (they are neither beside the file nor in the hub's cache)"
    )


def _list(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _cached(hub: str, needed: tuple[str, ...]) -> Path | None:
    folder = cached_snapshot(hub, _PATTERNS)
    return None if folder is None or missing_files(folder, needed) else folder


def _fetched(hub: str, needed: tuple[str, ...]) -> Path:
    """Downloaded, from where an earlier try stopped, and compared with the hub's own sha256."""
    folder = fetch_snapshot(hub, _PATTERNS, what=f"{hub}:", ignore=NOT_READ)
    for path in sorted(folder.rglob("*")):
        blob = path.resolve()
        if path.is_file() and _IS_SHA256(blob.name) and hash_files([blob]) != blob.name:
            blob.unlink()
            raise CheckpointError(
                f"{path}: was damaged on its way (its sha256 is not {blob.name}) and is deleted; "
                "run the command again"
            )
    missing = missing_files(folder, needed)
    if missing:
        raise CheckpointError(f"{hub}: lacks {', '.join(missing)}; name another with --components")
    return folder
