"""`fbridge export`: what a run has learnt, as a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fbridge_cli.checks import DTYPES, check_choice, check_range, home_expanded
from fbridge_cli.ui import Ui


def export(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN",
            show_default=False,
            help="The folder of a run of fbridge finetune or train-prior.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="DIR", help="The model's folder; else RUN-merged or RUN-lora."
        ),
    ] = None,
    merged: Annotated[
        bool,
        typer.Option("--merged", help="A whole pipeline; low-rank updates become part of weights."),
    ] = False,
    lora: Annotated[
        bool,
        typer.Option("--lora", help="The adapter alone, as diffusers and peft read it."),
    ] = False,
    checkpoint: Annotated[
        int | None,
        typer.Option(metavar="STEP", help="Of an older checkpoint that is still there."),
    ] = None,
    ema_length: Annotated[
        float | None,
        typer.Option(
            metavar="LENGTH",
            help="Relative length of the average, of a run with ema.kind post-hoc: 0.05, 0.15, ...",
        ),
    ] = None,
    dtype: Annotated[
        str, typer.Option(autocompletion=lambda: list(DTYPES), help=f"{', '.join(DTYPES)}.")
    ] = "float32",
) -> None:
    """Write a model folder from a training run.

    FrameBridgePipeline.from_pretrained and fbridge generate --model read it;
    diffusers reads its transformer/ and vae/, or its
    pytorch_lora_weights.safetensors.

    Example:
        fbridge export runs/bridge --merged -o model/ --dtype float16

        fbridge export runs/lora --lora -o adapter/
    """
    from fbridge.errors import ConfigError
    from fbridge.files.atomic import check_writable, shown
    from fbridge_cli import runtime

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
        )
    ui.result(f"{shown(folder)}: {kind}, step {step} of {shown(run)}")
