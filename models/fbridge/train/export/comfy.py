"""Write the LoRA of a run, or an adapter, for ComfyUI."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from fbridge.errors import ConfigError
from fbridge.files.atomic import shown
from fbridge.interop.comfy_files import export_comfy
from fbridge.loaders.locate import ADAPTER
from fbridge.train.export.of_model import is_model
from fbridge.train.export.result import export_run

SUFFIX = ".safetensors"


def export_comfy_lora(
    source: Path,
    target: Path,
    *,
    step: int | None = None,
    length: float | None = None,
    dtype: torch.dtype | None = None,
    base: str | None = None,
) -> tuple[int | None, Path]:
    """Write the LoRA and a workflow; returns the checkpoint's step, of a run, and the workflow.

    Args:
        source: folder of a run or an adapter.
        target: the LoRA's file, ending in .safetensors, or a folder for both.
        step: see `fbridge.train.export.result.export_run`.
        length: likewise.
        dtype: of the matrices; None: float32.
        base: where the base lies, if not where it was.

    Raises:
        CheckpointError: see `export_run`.
        ConfigError: it is no LoRA, ComfyUI cannot run it, or there is such a file already.
    """
    file = target if target.suffix == SUFFIX else target / f"{source.absolute().name}{SUFFIX}"
    for path in (file, file.with_suffix(".json")):
        if path.exists():
            raise ConfigError(f"-o {shown(path)}: is there already, so it stays; name another file")
    if (source / ADAPTER).is_file():
        return None, export_comfy(source, file, dtype=dtype, base=base)
    if is_model(source):
        raise ConfigError(
            f"{shown(source)}: is a whole model, and ComfyUI takes a LoRA; name the run of fbridge "
            "finetune --lora, or its adapter"
        )
    with tempfile.TemporaryDirectory() as folder:
        adapter = Path(folder) / "lora"
        done = export_run(source, adapter, kind="lora", step=step, length=length, base=base)
        return done.step, export_comfy(adapter, file, dtype=dtype, base=base)
