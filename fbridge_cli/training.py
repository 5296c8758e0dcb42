"""`fbridge train-prior` and `fbridge finetune`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from fbridge.choices import OBJECTIVES
from fbridge.errors import ConfigError, FBridgeError
from fbridge.files.atomic import check_writable
from fbridge_cli import options, runtime
from fbridge_cli.exit_codes import INTERRUPTED, Stopped, interrupt_code
from fbridge_cli.options import INPUT, MEMORY, MODEL, OUTPUT, SAMPLING, Download, Json, option
from fbridge_cli.processes import Process, StopAtStep, naming_errors, this_process
from fbridge_cli.training_demo import demo_data
from fbridge_cli.ui import Ui

if TYPE_CHECKING:
    from fbridge.train.request import Command, TrainRequest

GRACE = 10.0
"""Seconds for which other processes than the first hold back an error."""

_CONFIG = typer.Argument(
    None,
    metavar="CONFIG.toml",
    show_default=False,
    help="The configuration; by default ./fbridge.toml if there is one. fbridge config prints one "
    "with all keys.",
)
_STEPS = option(None, MODEL, "Optimizer steps.")
_BATCH_SIZE = option(None, MEMORY, "Clips per process and step.")
_LR = option(None, MODEL, "Learning rate.")
_SEED = option(None, SAMPLING, "Random seed of the run.")
_RECIPE = option(None, INPUT, "Values to begin with; see fbridge config --recipes.", metavar="NAME")
_CHANGES = option(
    None,
    INPUT,
    "Any key of the configuration, such as --set train.precision=bf16; repeatable.",
    "--set",
    metavar="KEY=VALUE",
)
_OUT = option(
    None,
    OUTPUT,
    "The run's folder; by default the next free one below runs/.",
    "--out",
    "-o",
    metavar="RUN",
)
_RESUME = option(False, INPUT, "Continue from the run's newest whole checkpoint.", "--resume")
_ACCEPT_CHANGES = option(
    False,
    INPUT,
    "With --resume: continue with another learning rate, batch size and the like.",
    "--accept-changes",
)
_CHECKPOINT = option(
    None,
    INPUT,
    "With --resume: continue from this one; else from the newest whole one.",
    "--checkpoint",
    metavar="STEP",
)
_DEVICE = option(
    "auto",
    MEMORY,
    "auto is an accelerator where there is one; cpu never; cuda must be there.",
    known=("auto", "cpu", "cuda"),
)
_DRY_RUN = option(
    False,
    OUTPUT,
    "Print the configuration, parameters, memory and time of one measured step, and stop.",
    "--dry-run",
)


def train_prior(
    config: Path | None = _CONFIG,
    data: options.Data = None,
    cache_size: options.CacheSize = None,
    loss: str | None = option(None, MODEL, "mse or l1 \\[default: mse]"),
    steps: int | None = _STEPS,
    batch_size: int | None = _BATCH_SIZE,
    lr: float | None = _LR,
    seed: int | None = _SEED,
    recipe: str | None = _RECIPE,
    changes: list[str] | None = _CHANGES,
    out: str | None = _OUT,
    resume: bool = _RESUME,
    accept_changes: bool = _ACCEPT_CHANGES,
    checkpoint: int | None = _CHECKPOINT,
    device: str = _DEVICE,
    dry_run: bool = _DRY_RUN,
    json: Json = False,
) -> None:
    """Train a neural prior: the video regressed from picture and prompt in one pass.

    It ends with its gain over the repeated picture on held-out clips, and a line that uses it.

    Example:
        fbridge train-prior --data latents/ -o runs/prior

        fbridge finetune --base t2v.safetensors --data latents/ --prior runs/prior
    """
    typed = {
        "data": data,
        "cache_size": cache_size,
        "output": out,
        "recipe": recipe,
        "regression.loss": loss,
        "train.steps": steps,
        "train.batch_size": batch_size,
        "train.lr": lr,
        "train.seed": seed,
    }
    _train("train-prior", typed, changes or [], Ui(machine=json), file=config, device=device,
           resume=resume, accept_changes=accept_changes, checkpoint=checkpoint,
           dry_run=dry_run)  # fmt: skip


def finetune(
    config: Path | None = _CONFIG,
    base: str | None = option(
        None,
        MODEL,
        "A text-to-video .safetensors file (t2v.safetensors comes with fbridge), a pipeline's "
        "folder or hub id, embedded, or scratch:tiny, scratch:latte-s2, scratch:latte-b2.",
        metavar="MODEL",
    ),
    components: str | None = option(
        None,
        MODEL,
        "Pipeline folder or hub id with VAE, scheduler and text encoder for a base that is bare "
        "weights; by default what lies beside them, or in the hub's cache.",
        metavar="DIR",
    ),
    expert: options.Expert = None,
    download: Download = False,
    data: options.Data = None,
    cache_size: options.CacheSize = None,
    prior: str | None = option(
        None,
        MODEL,
        "Where bridges start: repeat (the picture in every frame), motion (moved by the embedded "
        "model), or a run of fbridge train-prior \\[default: the base's own, else repeat]",
        metavar="NAME|RUN",
    ),
    objective: str | None = option(
        None,
        MODEL,
        "bridge; diffusion: its baseline, which differs only in starting from pure noise; or "
        "distill: the quality of a bridge in few steps \\[default: bridge]",
        known=OBJECTIVES,
    ),
    teacher: str | None = option(
        None,
        MODEL,
        "The bridge from which a student learns, with --objective distill: a run, a folder or a "
        "hub id. The student begins as its teacher.",
        metavar="MODEL",
    ),
    image_input: options.ImageInput = None,
    no_align: bool = option(False, MODEL, "Without SNR alignment: the ablation.", "--no-align"),
    lora: list[str] | None = option(
        None,
        MODEL,
        "A number: train low-rank updates of this rank instead of all weights. A file: a LoRA of "
        "the base, merged into it before training; weight 1 if none is given; repeatable.",
        metavar="RANK|FILE[:WEIGHT]",
    ),
    steps: int | None = _STEPS,
    batch_size: int | None = _BATCH_SIZE,
    lr: float | None = _LR,
    seed: int | None = _SEED,
    recipe: str | None = _RECIPE,
    changes: list[str] | None = _CHANGES,
    out: str | None = _OUT,
    resume: bool = _RESUME,
    accept_changes: bool = _ACCEPT_CHANGES,
    checkpoint: int | None = _CHECKPOINT,
    device: str = _DEVICE,
    dry_run: bool = _DRY_RUN,
    json: Json = False,
) -> None:
    """Turn a text-to-video model into an image-to-video bridge.

    It ends with what it has learnt, lines that go on from there, and RUN/report.html.

    Several processes and machines: accelerate launch -m fbridge_cli finetune ...

    Example:
        fbridge finetune --base t2v.safetensors

        fbridge finetune bridge.toml --data latents/ -o runs/bridge --lora 16

        fbridge finetune --base wan.safetensors --lora style.safetensors:0.8 --lora 16

        fbridge finetune -o runs/bridge --resume

        fbridge finetune --objective distill --teacher runs/bridge -o runs/fast

        fbridge generate cat.jpg -p "cat jumping" --model runs/bridge
    """
    typed = {
        "base": base,
        "components": components,
        "expert": expert,
        "download": download or None,
        "data": data,
        "cache_size": cache_size,
        "output": out,
        "recipe": recipe,
        "bridge.objective": objective,
        "condition.image_input": image_input,
        "bridge.align": False if no_align else None,
        **_lora_keys(lora or ()),
        "train.steps": steps,
        "train.batch_size": batch_size,
        "train.lr": lr,
        "train.seed": seed,
    }
    _train("finetune", typed, changes or [], Ui(machine=json), prior=prior, teacher=teacher,
           file=config, device=device, resume=resume, accept_changes=accept_changes,
           checkpoint=checkpoint, dry_run=dry_run)  # fmt: skip


def _lora_keys(given: Sequence[str]) -> dict[str, Any]:
    """Keys of the configuration for --lora: a number is a rank, all else a file."""
    ranks = [int(text) for text in given if text.isdecimal()]
    files = [text for text in given if not text.isdecimal()]
    if len(ranks) > 1:
        raise ConfigError(f"--lora {ranks[0]}, --lora {ranks[1]}: one rank is possible")
    return {"lora.rank": ranks[0] if ranks else None, "lora.base": files or None}


def _train(
    command: Command, typed: dict[str, Any], changes: Sequence[str], ui: Ui, **begin: Any
) -> None:
    """Run a command: the configuration's keys as typed, --set, and where and how it begins."""
    process = this_process()
    ui = ui if process.first else Ui(machine=ui.machine, mute=True)
    try:
        with naming_errors(process, delay=GRACE):
            from fbridge.config import parse_change
            from fbridge.train.request import Launch, resolve_request

            keys = {**typed, **dict(map(parse_change, changes))}
            launch = Launch(
                first=process.first,
                first_here=process.local == 0,
                one_process=process.world == 1,
                one_machine=process.world == process.neighbours,
            )
            request = resolve_request(command, keys, launch=launch, **begin)
            check_writable(request.run)
            with runtime.quiet(), _naming(request):
                _run(request, ui, process)
    except KeyboardInterrupt as stop:
        if process.first:
            raise
        raise Stopped("", interrupt_code(stop)) from None


