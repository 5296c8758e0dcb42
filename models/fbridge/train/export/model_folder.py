"""Folders of models: whole or absent, in the precision wanted, without where they were made."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from fbridge.errors import DependencyError
from fbridge.files.atomic import replacing, shown
from fbridge.loaders.locate import ADAPTER

_MARKS = ("model_index.json", ADAPTER, "config.json")
"""Files by which a pipeline, an adapter or a network is known."""


@contextmanager
def replacing_model(folder: Path) -> Iterator[Path]:
    """A hidden folder that takes the place of `folder` at the end, or vanishes on any exception.

    Raises:
        DependencyError: something else than a model is in its place, or it cannot be written.
    """
    if folder.exists() and not _is_model(folder) and any(folder.iterdir()):
        raise DependencyError(
            f"{shown(folder)}: holds something else than a model, so it stays; name another folder"
        )
    old = folder.with_name(f".fbridge-{uuid.uuid4().hex[:12]}.part")
    try:
        with replacing(folder) as hidden:
            hidden.mkdir()
            yield hidden
            _forget_origin(hidden)
            if folder.exists():
                folder.rename(old)
    except BaseException:
        if old.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def cast_weights(folder: Path, dtype: torch.dtype) -> None:
    """Rewrite all floating weights of a folder in another precision, file by file."""
    for path in sorted(folder.rglob("*.safetensors")):
        with safe_open(path, "pt") as file:
            told = file.metadata()
            held = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
        cast = {k: v.to(dtype) if v.is_floating_point() else v for k, v in held.items()}
        del held
        path.unlink()
        save_file(cast, path, told)


def _is_model(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _MARKS)


def _forget_origin(folder: Path) -> None:
    for path in folder.rglob("*.json"):
        held = json.loads(path.read_text("utf-8"))
        if isinstance(held, dict) and held.pop("_name_or_path", None) is not None:
            path.write_text(json.dumps(held, indent=2, sort_keys=True) + "\n", encoding="utf-8")
