"""`fbridge generate`: arguments to a `GenerateRequest`, whose events are shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from fbridge.choices import EMBEDDED, FIRST_FRAMES, FORMATS, GRIDS, SAMPLERS, STARTS
from fbridge.errors import FBridgeError
from fbridge.files.atomic import shown
from fbridge_cli import options, runtime
from fbridge_cli.engines import ray_options
from fbridge_cli.exit_codes import Stopped, interrupt_code
from fbridge_cli.options import INPUT, MEMORY, MODEL, OUTPUT, SAMPLING, option
from fbridge_cli.processes import this_process
from fbridge_cli.ui import Ui

if TYPE_CHECKING:
    from fbridge.data.stores.url import StoreUrl
    from fbridge.generate import Finished, GenerateRequest, Item, Progress
    from fbridge_cli.progress import Bar


def generate(
    images: list[str] | None = typer.Argument(
        None,
        metavar="IMAGE",
        show_default=False,
        help="Pictures, folders of pictures, or .csv/.jsonl lists with the columns image, "
        "prompt, negative, seed (a list names pictures relative to itself); also URLs, and URLs "
        "in lists.",
    ),
    prompt: list[str] | None = option(
        None, INPUT, "What shall happen; repeat for more videos.", "--prompt", "-p", metavar="TEXT"
    ),
    negative: str = option(
        "",
        INPUT,
        "What shall not happen; has no effect at guidance 1, so add --guidance 2.",
        metavar="TEXT",
        show_default=False,
    ),
    seed: list[int] | None = option(
        None, INPUT, "Random seed; the same seed gives the same video \\[default: 0]"
    ),
    num: int = option(1, INPUT, "Videos of each picture and prompt, counting up from the seed."),
    replay: Path | None = option(
        None,
        INPUT,
        "Make this video once more, from the record that it carries.",
        "--from",
        metavar="VIDEO",
    ),
    model: str | None = option(
        None,
        MODEL,
        f"{EMBEDDED} (the default), a folder, also s3://bucket/run, a hub id, or a text-to-video "
        "base, untrained.",
        known=[EMBEDDED],
    ),
    frames: int | None = option(
        None, SAMPLING, "Number of frames; the embedded model makes 2 to 96 \\[default: 32]"
    ),
    size: str | None = option(
        None,
        SAMPLING,
        "Such as 512x320; else as near the picture's as the model makes.",
        metavar="WxH",
    ),
    steps: int | None = option(None, SAMPLING, "Sampling steps; else the model's."),
    sampler: str | None = option(
        None, SAMPLING, f"{', '.join(SAMPLERS)}; else the model's.", known=SAMPLERS
    ),
    eta: float | None = option(
        None, SAMPLING, "Share of fresh noise, from 0 to 1, for --sampler dbim."
    ),
    grid: str | None = option(
        None,
        SAMPLING,
        f"Where the steps lie in time: {', '.join(GRIDS)}; else the model's.",
        known=GRIDS,
    ),
    time_shift: float | None = option(
        None,
        SAMPLING,
        "Moves the steps: above 1 towards the picture, below 1 towards the video; else the "
        "model's, which is 1 unless it was given another.",
    ),
    start: str | None = option(
        None,
        SAMPLING,
        f"How the bridge starts: {', '.join(STARTS)}; else the model's.",
        known=STARTS,
    ),
    strength: float | None = option(
        None,
        SAMPLING,
        "Share of the bridge that is sampled, from 0.01 to 1; less moves less; else the model's.",
    ),
    image_input: options.ImageInput = None,
    first_frame: str | None = option(
        None,
        SAMPLING,
        "exact: its latent is the picture's; free: the network's estimate; else exact where the "
        "codec allows it.",
        known=FIRST_FRAMES,
    ),
    guidance: float | None = option(
        None,
        SAMPLING,
        "Weight of the prompt; 1 is none (and --negative has no effect); else the model's.",
    ),
    guidance_2: float | None = option(
        None,
        SAMPLING,
        "Weight of the prompt for the second of two networks (Wan 2.2 A14B), that for little "
        "noise; else as --guidance, else the model's.",
    ),
    image_guidance: float | None = option(
        None, SAMPLING, "Weight of the picture; 1 is none; else the model's."
    ),
    lora: options.Lora = None,
    components: options.Components = None,
    expert: options.ExpertOrBoth = None,
    base: options.Base = None,
    download: options.Download = False,
    offload: options.Offload = "none",
    quantize: options.Quantize = "none",
    cast: options.Cast = "none",
    attention: options.Attention = None,
    vae_tiling: options.VaeTiling = False,
    vae_slicing: options.VaeSlicing = False,
    cache: options.StepCache = "none",
    device: options.Device = "auto",
    dtype: options.Dtype = "float32",
    batch_size: int = option(1, MEMORY, "Videos made at the same time."),
    engine: options.Engine = "local",
    ray_address: options.RayAddress = None,
    gpu_share: options.GpuShare = None,
    out: str | None = option(
        None,
        OUTPUT,
        "A file such as jump.mp4, or a folder, also s3://bucket/videos/; else here, under the "
        "picture's name.",
        "--out",
        "-o",
        metavar="PATH",
    ),
    kind: str | None = option(
        None,
        OUTPUT,
        "mp4 (the default), gif, webp, or png: a folder of frames.",
        "--format",
        known=FORMATS,
    ),
    fps: float | None = option(None, OUTPUT, "Frames per second; else the model's."),
    overwrite: bool = option(False, OUTPUT, "Replace videos that exist.", "--overwrite"),
    resume: bool = option(
        False,
        OUTPUT,
        "Keep videos that are there, if their records say that this line makes the same.",
        "--resume",
    ),
    no_metadata: bool = option(
        False,
        OUTPUT,
        "Leave out the record: inside the video, and the .json beside it.",
        "--no-metadata",
    ),
    dry_run: options.DryRun = False,
    json: options.Json = False,
) -> None:
    """Make videos from pictures and a prompt.

    Example:
        fbridge generate cat.jpg -p "cat jumping"

        fbridge generate cat.jpg -p "zoom in" --num 4 -o videos/

        fbridge generate --from cat.mp4 -o again.mp4
    """
    ui = Ui(machine=json)
    finished: dict[Path, Finished | None] = {}
    with _saying_what_is_finished(finished, ui), runtime.quiet():
        from fbridge.checks import parse_size
        from fbridge.generate import GenerateRequest
        from fbridge.memory.options import MemoryOptions

        memory: dict[str, Any] = {
            "offload": offload, "quantize": quantize, "cast": cast, "attention": attention,
            "tiling": vae_tiling, "slicing": vae_slicing, "cache": cache,
        }  # fmt: skip
        ray = ray_options(
            engine, this_process(), ray_address=ray_address, gpu_share=gpu_share, device=device
        )
        request = GenerateRequest(
            images=[_place(text) for text in images or ()],
            prompt=prompt or (), negative=negative, seed=seed or 0, num=num,
            replay=replay, model=model, frames=frames, fps=fps, size=parse_size(size),
            steps=steps, sampler=sampler, eta=eta, grid=grid, time_shift=time_shift,
            start=start, strength=strength,
            components=components, base=base, loras=lora or (), download=download,
            memory=MemoryOptions(**memory), image_input=image_input, first_frame=first_frame,
            expert=expert,
            guidance_2=guidance_2,
            guidance=guidance, image_guidance=image_guidance, device=device, dtype=dtype,
            batch_size=batch_size, out=out, format=kind, overwrite=overwrite, resume=resume,
            metadata=not no_metadata, dry_run=dry_run, ray=ray,
        )  # fmt: skip
        _perform(request, finished, ui)


def _place(image: str) -> Path | StoreUrl:
    """A picture, folder or list; a path is taken as it is, since the shell has expanded it."""
    from fbridge.checks import is_url

    if not is_url(image):
        return Path(image)
    from fbridge_cli.urls import place

    return place("IMAGE", image)


def _perform(request: GenerateRequest, finished: dict[Path, Finished | None], ui: Ui) -> None:
    """Run a request and show its events; `finished` gets the videos, in the order of the plan."""
    from fbridge.generate import Finished, Loading, Planned, Reading, Warned, run

    bar: Bar | None = None

    def show_progress(progress: Progress) -> None:
        if bar is not None:
            bar.show(progress.what, progress.done)

    with (
        ExitStack() as shown_now,
        ExitStack() as to_the_end,
        closing(run(request, on_progress=show_progress)) as events,
    ):
        for event in events:
            if isinstance(event, Finished):
                _show_finished(event, finished, ui)
                continue
            shown_now.close()  # the spinner of the event before
            if isinstance(event, Reading):
                shown_now.enter_context(ui.waiting("reading pictures"))
            elif isinstance(event, Loading):
                shown_now.enter_context(runtime.loading())
                runtime.silence_libraries(unless=event.plain)
                shown_now.enter_context(ui.waiting(f"loading model {event.model}"))
            elif isinstance(event, Planned):
                if request.dry_run:
                    _show_plan(event.items, ui)
                    return
                finished |= dict.fromkeys(item.video for item in event.items)
                bar = to_the_end.enter_context(ui.progress(event.steps))
            else:
                (ui.warn if isinstance(event, Warned) else ui.note)(event.text)
    if ui.machine:
        ui.json(_results(finished))


def _show_finished(video: Finished, finished: dict[Path, Finished | None], ui: Ui) -> None:
    finished[video.video] = video
    if not video.kept:
        ui.result(_line(video))


def _show_plan(items: Sequence[Item], ui: Ui) -> None:
    if ui.machine:
        ui.json({"videos": [item.tree() for item in items]})
        return
    rows = [
        (shown(item.url or item.video), item.fitting, item.job.prompt, str(item.job.seed))
        for item in items
    ]
    ui.table(("video", "picture", "prompt", "seed"), rows)
    record = items[0].record
    ui.note(
        f"model {record.model.name} ({record.model.hash[:12]}) on {record.machine.device} "
        f"in {record.machine.dtype}; {record.frames} frames at {record.fps:g} fps; "
        f"sampler {record.sampler}, {record.steps} steps; nothing was made (--dry-run)"
    )


@contextmanager
def _saying_what_is_finished(finished: Mapping[Path, Finished | None], ui: Ui) -> Iterator[None]:
    """On an interrupt or an error, report the videos that are finished."""
    try:
        yield
    except (KeyboardInterrupt, FBridgeError) as error:
        made = [video.place for video in finished.values() if video is not None]
        names = ", ".join(map(shown, made[-3:]))
        more = "..., " if len(made) > 3 else ""
        done = f"finished before: {more}{names}" if made else "nothing was made"
        if ui.machine and made:
            ui.json(_results(finished))
        if isinstance(error, FBridgeError):
            if made:
                ui.note(done)
            raise
        raise Stopped(f"interrupted; {done}", interrupt_code(error)) from None


def _line(video: Finished) -> str:
    record = video.record
    return (
        f"{shown(video.place)}: {record.frames} frames at {record.fps:g} fps, seed {record.seed}; "
        f"{video.fitting}; {video.seconds:.1f} s"
    )


def _results(finished: Mapping[Path, Finished | None]) -> dict[str, object]:
    return {"videos": [video.tree() for video in finished.values() if video is not None]}
