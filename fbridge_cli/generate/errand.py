"""An order of `fbridge generate`, carried out: checked, planned, rendered, and told about.

All that can be checked without the model is checked before it is loaded, and nothing is written
before all is checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import cast

from fbridge.checks import parse_size
from fbridge.choices import EMBEDDED, Cast, Offload, Quantize
from fbridge.errors import ConfigError, FBridgeError
from fbridge.files.atomic import check_writable, shown
from fbridge.generate.jobs import Job, Words, gather_jobs
from fbridge.generate.naming import check_free, name_videos, parse_target
from fbridge.generate.plan import (
    Item,
    check_negative,
    check_speed,
    make_plan,
    show_plan,
    survey,
)
from fbridge.generate.render import Finished, render
from fbridge.generate.replay import Replay, read_replay, replay_target
from fbridge.generate.request import Settings
from fbridge.memory.options import MemoryOptions
from fbridge_cli import runtime
from fbridge_cli.exit_codes import Stopped, interrupt_code
from fbridge_cli.ui import Ui


@dataclass(frozen=True)
class Order:
    """What the user typed after `fbridge generate`, unchecked."""

    images: list[Path] | None = None
    prompt: list[str] | None = None
    negative: str = ""
    seed: list[int] | None = None
    num: int = 1
    again: Path | None = None
    model: str | None = None
    frames: int | None = None
    fps: float | None = None
    size: str | None = None
    steps: int | None = None
    sampler: str | None = None
    eta: float | None = None
    grid: str | None = None
    start: str | None = None
    strength: float | None = None
    components: str | None = None
    download: bool = False
    offload: str = "none"
    quantize: str = "none"
    cast: str = "none"
    attention: str | None = None
    vae_tiling: bool = False
    vae_slicing: bool = False
    guidance: float | None = None
    image_guidance: float | None = None
    device: str = "auto"
    dtype: str = "float32"
    batch_size: int = 1
    out: str | None = None
    kind: str | None = None
    overwrite: bool = False
    no_metadata: bool = False
    dry_run: bool = False

    def settings(self) -> Settings:
        """How to make the videos, checked."""
        settings = Settings(
            model=EMBEDDED if self.model is None else self.model,
            device=self.device,
            dtype=self.dtype,
            batch_size=self.batch_size,
            frames=self.frames,
            fps=self.fps,
            size=parse_size(self.size),
            steps=self.steps,
            sampler=self.sampler,
            eta=self.eta,
            grid=self.grid,
            start=self.start,
            strength=self.strength,
            components=self.components,
            download=self.download,
            memory=MemoryOptions(
                cast(Offload, self.offload),
                cast(Quantize, self.quantize),
                cast(Cast, self.cast),
                self.attention,
                self.vae_tiling,
                self.vae_slicing,
            ),
            guidance=self.guidance,
            image_guidance=self.image_guidance,
        )
        settings.check()
        return settings

    def words(self) -> Words:
        """What to make, where no list says it."""
        return Words(self.prompt or (), self.negative, self.seed or (0,), self.num)


_WITH_FROM = {"images", "again", "model", "device", "out", "kind"}
_WITH_FROM |= {"overwrite", "no_metadata", "dry_run"}


@dataclass(frozen=True)
class _Task:
    """An order understood: these jobs, under these names, so."""

    jobs: Sequence[Job]
    videos: Sequence[Path]
    settings: Settings
    replay: Replay | None


def carry_out(order: Order, ui: Ui) -> None:
    """Do what the user asks.

    Raises:
        FBridgeError: for every mistake that is the user's to mend.
        Stopped: when the user stops it, saying what was finished.
    """
    finished: list[Finished] = []
    with _telling(finished, ui), runtime.quiet():
        task = _understand(order)
        items, loaded = _plan(task, order, ui)
        if order.dry_run:
            show_plan(items, ui)
            return
        work = render(
            items,
            loaded.pipeline,
            ui,
            batch_size=task.settings.batch_size,
            metadata=not order.no_metadata,
        )
        with closing(work):
            for video in work:
                finished.append(video)
                ui.result(_line(video))
        if ui.machine:
            ui.json(_results(finished))


def _understand(order: Order) -> _Task:
    target = parse_target(order.out, order.kind)
    if order.again is None:
        settings = order.settings()
        check_speed(target.kind, settings.fps)
        jobs = gather_jobs(order.images or [], order.words())
        check_negative(jobs, settings.guidance)
        return _Task(jobs, name_videos([job.picture for job in jobs], target), settings, None)
    for field in fields(order):
        if field.name not in _WITH_FROM and getattr(order, field.name) != field.default:
            raise ConfigError(
                f"--from makes the recorded video; drop --{field.name.replace('_', '-')}, "
                "or drop --from"
            )
    replay = read_replay(order.again, order.images or [], model=order.model, device=order.device)
    target = replay_target(order.again, target, named=order.out is not None, kind=order.kind)
    return _Task([replay.job], name_videos([replay.job.picture], target), replay.settings, replay)


def _plan(task: _Task, order: Order, ui: Ui) -> tuple[list[Item], runtime.Loaded]:
    pictures = [job.picture for job in task.jobs]
    with ui.waiting("reading pictures"):
        seen = survey(pictures)
    check_free(
        task.videos,
        [*pictures, *(order.images or []), *([order.again] if order.again else [])],
        overwrite=order.overwrite,
        metadata=not order.no_metadata,
    )
    for folder in {video.parent for video in task.videos}:
        check_writable(folder)
    with ui.waiting(f"loading model {task.settings.model}"):
        loaded = runtime.load_pipeline(
            task.settings.model,
            device=task.settings.device,
            dtype=task.settings.dtype,
            threads=task.replay.record.machine.threads if task.replay else None,
            components=task.settings.components,
            download=task.settings.download,
            memory=task.settings.memory,
        )
    items = make_plan(task.jobs, task.videos, seen, task.settings, loaded)
    check_speed(_kind(task.videos[0]), items[0].record.fps)
    if task.replay is None:
        check_negative(task.jobs, items[0].record.guidance)
    else:
        task.replay.check(loaded, items[0])
        task.replay.warn(items[0], ui)
    if loaded.pipeline.notice:
        ui.note(f"{task.settings.model} {loaded.pipeline.notice}")
    return items, loaded


@contextmanager
def _telling(finished: list[Finished], ui: Ui) -> Iterator[None]:
    """When it ends before its time, say what was finished."""
    try:
        yield
    except (KeyboardInterrupt, FBridgeError) as error:
        names = ", ".join(shown(video.video) for video in finished[-3:])
        more = "..., " if len(finished) > 3 else ""
        done = f"finished before: {more}{names}" if finished else "nothing was made"
        if ui.machine and finished:
            ui.json(_results(finished))
        if isinstance(error, FBridgeError):
            if finished:
                ui.note(done)
            raise
        raise Stopped(f"interrupted; {done}", interrupt_code(error)) from None


def _line(video: Finished) -> str:
    record = video.record
    return (
        f"{shown(video.video)}: {record.frames} frames at {record.fps:g} fps, seed {record.seed}; "
        f"{video.fitting}; {video.seconds:.1f} s"
    )


def _results(finished: Sequence[Finished]) -> dict[str, object]:
    return {"videos": [video.tree() for video in finished]}


def _kind(video: Path) -> str:
    return video.suffix.lower().removeprefix(".") or "png"
