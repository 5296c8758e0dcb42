"""`fbridge eval`: numbers with their protocol, their interval and their baselines."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fbridge.checks import check_device, check_no_url, home_expanded, parse_size
from fbridge.errors import ConfigError
from fbridge.files.atomic import shown
from fbridge_cli import runtime
from fbridge_cli.engines import ray_options, share_of
from fbridge_cli.options import (
    INPUT,
    MEMORY,
    MODEL,
    OUTPUT,
    SAMPLING,
    Device,
    Engine,
    GpuShare,
    Json,
    RayAddress,
    option,
)
from fbridge_cli.processes import Process, this_process
from fbridge_cli.ui import Ui
from fbridge_cli.urls import place
from fbridge_cli.weights import use_weights

if TYPE_CHECKING:
    from fbridge.data.stores.url import StoreUrl
    from fbridge.evaluation.remote_sides import RemoteSides
    from fbridge.evaluation.request import EvalRequest
    from fbridge.evaluation.result import Evaluation

TABLES = (".csv", ".md", ".tex", ".json")
"""Suffixes of files that --out writes."""


def evaluate(
    generated: list[str] | None = typer.Argument(
        None,
        metavar="[GENERATED]...",
        show_default=False,
        help="A folder of videos or of folders of frames, a list of videos, or a prepared data "
        "set; by default fbridge.toml's run, the latest run below runs/, or the embedded "
        "model's demo; videos and lists also by URL. Several with --study; files of answers with "
        "--study-results.",
    ),
    reference: str | None = option(
        None,
        INPUT,
        "The real videos, likewise; paired with the generated ones by name.",
        "--reference",
        "-r",
        metavar="REAL",
    ),
    metrics: list[str] | None = option(
        None,
        INPUT,
        "A metric, or several with commas; repeatable. --list prints all.",
        "--metric",
        "-m",
        metavar="NAME",
    ),
    pictures: Path | None = option(
        None,
        INPUT,
        "The pictures that videos were made from, by name; by default those that the videos' "
        "records name, else the first frames of their real ones.",
        metavar="DIR",
    ),
    codec: str | None = option(
        None,
        MODEL,
        "Also score real videos after this codec's round trip: the best a model could do.",
        metavar="CODEC",
    ),
    baselines: bool = option(
        True,
        INPUT,
        "Score real videos against real ones, still pictures and shuffled frames too.",
        "--baselines/--no-baselines",
    ),
    protocol: str = option(
        "stylegan-v",
        SAMPLING,
        "stylegan-v, tf, ucf101-zero-shot or msrvtt-zero-shot; --list explains them.",
        metavar="NAME",
    ),
    frames: int | None = option(
        None, SAMPLING, "Frames of a clip; by default the protocol's.", metavar="N"
    ),
    stride: int | None = option(
        None, SAMPLING, "Every N-th frame, on both sides; by default the protocol's.", metavar="N"
    ),
    size: str | None = option(
        None,
        SAMPLING,
        "Size at which frames are compared; by default the protocol's, or the generated videos'.",
        metavar="WxH",
    ),
    clips: int | None = option(
        None, SAMPLING, "Maximum number of clips per side, drawn by --seed.", metavar="N"
    ),
    seed: int | None = option(
        None, SAMPLING, "Seed of the drawn clips and their start frames.", metavar="N"
    ),
    weights: list[str] | None = option(
        None,
        MODEL,
        "File with a network's weights: i3d=i3d.ckpt; see fbridge weights list.",
        metavar="NAME=FILE",
    ),
    offline: bool = option(
        False,
        MODEL,
        "Download nothing: networks that are missing are an error, as with FBRIDGE_OFFLINE=1.",
        "--offline",
    ),
    skip_bad: bool = option(
        False,
        INPUT,
        "Leave out videos that are damaged, too short, copies, or without a counterpart.",
        "--skip-bad",
    ),
    workers: int | None = option(
        None,
        MEMORY,
        "Processes that decode and compute, each with one thread, with ray in the whole cluster; 0 "
        "is none beside this one \\[default: the cores]",
        metavar="N",
    ),
    device: Device = "auto",
    engine: Engine = "local",
    ray_address: RayAddress = None,
    gpu_share: GpuShare = None,
    cache: Path | None = option(
        None, OUTPUT, "File of computed features; by default in the user's cache.", metavar="FILE"
    ),
    title: str = option("", OUTPUT, "Heading of the result.", metavar="TEXT"),
    out: list[str] | None = option(
        None,
        OUTPUT,
        "Also write the table: .csv, .md, .tex, or the whole result: .json; repeatable; also "
        "s3://bucket/a.json.",
        "--out",
        "-o",
        metavar="FILE",
    ),
    report: str | None = option(
        None,
        OUTPUT,
        "One page with the numbers, curves, and the best and worst clips playing.",
        metavar="FILE.html",
    ),
    vbench: Path | None = option(
        None,
        OUTPUT,
        "The measured VBench-I2V dimensions in VBench's own format.",
        metavar="FILE.json",
    ),
    compare: tuple[Path, Path] | None = option(
        None,
        INPUT,
        "Compare two results of the same clips and protocol, clip by clip.",
        metavar="A.json B.json",
    ),
    study: Path | None = option(
        None,
        OUTPUT,
        "Write a page that asks people which of two videos is better; give two GENERATED or more.",
        metavar="DIR",
    ),
    question: str | None = option(None, OUTPUT, "The question of --study.", metavar="TEXT"),
    study_results: bool = option(
        False,
        INPUT,
        "Analyse answers: fbridge eval --study-results --study DIR answers*.json",
        "--study-results",
    ),
    list_all: bool = option(False, OUTPUT, "All metrics and protocols.", "--list"),
    json: Json = False,
) -> None:
    """Measure generated videos, every number with its protocol, interval and baselines.

    Example:
        fbridge eval --metric fvd

        fbridge eval takes/ --reference real/ --metric fvd,psnr --report report.html

        fbridge eval takes/ --reference real/ --metric fvd --json > a.json

        fbridge eval --compare a.json b.json

        fbridge eval old/ new/ --study study/

        fbridge eval --study study/ --study-results answers-*.json
    """
    process = this_process()
    ray = ray_options(
        engine, process, ray_address=ray_address, gpu_share=gpu_share, device=device,
        workers=workers,
    )  # fmt: skip
    if ray is not None and (list_all or study_results or compare or study):
        raise ConfigError("--engine ray: is for measuring videos; drop it")
    ui = Ui(machine=json, mute=not process.first)
    if list_all or study_results:
        with runtime.quiet():
            from fbridge_cli.evaluate_show import show_catalogue, show_study

            show_catalogue(ui) if list_all else show_study(_files(generated), study, ui)
        return
    check_device(device)
    tables = [_target("--out", text) for text in out or ()]
    page = None if report is None else _target("--report", report)
    _check_written(tables, page, vbench)
    sides = [place("GENERATED", text) for text in generated or ()]
    if question is not None and study is None:
        raise ConfigError("--question: is what --study asks; name its folder")
    if len(sides) > 1 and study is None:
        raise ConfigError(
            "several GENERATED are shown side by side by --study DIR; to measure, name one"
        )
    from fbridge.evaluation.protocol import find_protocol
    from fbridge.evaluation.request import EvalRequest

    settings = find_protocol(protocol).with_(
        frames=frames, stride=stride, size=parse_size(size), most=clips, seed=seed
    )
    with runtime.quiet():
        if compare is not None:
            from fbridge_cli.evaluate_show import show_comparison

            show_comparison(*compare, ui)
            return
        folder = None if pictures is None else home_expanded(pictures)
        if study is not None:
            from fbridge.evaluation.user_study import StudyRequest
            from fbridge_cli.evaluate_show import write_study

            wanted = StudyRequest(
                tuple(map(home_expanded, _files(generated))),
                settings,
                clips,
                question,
                folder,
                skip_bad,
                workers or 0,
            )
            write_study(wanted, study, ui)
            return
        request = EvalRequest(
            generated=sides[0] if sides else None,
            reference=None if reference is None else place("--reference", reference),
            metrics=tuple(
                name.strip() for text in metrics or () for name in text.split(",") if name.strip()
            ),
            protocol=settings,
            title=title,
            pictures=folder,
            baselines=baselines,
            skip_bad=skip_bad,
            workers=0 if ray is not None else workers or 0,
            cache=home_expanded(cache) if cache else None,
            device=device if ray is None else "cpu",
            codec=codec or "",
            make=clips,
            offline=offline,
            ray=ray,
        )
        use_weights(weights or [])
        from fbridge.evaluation.remote_sides import RemoteSides

        with ExitStack() as stack:
            remote = RemoteSides(stack)
            evaluation = _run(request, workers, ui, process, remote)
            if process.first:
                from fbridge_cli.evaluate_show import show_evaluation

                show_evaluation(
                    evaluation, ui, out=tables, report=page, vbench=vbench, here=remote.here
                )


def _run(
    request: EvalRequest, workers: int | None, ui: Ui, process: Process, remote: RemoteSides
) -> Evaluation:
    """The result; workers and cache get their defaults, the device is looked for."""
    from fbridge.evaluation.features.cache import usual_cache
    from fbridge.evaluation.result import Evaluation
    from fbridge.evaluation.run import evaluate as core
    from fbridge_cli.evaluate_show import show_event

    local = process.local if process.world > 1 else None
    device = runtime.present_device(request.device, local)
    if workers is None or request.ray is not None:
        workers = process.workers() if device == "cpu" else 1
    request = replace(request, device=device, workers=workers, cache=request.cache or usual_cache())
    with ui.progress(None, "clips") as bar:
        for event in core(request, share_of(process, device), remote):
            if isinstance(event, Evaluation):
                return event
            show_event(event, bar, ui)
    raise AssertionError("an evaluation ends with its result")


def _files(texts: list[str] | None) -> list[Path]:
    """Arguments that are files or folders of this machine."""
    for text in texts or ():
        check_no_url("GENERATED", text)
    return [Path(text) for text in texts or ()]


def _target(option: str, text: str) -> Path | StoreUrl:
    from fbridge.data.stores.url import parse_target

    return parse_target(text, option) or Path(text)


def _check_written(
    out: list[Path | StoreUrl], report: Path | StoreUrl | None, vbench: Path | None
) -> None:
    """Raise unless the files of the result have suffixes that are known, and can be written."""
    from fbridge.data.stores.texts import check_place

    for path in out:
        if suffix_of(path) not in TABLES:
            raise ConfigError(f"--out {shown(path)}: is written as {', '.join(TABLES)} by its end")
    if report is not None and suffix_of(report) not in (".html", ".htm"):
        raise ConfigError(f"--report {shown(report)}: must end in .html")
    named = [*(("--out", path) for path in out), ("--report", report), ("--vbench", vbench)]
    for name, written in named:
        if written is not None:
            check_place(written, name)


def suffix_of(place: Path | StoreUrl) -> str:
    """The end of a file's name, in lower case: ".json"."""
    return Path(place.name).suffix.lower()
