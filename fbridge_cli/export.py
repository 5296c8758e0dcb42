"""`fbridge export`: a model of a training run, for fbridge, stock diffusers or ComfyUI."""

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
        help="The folder of a run of fbridge finetune or train-prior, or of a model.",
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
    """Write a model folder from a training run or a model.

    FrameBridgePipeline.from_pretrained and fbridge generate --model read it.
    With --merged stock diffusers runs it too, where it can:
    DiffusionPipeline.from_pretrained(DIR, custom_pipeline="fbridge_pipeline",
    trust_remote_code=True).

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

        from fbridge.train.export.of_model import export_model, is_model
        from fbridge.train.export.result import export_run, usual_kind

        of_model = is_model(run)
        if of_model:
            _check_options_of_a_model(run, lora, checkpoint, ema_length)
            kind = "merged"
        kind = kind or usual_kind(run)
        folder = run.with_name(f"{run.name}-{kind}") if out is None else home_expanded(out)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ConfigError(
                f"-o {shown(folder)}: is there already, so it stays; name a new folder"
            )
        check_writable(folder)
        place = None if base is None else str(home_expanded(base))
        weights = getattr(torch, dtype)
        step, not_stock = None, ""
        if of_model:
            export_model(run, folder, dtype=weights, base=place)
        else:
            about = {"step": checkpoint, "length": ema_length, "dtype": weights, "base": place}
            step, not_stock = export_run(run, folder, kind=kind, **about)
    told = "" if step is None else f", step {step}"
    ui.result(f"{shown(folder)}: {kind}{told} of {shown(run)}")
    if not_stock is not None:
        ui.note(
            f"fbridge alone runs it, and stock diffusers cannot: {not_stock}"
            if not_stock
            else 'stock diffusers runs it, with custom_pipeline="fbridge_pipeline"; see README.md'
        )


def _check_options_of_a_model(
    model: Path, lora: bool, checkpoint: int | None, length: float | None
) -> None:
    given = {"--lora": lora, "--checkpoint": checkpoint is not None, "--ema-length": length}
    for name, is_given in given.items():
        if is_given:
            raise ConfigError(f"{name}: is about a run, and {shown(model)} is a model; drop it")
