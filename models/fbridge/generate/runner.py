"""Perform a `GenerateRequest`: check, plan, render.

Whatever can be checked without the model is checked before it is loaded, and nothing is written
before everything is checked.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

from fbridge.files.atomic import check_writable
from fbridge.generate import load
from fbridge.generate.events import (
    Event,
    Item,
    Loading,
    Noted,
    OnProgress,
    Planned,
    Reading,
    Warned,
)
from fbridge.generate.jobs import gather_jobs
from fbridge.generate.load import Loaded
from fbridge.generate.naming import check_free, name_videos, parse_target
from fbridge.generate.plan import MOST_SHOWN, fit_kept, make_plan, read_pictures
from fbridge.generate.render import render
from fbridge.generate.replay import read_replay
from fbridge.generate.request import GenerateRequest, Job, check_negative, check_speed


def run(
    request: GenerateRequest, *, loaded: Loaded | None = None, on_progress: OnProgress | None = None
) -> Generator[Event]:
    """Perform a request; each video is whole on the disk when its `Finished` is yielded.

    Args:
        request: what to make.
        loaded: the request's model, where it is loaded already.
        on_progress: called after each sampling step.

    Raises:
        FBridgeError: an input, the model or the machine does not allow what the request asks.
    """
    replay = None if request.replay is None else read_replay(request)
    inputs = [*request.files, *([request.replay] if request.replay else [])]
    if replay is not None:
        request = replay.request
    jobs = gather_jobs(request)
    if replay is None:
        check_negative(jobs, request.guidance)
    videos = videos_of(jobs, request)
    yield Reading()
    sources = [job.picture for job in jobs]
    pictures = read_pictures(sources)
    check_free(videos, [*sources, *inputs], overwrite=request.overwrite, metadata=request.metadata)
    for folder in {video.parent for video in videos}:
        check_writable(folder)
    if loaded is None:
        plain = load.is_plain(
            request.model_name,
            dtype=request.dtype,
            components=request.components,
            base=request.base,
            memory=request.memory,
        )
        yield Loading(request.model_name, plain)
        loaded = load.load_pipeline(
            request.model_name,
            device=request.device,
            dtype=request.dtype,
            threads=replay.record.machine.threads if replay else None,
            components=request.components,
            expert=request.expert,
            base=request.base,
            download=request.download,
            memory=request.memory,
            loras=request.loras if replay is None else replay.loras,
            local_files_only=replay is not None and replay.local_files_only,
        )
    items = make_plan(jobs, videos, pictures, request, loaded)
    first = items[0].record
    check_speed(videos[0].suffix.lower().removeprefix("."), first.fps)
    if replay is None:
        check_negative(jobs, first.guidance)
    elif differences := replay.compare(loaded, first):
        yield Warned(f"the video may differ in its last bits: {'; '.join(differences)}")
    if loaded.pipeline.notice:
        yield Noted(f"{request.model_name} {loaded.pipeline.notice}")
    if world := loaded.pipeline.world:
        yield Noted(
            f"{request.model_name} knows one world: {world}; a picture of anything else comes out "
            "as something of it, unless it was fine-tuned on such pictures"
        )
    yield from map(Noted, loaded.pipeline.lora_notes)
    yield from _told_of_prompts(items, loaded)
    yield Planned(items)
    if not request.dry_run:
        kept = fit_kept(pictures, items)
        del pictures  # a large one takes memory
        yield from render(
            items,
            loaded.pipeline,
            kept=kept,
            batch_size=request.batch_size,
            metadata=request.metadata,
            overwrite=request.overwrite,
            on_progress=on_progress or (lambda _: None),
        )


def _told_of_prompts(items: Sequence[Item], loaded: Loaded) -> Iterator[Warned]:
    """What is not read of the prompts, and what is shown otherwise than they say."""
    texts = dict.fromkeys(text for item in items for text in (item.job.prompt, item.job.negative))
    if unread := loaded.pipeline.describe_unread(list(texts)):
        yield Warned(unread)
    notes = list(dict.fromkeys(note for item in items for note in item.record.notes))
    yield from map(Warned, notes[:MOST_SHOWN])
    if more := len(notes[MOST_SHOWN:]):
        yield Warned(f"{more} more notes on prompts are in the records of the videos")


def videos_of(jobs: Sequence[Job], request: GenerateRequest) -> list[Path]:
    """The file of each job's video."""
    target = parse_target(request.out, request.format)
    names = iter(name_videos([job.picture for job in jobs if job.video is None], target))
    return [job.video or next(names) for job in jobs]
