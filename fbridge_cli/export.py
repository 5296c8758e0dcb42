"""`fbridge export`: a model of a training run, for fbridge, stock diffusers or ComfyUI."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from fbridge.checks import check_choice, check_no_url, check_range, home_expanded
from fbridge.choices import DTYPES
from fbridge.errors import ConfigError
from fbridge.files.atomic import check_writable, shown
from fbridge.generate.request import names_store
from fbridge_cli import runtime
from fbridge_cli.options import INPUT, MODEL, OUTPUT, Base, option
from fbridge_cli.ui import Ui
from fbridge_cli.urls import place, renaming

if TYPE_CHECKING:
    from fbridge.train.place import RunPlace

_KINDS = ("merged", "lora", "comfy")
_STOCK = "stock diffusers runs it by its fbridge_pipeline.py; its README.md says how"


def export(
    run: str = typer.Argument(
        metavar="RUN",
        show_default=False,
        help="The folder of a run of fbridge finetune or train-prior, or of a model; also in a "
        "bucket (s3://...).",
    ),
    out: Path | None = option(
        None,
        OUTPUT,
        "Folder to write, or with --comfy a .safetensors; by default RUN-merged, -lora or -comfy.",
        "--out",
        "-o",
        metavar="PATH",
    ),
    merged: bool = option(
        False, MODEL, "A whole pipeline; low-rank updates are merged into the weights.", "--merged"
    ),
    lora: bool = option(False, MODEL, "The adapter alone, for diffusers and peft.", "--lora"),
    comfy: bool = option(
        False, MODEL, "The adapter as a control LoRA of ComfyUI, and a workflow.", "--comfy"
    ),
    other: str | None = option(
        None,
        INPUT,
        "Run or model of a pair's other network (Wan 2.2 A14B): write a model of both.",
        "--with",
        metavar="RUN",
    ),
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
    """Write a model from a training run, for this and other programs.

    fbridge generate --model and FrameBridgePipeline read what --merged and
    --lora write. Stock diffusers runs what --merged writes too, where it can:
    DiffusionPipeline.from_pretrained("DIR", trust_remote_code=True,
    custom_pipeline="DIR/fbridge_pipeline.py"). --comfy is for LoRAs of Wan.

    Example:
        fbridge export runs/bridge --merged -o model/ --dtype float16

        fbridge export runs/lora --lora -o adapter/

        fbridge export runs/wan --comfy -o ComfyUI/models/loras/jump.safetensors

        fbridge export runs/high --with runs/low -o pair/
    """
    asked = [f"--{kind}" for kind, on in zip(_KINDS, (merged, lora, comfy), strict=True) if on]
    if len(asked) > 1:
        raise ConfigError(f"{asked[0]} and {asked[1]} contradict; drop one of them")
    check_choice("--dtype", dtype, DTYPES)
    check_range("--ema-length", ema_length, 0.0, 0.28)
    ui = Ui()
    with (
        runtime.quiet(),
        ui.waiting("reading the run"),
        _near(run, "RUN", checkpoint) as source,
        nullcontext() if other is None else _near(other, "--with") as second,
    ):
        import torch

        from fbridge.train.export.of_model import is_model
        from fbridge.train.export.result import usual_kind

        of_run = {"--checkpoint": checkpoint, "--ema-length": ema_length}
        if second is not None:
            _check_options_of_two({**of_run, "--comfy": comfy})
            kind = asked[0][2:] if asked else "pair"
        elif is_model(source.folder):
            _check_options_of_a_model(source.folder, {"--lora": lora, **of_run})
            kind = "comfy" if comfy else "merged"
        else:
            kind = asked[0][2:] if asked else usual_kind(source.folder)
        target = _usual_target(source, kind) if out is None else home_expanded(out)
        _check_free(target)
        there = None if base is None else str(home_expanded(base))
        precision = getattr(torch, dtype)
        if second is None:
            step, note = _written(
                source.folder, target, kind,
                step=checkpoint, length=ema_length, dtype=precision, base=there,
            )  # fmt: skip
            told = f"{kind} of" if step is None else f"{kind}, step {step} of"
        else:
            note = _written_pair(source.folder, second.folder, target, kind, there, precision)
            told = f"a bridge of both networks, {second.shown()} and"
    ui.result(f"{shown(target)}: {told} {source.shown()}")
    if note:
        ui.note(note)


@contextmanager
def _near(named: str, where: str, step: int | None = None) -> Iterator[RunPlace]:
    """The place on this machine of a run or model, whose errors name it as the user did."""
    from fbridge.train.place import RunPlace

    if names_store(named):
        from fbridge.train.stored import fetched

        url = place(where, named)
        assert not isinstance(url, Path), "names_store said so"
        found = fetched(url, step)
    else:
        check_no_url(where, named)
        found = RunPlace(home_expanded(named))
    with renaming(found.told):
        yield found


def _usual_target(source: RunPlace, kind: str) -> Path:
    """Beside a run of this machine; of one in a store in the folder that the user is in."""
    beside = source.folder if source.store is None else Path(source.folder.name)
    return beside.with_name(f"{source.folder.name}-{kind}")


def _written(
    run: Path, target: Path, kind: str, *, base: str | None, dtype: Any, **of_run: Any
) -> tuple[int | None, str]:
    """Write a run or a model; returns the checkpoint's step, of a run, and a remark."""
    from fbridge.train.export.comfy import export_comfy_lora
    from fbridge.train.export.of_model import export_model, is_model
    from fbridge.train.export.result import export_run

    if kind == "comfy":
        step, workflow = export_comfy_lora(run, target, dtype=dtype, base=base, **of_run)
        return step, f"workflow: {shown(workflow)}"
    if is_model(run):
        export_model(run, target, dtype=dtype, base=base)
        return None, _STOCK
    step, reason = export_run(run, target, kind=kind, dtype=dtype, base=base, **of_run)
    return step, _remark(reason)


def _written_pair(
    run: Path, other: Path, target: Path, kind: str, base: str | None, dtype: Any
) -> str:
    """Write a model of two runs; returns a remark."""
    from fbridge.train.export.pair import export_pair

    wanted = None if kind == "pair" else kind
    return _remark(export_pair(run, other, target, kind=wanted, dtype=dtype, base=base))


def _remark(reason: str | None) -> str:
    """Whether stock diffusers runs a model, by why it cannot; None of an adapter."""
    if reason:
        return f"fbridge alone runs it, and stock diffusers cannot: {reason}"
    return "" if reason is None else _STOCK


def _check_free(target: Path) -> None:
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConfigError(f"-o {shown(target)}: is there already, so it stays; name a new folder")
    check_writable(target)


def _check_options_of_two(options: dict[str, Any]) -> None:
    for name, value in options.items():
        if value is not None and value is not False:
            raise ConfigError(f"{name}: is about one run, and --with joins two; drop one of them")


def _check_options_of_a_model(model: Path, options: dict[str, Any]) -> None:
    for name, value in options.items():
        if value is not None and value is not False:
            raise ConfigError(f"{name}: is about a run, and {shown(model)} is a model; drop it")
