"""Write a model's folder, which the pipeline loads."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from fbridge.backbones.families import family_of
from fbridge.codecs import Codec
from fbridge.codecs.vae import VAECodec
from fbridge.errors import DependencyError
from fbridge.files.atomic import replacing, shown
from fbridge.files.modules import precision_of
from fbridge.interop.stock_folder import add_stock_files
from fbridge.loaders.load import PretrainedModel
from fbridge.loaders.locate import ADAPTER
from fbridge.pipeline import FrameBridgePipeline
from fbridge.scheduler import FrameBridgeScheduler

NETWORKS = ("transformer", "transformer_2", "prior", "codec", "vae")
"""Components that are stored in the requested dtype; text encoders keep theirs."""
_INDEX_FILES = ("model_index.json", ADAPTER, "config.json")
"""A folder with one of these is a pipeline, an adapter or a network."""


def assemble(
    base: PretrainedModel,
    transformer: Any,
    *,
    scheduler: FrameBridgeScheduler,
    codec: Codec | None = None,
    prior: Any = None,
    facts: dict[str, Any] | None = None,
) -> FrameBridgePipeline:
    """A pipeline of a base's components and a trained network.

    Args:
        base: the model that training started from.
        transformer: the trained network.
        scheduler: the bridge.
        codec: of the latents; None: the base's.
        prior: the network of a neural prior.
        facts: `frames`, `fps`, `sizes`, `classes`, `start_from`, `world` where they differ from the
            base's.
    """
    components = base.components()
    if codec is not None:
        vae = codec.vae if isinstance(codec, VAECodec) else None
        components.update(vae=vae, codec=codec if vae is None else None)
    return FrameBridgePipeline(
        **{**components, **(facts or {})}, transformer=transformer, scheduler=scheduler, prior=prior
    )


def save_model(
    pipeline: FrameBridgePipeline, folder: Path, *, dtype: torch.dtype | None = None
) -> str:
    """Write a pipeline as a folder, atomically; replaces a model that is there.

    Stock diffusers runs it where it can, by files that are written too; else says why not.

    Args:
        pipeline: without adapters, which must be merged first.
        folder: to write.
        dtype: of the stored weights; None: their own. The pipeline itself does not change.

    Raises:
        DependencyError: it cannot be written, or something else than a model is there.
    """
    family_of(pipeline.transformer)  # an unknown network would not load
    with replacing_model(folder) as part:
        pipeline.save_pretrained(part, safe_serialization=True)
        if dtype is not None:
            for network in NETWORKS:
                held = getattr(pipeline, network)
                cast_weights(part / network, dtype, kind=type(held))
        return add_stock_files(part, pipeline)


@contextmanager
def replacing_model(folder: Path) -> Iterator[Path]:
    """A temporary folder that replaces `folder` at the end, or is removed on an exception.

    Raises:
        DependencyError: `folder` holds something else than a model, or cannot be written.
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


def cast_weights(folder: Path, dtype: torch.dtype, *, kind: type) -> None:
    """Convert floating-point weights in a folder, file by file, to the dtype of a network.

    Args:
        folder: of a network; there may be none.
        dtype: of the network.
        kind: its class, which may keep some in float32.
    """
    for path in sorted(folder.rglob("*.safetensors")):
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
        cast = {
            name: value.to(precision_of(kind, name, dtype)) if value.is_floating_point() else value
            for name, value in tensors.items()
        }
        del tensors
        path.unlink()
        save_file(cast, path, metadata)


def _is_model(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _INDEX_FILES)


def _forget_origin(folder: Path) -> None:
    """Remove diffusers' `_name_or_path`, the path that a component was loaded from."""
    for path in folder.rglob("*.json"):
        tree = json.loads(path.read_text("utf-8"))
        if isinstance(tree, dict) and tree.pop("_name_or_path", None) is not None:
            path.write_text(json.dumps(tree, indent=2, sort_keys=True) + "\n", encoding="utf-8")
