"""Write a finished bridge model or an adapter anew, as a model that stock diffusers runs."""

from __future__ import annotations

from pathlib import Path

import torch

from fbridge.errors import ConfigError
from fbridge.files.atomic import shown
from fbridge.interop.stock_folder import why_not_stock
from fbridge.loaders.locate import ADAPTER
from fbridge.loaders.resolve import resolve
from fbridge.pipeline import FrameBridgePipeline
from fbridge.train.export.model_folder import save_model


def is_model(folder: Path) -> bool:
    """Whether a folder is a pipeline or an adapter, and no run."""
    return any((folder / name).is_file() for name in ("model_index.json", ADAPTER))


def export_model(
    model: Path, folder: Path, *, dtype: torch.dtype | None = None, base: str | None = None
) -> None:
    """Write a model, with its adapter merged.

    Args:
        model: folder of a bridge or an adapter.
        folder: to write.
        dtype: of the stored weights; None: float32.
        base: where an adapter's base lies, if not where it was.

    Raises:
        CheckpointError: it does not load.
        ConfigError: stock diffusers cannot run it, or it is no bridge.
    """
    if resolve(str(model)).kind not in ("adapter", "bridge"):
        raise ConfigError(
            f"{shown(model)}: is a text-to-video model, which diffusers runs as it is; fbridge "
            "finetune makes it a bridge"
        )
    pipeline = FrameBridgePipeline.from_pretrained(model, base=base)
    if reason := why_not_stock(pipeline):
        raise ConfigError(f"{shown(model)}: stock diffusers cannot run it: {reason}")
    save_model(pipeline, folder, dtype=dtype)
