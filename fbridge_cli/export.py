"""`fbridge export`: a model from a training run."""

from __future__ import annotations

from pathlib import Path

import typer

from fbridge.checks import check_choice, check_range, home_expanded
from fbridge.choices import DTYPES
from fbridge.errors import ConfigError
from fbridge.files.atomic import check_writable, shown
from fbridge_cli import runtime
from fbridge_cli.options import INPUT, MODEL, OUTPUT, Base, option
from fbridge_cli.ui import Ui


def export(
    run: Path = typer.Argument(
        metavar="RUN",
        show_default=False,
        help="The folder of a run of fbridge finetune or train-prior.",
    ),
    out: Path | None = option(
        None,
        OUTPUT,
        "The model's folder; by default RUN-merged or RUN-lora.",
        "--out",
        "-o",
        metavar="DIR",
    ),
    merged: bool = option(
        False, MODEL, "A whole pipeline; low-rank updates are merged into the weights.", "--merged"
    ),
    lora: bool = option(False, MODEL, "The adapter alone, for diffusers and peft.", "--lora"),
    base: Base = None,
    checkpoint: int | None = option(
        None, INPUT, "Step of an older checkpoint that still exists.", metavar="STEP"
    ),
    ema_length: float | None = option(
        None,
        MODEL,
        "Relative length of the average, of a run with ema.kind post-hoc: 0.05, 0.15, ...",
        metavar="LENGTH",
    ),
    dtype: str = option("float32", OUTPUT, f"{', '.join(DTYPES)}.", known=DTYPES),
) -> None:
    """Write a model folder from a training run.

    FrameBridgePipeline.from_pretrained and fbridge generate --model read it;
    diffusers reads its transformer/ and vae/, or its
    pytorch_lora_weights.safetensors.

    Example:
        fbridge export runs/bridge --merged -o model/ --dtype float16

        fbridge export runs/lora --lora -o adapter/
    """
    if merged and lora:
        raise ConfigError("--merged and --lora contradict; drop one of them")
    check_choice("--dtype", dtype, DTYPES)
    check_range("--ema-length", ema_length, 0.0, 0.28)
    kind = "merged" if merged else "lora" if lora else None
    run = home_expanded(run)
    ui = Ui()
    with runtime.quiet(), ui.waiting("reading the run"):
        import torch

        from fbridge.train.export.result import export_run, usual_kind

        kind = kind or usual_kind(run)
        folder = run.with_name(f"{run.name}-{kind}") if out is None else home_expanded(out)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ConfigError(
                f"-o {shown(folder)}: is there already, so it stays; name a new folder"
            )
        check_writable(folder)
        step = export_run(
            run,
            folder,
            kind=kind,
            step=checkpoint,
            length=ema_length,
            dtype=getattr(torch, dtype),
            base=None if base is None else str(home_expanded(base)),
        )
    ui.result(f"{shown(folder)}: {kind}, step {step} of {shown(run)}")
