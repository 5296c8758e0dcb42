"""Perform a `GenerateRequest`: check, plan, render.

Whatever can be checked without the model is checked before it is loaded, and nothing is written
before everything is checked.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

from fbridge.data.provenance import Provenance
from fbridge.errors import ConfigError
from fbridge.files.atomic import check_writable, shown
from fbridge.generate.engine import open_engine
from fbridge.generate.events import Event, Item, Noted, OnProgress, Planned, Reading
from fbridge.generate.jobs import LISTS, gather_jobs
from fbridge.generate.load import Loaded
from fbridge.generate.naming import check_free, name_videos, parse_target
from fbridge.generate.plan import PlanTask, fit_kept, read_pictures
from fbridge.generate.render import Rendering, batches
from fbridge.generate.replay import read_replay
from fbridge.generate.request import GenerateRequest, Job, check_negative
from fbridge.generate.resume import keep_present, read_present


def run(
    request: GenerateRequest,
    *,
    loaded: Loaded | None = None,
    on_progress: OnProgress | None = None,
    present: Mapping[Path, Provenance] | None = None,
) -> Generator[Event]:
    """Perform a request; each video is whole on the disk when its `Finished` is yielded.

    Args:
        request: what to make.
        loaded: the request's model, where it is loaded already.
        on_progress: called after each sampling step.
        present: with `--resume`, records of the videos that are there; read from them if None.

    Raises:
        FBridgeError: an input, the model or the machine does not allow what the request asks.
    """
    replay = None if request.replay is None else read_replay(request)
    inputs = [*request.files, *([request.replay] if request.replay else [])]
    if replay is not None:
        request = replay.request
    jobs = gather_jobs(request)
    _check_several(request, jobs)
    if replay is None:
        check_negative(jobs, request.guidance)
    videos = videos_of(jobs, request)
    yield Reading()
    sources = [job.picture for job in jobs]
    pictures = read_pictures(sources)
    if present is None:
        present = read_present(videos) if request.resume else {}
    free = [video for video in videos if video not in present]
    check_free(free, [*sources, *inputs], overwrite=request.overwrite, metadata=request.metadata)
    for folder in {video.parent for video in videos}:
        check_writable(folder)
    with open_engine(request, loaded, jobs) as engine:
        items: Sequence[Item] = ()
        for event in engine.plan(PlanTask(request, jobs, videos, pictures, replay)):
            items = event.items if isinstance(event, Planned) else items
            yield event
        if request.dry_run:
            return
        kept = keep_present(batches(items, request.batch_size), present)
        if kept:
            yield Noted(f"{len(kept)} of {len(items)} videos are there and stay (--resume)")
        yield from kept
        rendering = Rendering(
            items,
            fitted=fit_kept(pictures, items),
            present=frozenset(present),
            batch_size=request.batch_size,
            metadata=request.metadata,
            overwrite=request.overwrite,
            on_progress=on_progress or (lambda _: None),
        )
        del pictures  # a large one takes memory
        yield from engine.render(rendering)


def _check_several(request: GenerateRequest, jobs: Sequence[Job]) -> None:
    """Raise ConfigError when a cluster is asked for one picture's video."""
    one = request.files[0] if len(request.images) == len(request.files) == 1 else None
    if request.ray is None or len(jobs) > 1 or one is None:
        return
    if one.suffix.lower() not in LISTS and not one.is_dir():
        raise ConfigError(
            f"--engine ray: shares out many videos, and {shown(one)} is one picture; drop it, or "
            "name a .csv or .jsonl list or a folder"
        )


def videos_of(jobs: Sequence[Job], request: GenerateRequest) -> list[Path]:
    """The file of each job's video."""
    target = parse_target(request.out, request.format)
    names = iter(name_videos([job.picture for job in jobs if job.video is None], target))
    return [job.video or next(names) for job in jobs]
