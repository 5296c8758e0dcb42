"""Where models lie: the embedded one in this folder, others in folders or on the hub."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fbridge.errors import CheckpointError

EMBEDDED = "embedded"
"""Name of the model that comes with the package."""
_FOLDERS = {EMBEDDED: Path(__file__).parent / "motion"}
_HUB_OPTIONS = ("cache_dir", "revision", "token", "local_files_only")


def locate_model(name: str, download: Callable[..., str], options: Mapping[str, Any]) -> Path:
    """The folder of a model by its name: embedded, a folder, or a hub id that `download` fetches.

    Raises:
        CheckpointError: there is none.
    """
    folder = _FOLDERS.get(name, Path(name).expanduser())
    if not folder.is_dir():
        folder = _from_hub(name, download, options)
    if not (folder / "model_index.json").is_file():
        raise CheckpointError(
            f"model {name!r}: {folder} holds no model_index.json; give a folder written by "
            f"save_pretrained, or {EMBEDDED!r}"
        )
    return folder


def hash_model(folder: Path) -> str:
    """sha256 over the weights and configurations of a model folder, with their names."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in {".json", ".safetensors"}:
            digest.update(path.relative_to(folder).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _from_hub(name: str, download: Callable[..., str], options: Mapping[str, Any]) -> Path:
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise CheckpointError(
            f"model {name!r} is neither {EMBEDDED!r} nor a folder nor a hub id (owner/name)"
        )
    known = {key: options[key] for key in _HUB_OPTIONS if key in options}
    try:
        return Path(download(name, **known))
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise CheckpointError(f"model {name!r} cannot be had from the hub: {reason}") from error
