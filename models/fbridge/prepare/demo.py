"""The built-in data set: drawn clips, prepared once into the user's cache like any videos."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fbridge.data.latents.format import hash_file
from fbridge.data.scenes import DEMO_NAME, SCENE_FRAMES, SCENE_SIZE, demo_videos
from fbridge.data.video.buckets import Bucket
from fbridge.data.video.clip_sampling import ClipSampling
from fbridge.errors import ConfigError
from fbridge.files.configs import read_json
from fbridge.loaders.locate import packaged_file
from fbridge.loaders.resolve import ResolvedModel, resolve
from fbridge.prepare.request import PrepareRequest
from fbridge.prepare.run import Event, Progress, prepare
from fbridge.weights import cache_folder

BASE = "t2v.safetensors"
"""The packaged model whose codec and text encoder prepare the demo clips."""


def demo_folder() -> Path:
    """Where the demo's latents are, or will be; another base file has another folder."""
    base = _base()
    which = hashlib.sha256(f"{base} {hash_file(base)}".encode()).hexdigest()[:12]
    return cache_folder() / DEMO_NAME / f"latents-{which}"


def check_fits_demo(
    base: str,
    *,
    components: str | None = None,
    expert: str | None = None,
    download: bool = False,
) -> None:
    """Refuse a base that the demo clips do not fit, from configurations alone.

    Args:
        base: as `fbridge.loaders.load.load_pretrained` takes it.
        components: likewise.
        expert: likewise.
        download: likewise; nothing is fetched here.

    Raises:
        ConfigError: its latents are not those of the demo's codec.
        CheckpointError: there is no such base, or it lacks parts.
    """
    found = resolve(base, components=components, expert=expert, configs_only=True)
    if found.kind == "scratch":
        return
    if found.kind == "weights" and found.components is None and not download:
        found.find_components(download=False)  # says what is lacking
    own, demo = _autoencoder(found), _autoencoder(resolve(BASE))
    if not own or any(own[key] != demo[key] for key in own.keys() & demo.keys()):
        raise ConfigError(
            f"base {base}: the built-in demo clips are latents of {BASE}, and this base has "
            "another codec; prepare videos with its own: fbridge prepare VIDEOS -o DIR --codec "
            f"{base}, and name them with --data DIR"
        )


def _autoencoder(model: ResolvedModel) -> dict[str, Any]:
    """The configuration of a model's autoencoder; {} of a model with another codec."""
    if model.kind == "base":
        held = model.facts["vae"]
    else:
        folder = model.path if model.path.is_dir() else model.components
        if folder is None or not (folder / "vae" / "config.json").is_file():
            return {}
        held = read_json(folder / "vae" / "config.json")
    return {key: value for key, value in held.items() if key == "_class_name" or key[0] != "_"}


def prepare_demo() -> Iterator[Event]:
    """Draw the demo clips and prepare them.

    Raises:
        DependencyError: the cache cannot be written.
    """
    yield Progress("drawing the clips", 0)
    request = PrepareRequest(
        demo_videos(),
        demo_folder(),
        ClipSampling((Bucket(SCENE_SIZE, SCENE_SIZE, SCENE_FRAMES),)),
        codec=str(_base()),
        batch_size=16,
    )
    yield from prepare(request)


def _base() -> Path:
    base = packaged_file(BASE)
    assert base is not None, "it is part of the package"
    return base
