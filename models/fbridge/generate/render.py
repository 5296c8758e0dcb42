"""Render the plan batch by batch and write each video."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from PIL import Image

from fbridge.choices import GridKind, Start
from fbridge.data.pictures import fit_picture, hash_picture, open_picture
from fbridge.data.provenance import Provenance, sidecar_path
from fbridge.errors import DataError, DependencyError
from fbridge.files.atomic import shown, write_text
from fbridge.generate.events import Finished, Item, OnProgress, Progress, Warned
from fbridge.generate.naming import check_free
from fbridge.generate.writing import Part, Writers

if TYPE_CHECKING:
    from fbridge.pipeline.sampling import BridgeSampling


@dataclass(frozen=True)
class Rendering:
    """The plan, and how it is carried out.

    Attributes:
        items: the plan.
        fitted: fitted pictures by their files, which are not read again but for their hash.
        present: videos that are there and stay.
        batch_size: videos made together.
        metadata: whether to write records.
        overwrite: whether to replace videos that exist.
        on_progress: see `fbridge.generate.run`.
    """

    items: Sequence[Item]
    _: KW_ONLY
    fitted: Mapping[Path, Image.Image]
    present: frozenset[Path] = frozenset()
    batch_size: int
    metadata: bool
    overwrite: bool
    on_progress: OnProgress

    def work(self) -> Iterator[tuple[Sequence[Item], int]]:
        """Batches of which something is missing, and the steps that are done before each.

        A batch is made whole for the sake of one video, since its other videos decide the last
        bits.
        """
        done = 0
        for batch in batches(self.items, self.batch_size):
            if not self.present.issuperset(item.video for item in batch):
                yield batch, done
            done += len(batch) * batch[0].record.steps

    def pictures_for(self, batch: Sequence[Item]) -> list[Image.Image]:
        """The fitted pictures of a batch, of files that are still as the plan has them.

        Raises:
            ConfigError: another program has meanwhile made a file of a video's name.
            DataError: a picture was changed.
        """
        if not self.overwrite:
            videos = [item.video for item in batch if item.video not in self.present]
            check_free(videos, (), overwrite=False, metadata=self.metadata)
        return [_fitted(item, self.fitted.get(item.job.picture)) for item in batch]


def render(rendering: Rendering, pipeline: BridgeSampling) -> Iterator[Finished | Warned]:
    """Make the videos, yielding each as soon as it is whole on the disk, and what to say of it.

    Raises:
        ConfigError: another program has meanwhile made a file of a video's name.
    """
    for batch, done in rendering.work():
        pictures = rendering.pictures_for(batch)
        yield from render_batch(
            batch,
            pictures,
            pipeline,
            present=rendering.present,
            metadata=rendering.metadata,
            overwrite=rendering.overwrite,
            on_progress=rendering.on_progress,
            done=done,
        )


def render_batch(
    batch: Sequence[Item],
    pictures: Sequence[Image.Image],
    pipeline: BridgeSampling,
    *,
    metadata: bool,
    overwrite: bool,
    on_progress: OnProgress,
    present: frozenset[Path] = frozenset(),
    done: int = 0,
) -> Iterator[Finished | Warned]:
    """Make the videos of a batch together; `pictures` are fitted, `done` counts steps before it."""
    started = time.monotonic()
    notes: list[list[str]] = [[] for _ in batch]
    record = partial(_record, batch, notes)
    wanted = [number for number, item in enumerate(batch) if item.video not in present]
    with Writers(batch, record if metadata else None, overwrite=overwrite) as writers:

        def add(number: int, frames: Part) -> None:
            if number in wanted:
                writers.add(number, frames)

        _run(batch, pipeline, pictures, add, notes, on_progress, done)
        done += len(batch) * batch[0].record.steps
        for number in wanted:
            item = batch[number]
            on_progress(Progress(f"writing {shown(item.video.name)}", done))
            writers.finish(number)
            yield from (Warned(line) for line in notes[number])
            sidecar = sidecar_path(item.video) if metadata else None
            if sidecar is not None:
                write_text(sidecar, record(number).sidecar(), overwrite=overwrite)
            seconds = (time.monotonic() - started) / len(batch)
            yield Finished(item.video, sidecar, item.fitting, seconds, record(number))


def _record(batch: Sequence[Item], notes: Sequence[Sequence[str]], number: int) -> Provenance:
    """The record of a video of a batch, with the notes on its picture that have come so far."""
    planned = batch[number].record
    machine = replace(planned.machine, batch=len(batch))
    return replace(planned, machine=machine, notes=(*planned.notes, *notes[number]))


def batches(items: Sequence[Item], batch_size: int) -> Iterator[Sequence[Item]]:
    """Consecutive videos of one size, at most `batch_size` together."""
    start = 0
    for end in range(1, len(items) + 1):
        full = end - start == batch_size
        if end == len(items) or full or items[end].record.size != items[start].record.size:
            yield items[start:end]
            start = end


def _run(
    batch: Sequence[Item],
    pipeline: BridgeSampling,
    pictures: Sequence[Image.Image],
    add: Callable[[int, Part], None],
    notes: Sequence[list[str]],
    on_progress: OnProgress,
    before: int,
) -> None:
    """Make a batch's videos; `notes` gets the lines on what each picture does not hold."""
    record = batch[0].record
    more = f" and {len(batch) - 1} more" if len(batch) > 1 else ""
    label = f"{shown(batch[0].video.name)}{more}"
    on_progress(Progress(label, before))

    def stepped(step: int, total: int) -> None:
        on_progress(Progress(label, before + len(batch) * record.steps * step // max(total, 1)))

    try:
        pipeline(
            image=pictures,
            prompt=[item.job.prompt for item in batch],
            negative_prompt=[item.job.negative for item in batch],
            seed=[item.job.seed for item in batch],
            num_frames=record.frames,
            size=record.size,
            num_inference_steps=record.steps,
            sampler=record.sampler,
            eta=record.eta,
            grid=cast(GridKind, record.grid),
            time_shift=record.time_shift,
            start=cast(Start, record.start),
            strength=record.strength,
            image_input=record.image_input,
            first_frame=record.first_frame,
            guidance_scale=record.guidance,
            **({} if record.guidance_2 is None else {"guidance_scale_2": record.guidance_2}),
            image_guidance_scale=record.image_guidance,
            callback=stepped,
            on_frames=add,
            on_note=lambda number, line: notes[number].append(line),
        )
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        raise DependencyError(
            f"{label}: not enough memory on {record.machine.device} for {len(batch)} x "
            f"{record.frames} frames of {record.size[0]}x{record.size[1]}; "
            "use a smaller --size, --frames or --batch-size"
        ) from error


def _fitted(item: Item, kept: Image.Image | None) -> Image.Image:
    path = item.job.picture
    picture = open_picture(path) if kept is None else None
    if (hash_picture(path) if picture is None else picture.sha256) != item.record.picture.sha256:
        raise DataError(f"{shown(path)}: was changed while this command ran; run it again")
    if picture is not None:
        return fit_picture(picture.pixels, item.record.size).pixels
    assert kept is not None, "else it was opened"
    return kept


def _is_out_of_memory(error: BaseException) -> bool:
    texts = ("can't allocate memory", "not enough memory", "out of memory")
    return isinstance(error, MemoryError) or any(text in str(error).lower() for text in texts)
