"""`fbridge prepare`: videos become a data set of latents."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import typer

from fbridge.checks import check_fps, check_range, home_expanded, parse_bytes, parse_percent
from fbridge.choices import CAPTIONLESS, CLIP_MODES, DECODERS, DTYPES, EMBEDDED, LAYOUTS
from fbridge.errors import ConfigError
from fbridge.files.atomic import check_writable
from fbridge_cli import options, runtime
from fbridge_cli.engines import ray_options
from fbridge_cli.options import INPUT, MEMORY, MODEL, OUTPUT, Device, DryRun, Json, option
from fbridge_cli.processes import Process, naming_errors, this_process
from fbridge_cli.ui import Ui
from fbridge_cli.urls import made_in, place

if TYPE_CHECKING:
    from fbridge.prepare import PrepareRequest
    from fbridge.prepare.run import Event

MOST_STRIDE = 100_000
_SHORT = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}


def prepare(
    context: typer.Context,
    source: str | None = typer.Argument(
        None,
        metavar="SOURCE",
        show_default=False,
        help="A folder of videos, or a list of them: .csv, .tsv, .jsonl, .parquet, .json or .tar; "
        "also a URL: s3://, gs://, az://, hf:// or https://.",
    ),
    out: str | None = option(
        None,
        OUTPUT,
        "The data set's folder, also a URL; a finished one is added to, an unfinished one "
        "continued.",
        "--out",
        "-o",
        metavar="DIR",
    ),
    layout: str | None = option(
        None,
        INPUT,
        f"How SOURCE is laid out: {', '.join(LAYOUTS)}; detected by default.",
        metavar="NAME",
        known=LAYOUTS,
    ),
    media_root: str | None = option(
        None,
        INPUT,
        "Folder with the videos of a list, also a URL; by default the list's.",
        metavar="DIR",
    ),
    frames: str | None = option(
        None,
        INPUT,
        "Frames of a clip; of several lengths, 16,32, a file gets the longest that fits "
        "\\[default: 16]",
        metavar="N",
    ),
    stride: int | None = option(None, INPUT, "Take every N-th frame \\[default: 1]", metavar="N"),
    fps: float | None = option(
        None, INPUT, "Take R frames per second by their times; not with --stride.", metavar="R"
    ),
    size: str | None = option(
        None,
        INPUT,
        "Frames are resized to cover it and cropped from the middle \\[default: 256x256]",
        metavar="WxH",
    ),
    buckets: str | None = option(
        None,
        INPUT,
        "auto: the usual aspect ratios at about the area of --size; or shapes such as "
        "512x320x16,320x512x16 (width, height, frames). A file goes where the least is cropped.",
        metavar="SPEC",
        known=("auto",),
    ),
    clips: str = option(
        "head",
        INPUT,
        "Clips of a file: head, middle, uniform:K (K of them), slide:STEP (one every STEP frames).",
        metavar="WHICH",
        known=CLIP_MODES,
    ),
    min_seconds: float = option(0.0, INPUT, "Drop shorter files.", metavar="S", show_default=False),
    drop_still: bool = option(False, INPUT, "Drop clips in which nothing moves.", "--drop-still"),
    drop_cuts: bool = option(False, INPUT, "Drop clips across a scene cut.", "--drop-cuts"),
    drop_duplicates: bool = option(
        False, INPUT, "Drop clips that equal an earlier one.", "--drop-duplicates"
    ),
    no_caption: str = option(
        "keep",
        INPUT,
        "Videos without a caption: keep them as unconditional ones, or drop them.",
        metavar="keep|drop",
        known=CAPTIONLESS,
    ),
    caption_prefix: str = option(
        "", INPUT, "Text put before every caption.", metavar="TEXT", show_default=False
    ),
    codec: str = option(
        EMBEDDED,
        MODEL,
        f"{EMBEDDED}, or a diffusers VAE: its folder or hub id.",
        metavar="NAME",
        known=(EMBEDDED,),
    ),
    text_encoder: str | None = option(
        None, MODEL, "By default the one of the codec's pipeline, else MiniLM.", metavar="NAME"
    ),
    dtype: str = option("float16", OUTPUT, f"Stored numbers: {', '.join(DTYPES)}.", known=DTYPES),
    batch_size: int = option(4, MEMORY, "Clips encoded at the same time by a video VAE."),
    shard_size: int = option(64, OUTPUT, "Clips in a file; a killed run repeats at most these."),
    device: Device = "auto",
    decoder: str = option("pyav", INPUT, f"What decodes: {' or '.join(DECODERS)}.", known=DECODERS),
    workers: int | None = option(
        None,
        MEMORY,
        "Decoding processes; by default one a core, at most 8, and with ray one for every CPU.",
        metavar="N",
    ),
    engine: options.Engine = "local",
    ray_address: options.RayAddress = None,
    gpu_share: options.GpuShare = None,
    cache_size: str = option(
        "10GB",
        MEMORY,
        "Local copies of videos behind URLs, besides those that are worked on.",
        metavar="SIZE",
    ),
    time_limit: float = option(
        120.0, INPUT, "Give up a file after so much time.", metavar="SECONDS"
    ),
    max_bad: str = option(
        "1%",
        INPUT,
        "Files that may be rejected before it is an error (exit code 3); 100% accepts any.",
        metavar="PERCENT",
    ),
    verify: str | None = option(
        None,
        INPUT,
        "Instead of preparing, hash a finished data set again, also of a URL, and list what is "
        "damaged.",
        metavar="DIR",
    ),
    preview: bool = option(
        False, OUTPUT, "Write DIR/preview: a contact sheet and a clip a bucket.", "--preview"
    ),
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Turn a collection of videos into a data set of latents to train on.

    Run the same line again to continue after an interruption, or to add new videos.

    Example:
        fbridge prepare videos/ -o latents/

        fbridge prepare videos/ -o latents/ --fps 8 --clips uniform:4 --dry-run

        fbridge prepare list.csv -o latents/ --buckets auto --preview

        fbridge prepare s3://bucket/videos -o latents/

        fbridge prepare --verify latents/
    """
    ui, process = Ui(machine=json), this_process()
    # Read once, when torch is loaded: threads that spin while they wait slow the decoders down.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with naming_errors(process), runtime.quiet():
        if verify is not None:
            _check_alone(context)
            if process.first:
                from fbridge_cli.prepare_show import verify_data_set

                verify_data_set(place("--verify", verify), ui)
            return
        if source is None:
            raise ConfigError("no SOURCE given; name a folder of videos, a list or a .tar")
        if out is None:
            raise ConfigError("no -o given; name the data set's folder: -o latents/")
        if not out.strip():
            raise ConfigError("-o: is empty; name a folder")
        if preview and dry_run:
            raise ConfigError("--preview shows what --dry-run does not make; drop one of them")
        if fps is not None and stride is not None:
            raise ConfigError(f"--fps {fps:g} and --stride {stride} contradict; drop one of them")
        check_fps(fps)
        check_range("--stride", stride, 1, MOST_STRIDE)
        ray = ray_options(
            engine, process, ray_address=ray_address, gpu_share=gpu_share, workers=workers,
            device=device,
        )  # fmt: skip
        with ui.waiting("getting ready"):
            from fbridge.data.stores.url import parse_target
            from fbridge.data.video.buckets import parse_shapes
            from fbridge.data.video.clip_sampling import ClipSampling
            from fbridge.prepare import PrepareRequest, Rank

            store = parse_target(out, "-o")
            if store is not None and preview:
                raise ConfigError("--preview: needs a folder on this machine; drop it, or name one")
            request = PrepareRequest(
                source=place("SOURCE", source),
                out=home_expanded(out) if store is None else made_in(store),
                cutting=ClipSampling(
                    parse_shapes(buckets, size, frames),
                    stride=1 if stride is None else stride,
                    fps=fps,
                    mode=clips.strip().lower(),
                    min_seconds=min_seconds,
                    drop_still=drop_still,
                    drop_cuts=drop_cuts,
                    drop_duplicates=drop_duplicates,
                    decoder=decoder,
                ),
                layout=layout,
                media_root=None if media_root is None else place("--media-root", media_root),
                codec=str(home_expanded(codec)) if home_expanded(codec).exists() else codec,
                text_encoder=text_encoder,
                captionless=no_caption,
                prefix=caption_prefix,
                dtype=_SHORT.get(dtype.lower(), dtype),
                shard_rows=shard_size,
                batch_size=batch_size,
                workers=process.workers() if ray or workers is None else workers,
                time_limit=time_limit,
                max_bad=parse_percent("--max-bad", max_bad),
                device="cpu" if ray else device,
                rank=Rank(process.number, process.world),
                ray=ray,
                cache_size=parse_bytes("--cache-size", cache_size),
                store=store,
            )
            request.check_paths()
            check_writable(request.out)
            local = process.local if process.world > 1 else None
            request = replace(request, device=runtime.present_device(request.device, local))
        _run(request, ui, process, dry_run=dry_run, preview=preview)


def _run(
    request: PrepareRequest, ui: Ui, process: Process, *, dry_run: bool, preview: bool
) -> None:
    from fbridge import prepare as core
    from fbridge.prepare.summary import check_clips, check_rejected
    from fbridge_cli.prepare_show import Report

    with Report(request, ui, process) as report:
        with closing(cast("Generator[Event]", core.prepare(request, dry_run=dry_run))) as events:
            for event in events:
                report.show(event)
                if report.tally is not None and not dry_run:
                    check_clips(report.tally, request.source)
        if preview and process.first:
            from fbridge.prepare.preview import write_preview

            with ui.waiting("drawing the preview"):
                report.preview = write_preview(request)
            report.show_preview()
        if report.index is not None and report.tally is not None:
            check_rejected(request.target, report.index, report.tally, request.max_bad)


def _check_alone(context: typer.Context) -> None:
    """Raise ConfigError when --verify was given together with another option than --json."""
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if name in {"verify", "json"} or source is None or source.name != "COMMANDLINE":
            continue
        word = "SOURCE" if name == "source" else f"--{name.replace('_', '-')}"
        raise ConfigError(f"--verify checks what was prepared; drop {word}, or drop --verify")