@contextmanager
def _naming(request: TrainRequest) -> Iterator[None]:
    """Name the run's URL in errors, and not its copy on this machine."""
    try:
        yield
    except FBridgeError as error:
        if (text := request.place.told(str(error))) == str(error):
            raise
        raise type(error)(text) from error


def _run(request: TrainRequest, ui: Ui, process: Process) -> None:
    from fbridge.train.request import DEMO
    from fbridge_cli.training_show import Report, show_dry_run, show_request

    show_request(request, ui)
    with ui.waiting("getting ready"):
        runtime.silence_libraries()
        if request.device == "cuda":
            runtime.present_device(request.device)
        if request.command == "finetune" and request.config.data == DEMO:
            from fbridge.prepare.demo import check_fits_demo

            config = request.config
            parts: dict[str, Any] = {"components": config.components, "download": config.download}
            parts |= {"expert": config.expert}
            check_fits_demo(str(config.base), **parts)
    if request.config.data == DEMO:
        if not (request.dry_run or request.resume):
            from fbridge.train.run import find_resume

            find_resume(request.run, wanted=False)  # before demo data are made for a taken folder
        request = request.with_data(demo_data(ui, process))
    stop, command_line = StopAtStep(), shlex.join(["fbridge", *sys.argv[1:]])
    with ui.waiting("loading data and networks"):
        from fbridge.train.events import Ended, Measured
        from fbridge.train.stored import run

        events = run(request, stop=stop, command_line=command_line)
        first = next(events)
    if isinstance(first, Measured):
        show_dry_run(first, request, ui)
        return
    launcher = "fbridge" if process.world == 1 else "accelerate launch -m fbridge_cli"
    words = [*launcher.split(), request.command, "-o", request.place.shown(), "--resume"]
    report = Report(request, ui, shlex.join(words))
    report.show(first)
    with stop, report, closing(events):
        for event in events:
            report.show(event)
            if isinstance(event, Ended) and event.stopped:
                raise Stopped(report.stopped(event) if process.first else "", INTERRUPTED)
