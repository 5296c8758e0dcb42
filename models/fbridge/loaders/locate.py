"""Where models lie: the embedded one in this folder, others in folders or on the hub."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fbridge.errors import CheckpointError

EMBEDDED = "embedded"
"""Name of the model that comes with the package."""
ADAPTER = "adapter.json"
"""What an adapter's folder has in place of `model_index.json`."""
_WEIGHTS = Path(__file__).parents[1] / "pretrained"
"""Weights that come with the package."""
_FOLDERS = {EMBEDDED: _WEIGHTS / "motion"}
_RESULTS = ("", "model", "lora")
"""Where in a training run's folder its result lies; "" is the folder itself."""
_FILES = ("*.json", "*.safetensors", "*.txt", "*.model")
_CONFIGS = ("*.json", "*.txt", "*.model")
_HUB_OPTIONS = ("cache_dir", "revision", "token", "local_files_only")


def locate_model(name: str, options: Mapping[str, Any], *, configs_only: bool = False) -> Path:
    """The folder of a model by its name: embedded, a folder, or a hub id, fetched if need be.

    A training run's folder stands for the model or adapter in it. With `configs_only` the weights
    of a hub id stay where they are.

    Raises:
        CheckpointError: there is none.
    """
    folder = _FOLDERS.get(name, Path(name))
    if not folder.is_dir():
        folder = _from_hub(name, options, _CONFIGS if configs_only else _FILES)
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


def is_hub_id(name: str) -> bool:
    """Whether a name has the form of a hub's: owner/name."""
    return name.count("/") == 1 and not name.startswith((".", "/", "~"))


def packaged_file(name: str) -> Path | None:
    """The file of this name that comes with the package, if there is one."""
    path = _WEIGHTS / name
    return path if Path(name).name == name and path.is_file() else None


def hash_model(folder: Path) -> str:
    """sha256 over the weights and configurations of a model folder, with their names."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in {".json", ".safetensors"}:
            digest.update(f"{path.relative_to(folder).as_posix()} {path.stat().st_size}\n".encode())
            with path.open("rb") as file:
                while block := file.read(2**20):
                    digest.update(block)
    return digest.hexdigest()


def _from_hub(name: str, options: Mapping[str, Any], files: tuple[str, ...]) -> Path:
    if not is_hub_id(name):
        raise CheckpointError(
            f"model {name!r} is neither {EMBEDDED!r} nor a folder nor a hub id (owner/name)"
        )
    from huggingface_hub import snapshot_download

    known = {key: options[key] for key in _HUB_OPTIONS if key in options}
    try:
        return Path(snapshot_download(name, allow_patterns=list(files), **known))
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise CheckpointError(f"model {name!r} cannot be had from the hub: {reason}") from error
