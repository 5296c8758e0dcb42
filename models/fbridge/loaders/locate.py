"""Where models lie: in this package, in files and folders, on the hub. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fbridge.choices import EMBEDDED as EMBEDDED
from fbridge.errors import CheckpointError
from fbridge.files.hub import fetch_snapshot, name_in_address, parse_hub_name
from fbridge.files.weight_files import find_weight_file, is_weight_file, whole_of_shard

ADAPTER = "adapter.json"
"""What an adapter's folder has in place of `model_index.json`."""
ADAPTER_WEIGHTS = "pytorch_lora_weights.safetensors"
"""As diffusers writes and reads them."""
_WEIGHTS = Path(__file__).parents[1] / "pretrained"
"""Weights that come with the package."""
_FOLDERS = {EMBEDDED: _WEIGHTS / "motion"}
_RESULTS = ("", "model", "lora")
"""Where in a training run's folder its result lies; "" is the folder itself."""
_CONFIGS = ("*.json", "*.txt", "*.model")
_FILES = (*_CONFIGS, "*.safetensors")


def packaged_file(name: str) -> Path | None:
    """The file of this name that comes with the package, if there is one."""
    path = _WEIGHTS / name
    return path if Path(name).name == name and path.is_file() else None


def locate_file(name: str) -> Path | None:
    """The file of weights that a name means: itself, one of the package, or its folder's.

    Raises:
        CheckpointError: the name is that of a file of weights, and there is none; or of one of
            several shards without their index.
    """
    path = Path(name)
    if not path.exists():
        path = packaged_file(name) or path
    path = whole_of_shard(find_weight_file(path) or path)
    if path.is_file():
        return path
    if is_weight_file(path):
        raise CheckpointError(f"{name!r}: there is no such file; check the path")
    return None


def locate_folder(
    name: str, files: Sequence[str], *, what: str, known: str = EMBEDDED, **options: Any
) -> Path:
    """The folder that a name means: the embedded model's, itself, or a hub id's, which is fetched.

    A folder goes before the hub, also where its name has the form `owner/name@revision`.

    Args:
        name: of a model, codec or text encoder.
        files: patterns of what is fetched from the hub.
        what: "model", "codec" or "text encoder", for messages.
        known: the name that needs no folder, for messages.
        options: see `fbridge.files.hub.fetch_snapshot`.

    Raises:
        CheckpointError: there is none.
    """
    folder = _FOLDERS.get(name, Path(name))
    if folder.is_dir():
        return folder
    if parse_hub_name(name) is None:
        page = name_in_address(name)
        hint = "" if page is None else f"; the hub id of that page is {page}"
        raise CheckpointError(
            f"{what} {name!r} is neither {known!r} nor a folder nor a hub id (owner/name){hint}"
        )
    try:
        return fetch_snapshot(name, files, what=f"{what} {name!r}", **options)
    except CheckpointError as error:
        raise CheckpointError(
            f"{error}; nor is there a folder {name!r} in {Path.cwd()}"
        ) from error.__cause__


def locate_model(name: str, *, configs_only: bool = False, **options: Any) -> Path:
    """The folder of a model: with a `model_index.json`, or an adapter's.

    A training run's folder stands for the model or adapter in it.

    Args:
        name: "embedded", a folder, or a hub id, fetched if need be.
        configs_only: the weights of a hub id stay where they are.
        options: see `fbridge.files.hub.fetch_snapshot`.

    Raises:
        CheckpointError: there is none.
    """
    folder = locate_folder(name, _CONFIGS if configs_only else _FILES, what="model", **options)
    for part in _RESULTS:
        if any((folder / part / file).is_file() for file in ("model_index.json", ADAPTER)):
            return folder / part
    if (folder / "run.json").is_file():
        raise CheckpointError(
            f"model {name!r}: {folder} is a training run without a model yet; finish it by running "
            "its command again"
        )
    raise CheckpointError(
        f"model {name!r}: {folder} holds no model_index.json; give a folder written by "
        f"save_pretrained, or {EMBEDDED!r}"
    )
