"""The plan: every video with the model's choices filled in, before anything is rendered."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from PIL import Image

from fbridge.checks import check_work
from fbridge.choices import SAMPLERS_WITH_ETA, GridKind
from fbridge.data.pictures import describe_fit, fit_picture, open_picture
from fbridge.data.provenance import Machine, ModelRecord, Provenance, Source
from fbridge.errors import ConfigError, DataError
from fbridge.files.atomic import shown
from fbridge.generate.events import Item, Noted, Planned, Warned
from fbridge.generate.load import Loaded, versions
from fbridge.generate.replay import Replay
from fbridge.generate.request import GenerateRequest, Job, check_negative, check_speed

if TYPE_CHECKING:
    from fbridge.pipeline.bridge import FrameLimits

MOST_SHOWN = 20


@dataclass(frozen=True)
class PictureFacts:
    """What the plan needs of a picture that can be read.

    Attributes:
        size: (width, height), upright.
        notes: what reading changed, such as turning it upright.
        sha256: of the file.
        pixels: the upright picture, if it is the only one; several could be too much for memory.
    """

    size: tuple[int, int]
    notes: tuple[str, ...]
    sha256: str
    pixels: Image.Image | None = None


def read_pictures(pictures: Sequence[Path]) -> dict[Path, PictureFacts]:
    """Read every picture once, so that an unusable one is known before any work.

    Raises:
        DataError: naming all unusable ones.
    """
    found: dict[Path, PictureFacts] = {}
    faults: list[str] = []
    paths = list(dict.fromkeys(pictures))
    for path in paths:
        try:
            picture = open_picture(path)
            found[path] = PictureFacts(
                picture.pixels.size,
                picture.notes,
                picture.sha256,
                picture.pixels if len(paths) == 1 else None,
            )
        except DataError as error:
            faults.append(str(error))
    check_faults(faults, len(paths))
    return found


def check_faults(faults: Sequence[str], total: int) -> None:
    """Raise DataError with the faults of some of `total` pictures, if there are any."""
    if len(faults) == 1:
        raise DataError(faults[0])
    if faults:
        more = [f"... and {len(faults) - MOST_SHOWN} more"] if len(faults) > MOST_SHOWN else []
        listed = "\n  ".join([*faults[:MOST_SHOWN], *more])
        raise DataError(f"{len(faults)} of {total} pictures cannot be used:\n  {listed}")


def fit_kept(
    pictures: Mapping[Path, PictureFacts], items: Sequence[Item]
) -> dict[Path, Image.Image]:
    """The pictures that have been kept, fitted to the size of their videos."""
    return {
        item.job.picture: fit_picture(pixels, item.record.size).pixels
        for item in items[:1]  # a picture's videos are all of one size
        if (pixels := pictures[item.job.picture].pixels) is not None
    }


@dataclass(frozen=True)
class PlanTask:
    """What the plan is made of, besides the model.

    Attributes:
        request: settings.
        jobs, videos: each video's job and path.
        pictures: facts of each job's picture.
        replay: the recorded video that is made again, if that is what is asked for.
    """

    request: GenerateRequest
    jobs: Sequence[Job]
    videos: Sequence[Path]
    pictures: Mapping[Path, PictureFacts]
    replay: Replay | None = None

    def plan(self, loaded: Loaded) -> Iterator[Noted | Warned | Planned]:
        """What there is to say of model and prompts and, last, the plan.

        Raises:
            ConfigError: the model cannot do what the request asks.
            CheckpointError: a recorded video was made by another model.
        """
        name = self.request.model_name
        items = make_plan(self.jobs, self.videos, self.pictures, self.request, loaded)
        first = items[0].record
        check_speed(self.videos[0].suffix.lower().removeprefix("."), first.fps)
        if self.replay is None:
            check_negative(self.jobs, first.guidance)
        elif differences := self.replay.compare(loaded, first):
            yield Warned(f"the video may differ in its last bits: {'; '.join(differences)}")
        yield from _told_of_model(name, first.guidance, loaded)
        yield from _told_of_prompts(items, loaded)
        yield Planned(items)


def _told_of_model(name: str, guidance: float | None, loaded: Loaded) -> Iterator[Noted | Warned]:
    """What the user should know of the model before looking at its videos."""
    pipeline = loaded.pipeline
    if pipeline.notice:
        yield Noted(f"{name} {pipeline.notice}")
    if world := pipeline.world:
        yield Noted(
            f"{name} knows one world: {world}; a picture of anything else comes out as something "
            "of it, unless it was fine-tuned on such pictures"
        )
    yield from map(Noted, pipeline.lora_notes)
    taught = pipeline.taught_guidance
    if taught is not None and guidance not in (None, 1):
        yield Warned(
            f"guidance {guidance:g}: {name} was taught to answer as its teacher does at guidance "
            f"{taught:g}, so more of it exaggerates; 1 adds none"
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


def make_plan(
    jobs: Sequence[Job],
    videos: Sequence[Path],
    pictures: Mapping[Path, PictureFacts],
    request: GenerateRequest,
    loaded: Loaded,
) -> list[Item]:
    """Every video with the model's choices filled in.

    Raises:
        ConfigError: the model cannot do what the request asks.
    """
    pipeline = loaded.pipeline
    defaults = pipeline.defaults_with(request.image_input)
    sampler = request.sampler or str(defaults["sampler"])
    frames = _frames(request.frames, pipeline.frame_limits)
    guidance, guidance_2 = pipeline.guidance_scales(request.guidance, request.guidance_2)
    image_guidance = 1.0 if request.image_guidance is None else request.image_guidance
    steps = request.steps or int(defaults["num_inference_steps"])
    grid = cast(GridKind, request.grid or str(defaults["grid"]))
    strength = request.strength or float(defaults["strength"])
    shift = request.time_shift or float(defaults["time_shift"])
    pipeline.sampling_times(steps, grid, strength, shift)  # raises before a picture is encoded
    memory = request.memory.to_record() or None
    items = []
    for job, video in zip(jobs, videos, strict=True):
        picture = pictures[job.picture]
        size = pipeline.output_size(picture.size, request.size)
        check_work(frames, size)
        name = shown(job.picture.name)
        record = Provenance(
            prompt=job.prompt,
            negative=job.negative,
            seed=job.seed,
            sampler=sampler,
            steps=steps,
            eta=_eta(sampler, request.eta),
            guidance=float(guidance),
            guidance_2=None if pipeline.second_backbone is None else float(guidance_2),
            image_guidance=float(image_guidance),
            grid=grid,
            time_shift=shift,
            start=request.start or str(defaults["start"]),
            strength=strength,
            image_input=str(defaults["image_input"]),
            first_frame=request.first_frame or str(defaults["first_frame"]),
            frames=frames,
            fps=request.fps or float(pipeline.default_fps),
            size=size,
            picture=Source(name, picture.sha256, _place(job, video.parent)),
            model=ModelRecord(
                request.model_name,
                pipeline.model_hash,
                pipeline.untrained,
                request.components,
                pipeline.loras,
                expert=request.expert,
            ),
            machine=Machine(loaded.device, request.dtype, loaded.threads, 1, memory),
            versions=versions(),
            notes=tuple(pipeline.describe_intent([job.prompt])),
        )
        fitting = describe_fit(picture.size, size, name=name, notes=picture.notes)
        items.append(Item(job, video, fitting, record))
    return items


def _frames(wanted: int | None, limits: FrameLimits) -> int:
    if wanted is None:
        return limits.default
    last = limits.minimum + (limits.maximum - limits.minimum) // limits.step * limits.step
    if limits.minimum <= wanted <= last and (wanted - limits.minimum) % limits.step == 0:
        return wanted
    below = limits.minimum + (wanted - limits.minimum) // limits.step * limits.step
    near = sorted({min(max(one, limits.minimum), last) for one in (below, below + limits.step)})
    every = f" in steps of {limits.step}" if limits.step > 1 else ""
    raise ConfigError(
        f"--frames {wanted}: this model makes {limits.minimum} to {last}{every}; "
        f"use {' or '.join(map(str, near))}"
    )


def _eta(sampler: str, wanted: float | None) -> float | None:
    if sampler in SAMPLERS_WITH_ETA:
        return wanted or 0.0
    if wanted is not None:
        raise ConfigError(
            f"--eta {wanted:g}: the sampler {sampler} has none; drop it, "
            f"or use --sampler {SAMPLERS_WITH_ETA[0]}"
        )
    return None


def _place(job: Job, folder: Path) -> str | None:
    """The picture's path relative to the video's folder; None when on another drive."""
    if job.place is not None:
        return job.place or None
    picture = job.picture
    try:
        return shown(Path(os.path.relpath(picture.resolve(), folder.resolve())).as_posix())
    except ValueError:
        return None
