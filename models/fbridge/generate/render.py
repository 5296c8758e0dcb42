"""Render the plan batch by batch and write each video."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from PIL import Image

from fbridge.choices import GridKind, Start
from fbridge.data.pictures import fit_picture, open_picture
from fbridge.data.provenance import sidecar_path
from fbridge.data.video_files import write_video
from fbridge.errors import DataError, DependencyError
from fbridge.files.atomic import shown, write_text
from fbridge.generate.events import Finished, Item, OnProgress, Progress
from fbridge.generate.naming import check_free

if TYPE_CHECKING:
    from fbridge.pipeline.sampling import BridgeOutput, BridgeSampling


def render(
    items: Sequence[Item],
    pipeline: BridgeSampling,
    *,
    batch_size: int,
    metadata: bool,
    overwrite: bool,
    on_progress: OnProgress,
) -> Generator[Finished]:
    """Make the videos, yielding each as soon as it is whole on the disk.

    Raises:
        ConfigError: another program has meanwhile made a file of a video's name.
    """
    done = 0
    for batch in _batches(items, batch_size):
        _check_still_free(batch, metadata=metadata, overwrite=overwrite)
        started = time.monotonic()
        videos = _run(batch, pipeline, on_progress, done)
        done += len(batch) * batch[0].record.steps
        for item, frames in zip(batch, videos.frames, strict=True):
            on_progress(Progress(f"writing {shown(item.video.name)}", done))
            record = replace(item.record, machine=replace(item.record.machine, batch=len(batch)))
            comment = record.comment() if metadata else None
            write_video(frames, item.video, record.fps, comment=comment, overwrite=overwrite)
            sidecar = sidecar_path(item.video) if metadata else None
            if sidecar is not None:
                write_text(sidecar, record.sidecar(), overwrite=overwrite)
            seconds = (time.monotonic() - started) / len(batch)
            yield Finished(item.video, sidecar, item.fitting, seconds, record)


def _check_still_free(batch: Sequence[Item], *, metadata: bool, overwrite: bool) -> None:
    """Before the work of a batch: its names may have been taken since the plan was made."""
    if not overwrite:
        videos = [item.video for item in batch]
        check_free(videos, (), overwrite=False, metadata=metadata)


def _batches(items: Sequence[Item], batch_size: int) -> Iterator[Sequence[Item]]:
    """Consecutive videos of one size, at most `batch_size` together."""
    start = 0
    for end in range(1, len(items) + 1):
        full = end - start == batch_size
        if end == len(items) or full or items[end].record.size != items[start].record.size:
            yield items[start:end]
            start = end


def _run(
    batch: Sequence[Item], pipeline: BridgeSampling, on_progress: OnProgress, before: int
) -> BridgeOutput:
    record = batch[0].record
    more = f" and {len(batch) - 1} more" if len(batch) > 1 else ""
    label = f"{shown(batch[0].video.name)}{more}"
    on_progress(Progress(label, before))

    def stepped(step: int, total: int) -> None:
        on_progress(Progress(label, before + len(batch) * record.steps * step // max(total, 1)))

    try:
        return pipeline(
            image=[_fitted(item) for item in batch],
            prompt=[item.job.prompt for item in batch],
            negative_prompt=[item.job.negative for item in batch],
            seed=[item.job.seed for item in batch],
            num_frames=record.frames,
            size=record.size,
            num_inference_steps=record.steps,
            sampler=record.sampler,
            eta=record.eta,
            grid=cast(GridKind, record.grid),
            start=cast(Start, record.start),
            strength=record.strength,
            guidance_scale=record.guidance,
            image_guidance_scale=record.image_guidance,
            callback=stepped,
        )
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        raise DependencyError(
            f"{label}: not enough memory on {record.machine.device} for {len(batch)} x "
            f"{record.frames} frames of {record.size[0]}x{record.size[1]}; "
            "use a smaller --size, --frames or --batch-size"
        ) from error


def _fitted(item: Item) -> Image.Image:
    picture = open_picture(item.job.picture)
    if picture.sha256 != item.record.picture.sha256:
        raise DataError(f"{shown(picture.path)}: was changed while this command ran; run it again")
    return fit_picture(picture.pixels, item.record.size).pixels


def _is_out_of_memory(error: BaseException) -> bool:
    texts = ("can't allocate memory", "not enough memory", "out of memory")
    return isinstance(error, MemoryError) or any(text in str(error).lower() for text in texts)
