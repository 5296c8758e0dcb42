"""The work itself: pictures in, videos out, batch by batch, each whole before the next."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fbridge.data.pictures import fit_picture, open_picture
from fbridge.data.provenance import Provenance, sidecar_path
from fbridge.data.video_files import write_video
from fbridge.errors import DataError, DependencyError
from fbridge.files.atomic import shown, write_text
from fbridge.generate.plan import Item
from fbridge_cli.progress import Bar
from fbridge_cli.runtime import Pipeline, Videos
from fbridge_cli.ui import Ui


@dataclass(frozen=True)
class Finished:
    """A video that lies whole on the disk.

    Attributes:
        seconds: spent on its batch, divided by the batch's videos.
    """

    video: Path
    sidecar: Path | None
    fitting: str
    seconds: float
    record: Provenance

    def tree(self) -> dict[str, Any]:
        """The result as JSON values."""
        return {
            "video": shown(self.video),
            "sidecar": None if self.sidecar is None else shown(self.sidecar),
            "fitting": self.fitting,
            "seconds": round(self.seconds, 3),
            **self.record.tree(),
        }


def render(
    items: Sequence[Item], pipeline: Pipeline, ui: Ui, *, batch_size: int, metadata: bool
) -> Generator[Finished]:
    """Make the videos, yielding each as soon as it is whole."""
    steps = items[0].record.steps
    behind = 0
    with ui.progress(len(items) * steps) as bar:
        for batch in _batches(items, batch_size):
            started = time.monotonic()
            videos = _run(batch, pipeline, bar, behind)
            behind += len(batch) * steps
            for item, frames in zip(batch, videos.frames, strict=True):
                bar.show(f"writing {shown(item.video.name)}", behind)
                record = replace(
                    item.record, machine=replace(item.record.machine, batch=len(batch))
                )
                comment = record.comment() if metadata else None
                write_video(frames, item.video, record.fps, comment=comment)
                sidecar = _write_sidecar(item.video, record) if metadata else None
                seconds = (time.monotonic() - started) / len(batch)
                yield Finished(item.video, sidecar, item.fitting, seconds, record)


def _batches(items: Sequence[Item], batch_size: int) -> Iterator[Sequence[Item]]:
    """Neighbours of one size, at most `batch_size` at once."""
    start = 0
    for end in range(1, len(items) + 1):
        full = end - start == batch_size
        if end == len(items) or full or items[end].record.size != items[start].record.size:
            yield items[start:end]
            start = end


def _run(batch: Sequence[Item], pipeline: Pipeline, bar: Bar, behind: int) -> Videos:
    record = batch[0].record
    more = f" and {len(batch) - 1} more" if len(batch) > 1 else ""
    label = f"{shown(batch[0].video.name)}{more}"
    bar.show(label, behind)

    def stepped(step: int, total: int) -> None:
        bar.show(label, behind + len(batch) * record.steps * step // max(total, 1))

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
            grid=record.grid,
            start=record.start,
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


def _fitted(item: Item) -> Any:
    picture = open_picture(item.job.picture)
    if picture.sha256 != item.record.picture.sha256:
        raise DataError(f"{shown(picture.path)}: was changed while this command ran; run it again")
    return fit_picture(picture.pixels, item.record.size).pixels


def _is_out_of_memory(error: BaseException) -> bool:
    told = ("can't allocate memory", "not enough memory", "out of memory")
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in told)


def _write_sidecar(video: Path, record: Provenance) -> Path:
    """A video whose sidecar could not be written is still whole, so it stays."""
    path = sidecar_path(video)
    write_text(path, record.sidecar())
    return path
