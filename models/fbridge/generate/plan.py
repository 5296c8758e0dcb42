"""What will be made, with every choice filled in: what `--dry-run` shows and rendering follows."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fbridge.checks import check_work
from fbridge.choices import SAMPLERS_WITH_ETA
from fbridge.data.pictures import describe_fit, open_picture
from fbridge.data.provenance import Machine, ModelRecord, Provenance, Source
from fbridge.data.video_writers import GIF_FASTEST
from fbridge.errors import ConfigError, DataError
from fbridge.files.atomic import shown
from fbridge.generate.jobs import Job
from fbridge.generate.request import Settings
from fbridge_cli.runtime import FrameLimits, Loaded, Pipeline, versions
from fbridge_cli.ui import Ui

MOST_SHOWN = 20


@dataclass(frozen=True)
class Seen:
    """What is kept of a picture once it has been found good: upright size, changes, sha256."""

    size: tuple[int, int]
    notes: tuple[str, ...]
    sha256: str


@dataclass(frozen=True)
class Item:
    """One video to be written."""

    job: Job
    video: Path
    fitting: str
    record: Provenance


def survey(pictures: Sequence[Path]) -> dict[Path, Seen]:
    """Read every picture once, so that a bad one is known before any work.

    Raises:
        DataError: naming all bad ones.
    """
    seen: dict[Path, Seen] = {}
    faults: list[str] = []
    for path in dict.fromkeys(pictures):
        try:
            picture = open_picture(path)
            seen[path] = Seen(picture.pixels.size, picture.notes, picture.sha256)
        except DataError as error:
            faults.append(str(error))
    if len(faults) == 1:
        raise DataError(faults[0])
    if faults:
        more = [f"... and {len(faults) - MOST_SHOWN} more"] if len(faults) > MOST_SHOWN else []
        listed = "\n  ".join(faults[:MOST_SHOWN] + more)
        raise DataError(
            f"{len(faults)} of {len(seen) + len(faults)} pictures cannot be used:\n  {listed}"
        )
    return seen


def check_speed(kind: str, fps: float | None) -> None:
    """Raise ConfigError when a GIF is to be faster than GIFs are."""
    if kind == "gif" and fps is not None and fps > GIF_FASTEST:
        raise ConfigError(f"--fps {fps:g}: a GIF shows at most {GIF_FASTEST}; use --format mp4")


def check_negative(jobs: Sequence[Job], guidance: float | None) -> None:
    """Raise ConfigError when words are to be steered away from, and nothing steers."""
    if guidance == 1 and any(job.negative for job in jobs):
        raise ConfigError("--negative has no effect at guidance 1; add --guidance 2")


def make_plan(
    jobs: Sequence[Job],
    videos: Sequence[Path],
    seen: dict[Path, Seen],
    settings: Settings,
    loaded: Loaded,
) -> list[Item]:
    """Every video with the model's choices filled in.

    Raises:
        ConfigError: when the model cannot do what the settings ask.
    """
    pipeline = loaded.pipeline
    defaults = pipeline.defaults
    sampler = settings.sampler or str(defaults["sampler"])
    frames = _frames(settings.frames, pipeline.frame_limits)
    guidance = settings.guidance if settings.guidance is not None else defaults["guidance_scale"]
    image_guidance = settings.image_guidance
    if image_guidance is None:
        image_guidance = defaults.get("image_guidance_scale", 1.0)
    items = []
    for job, video in zip(jobs, videos, strict=True):
        picture = seen[job.picture]
        size = pipeline.output_size(picture.size, settings.size)
        check_work(frames, size)
        name = shown(job.picture.name)
        record = Provenance(
            prompt=job.prompt,
            negative=job.negative,
            seed=job.seed,
            sampler=sampler,
            steps=settings.steps or int(defaults["num_inference_steps"]),
            eta=_eta(sampler, settings.eta, pipeline),
            guidance=None if guidance is None else float(guidance),
            image_guidance=float(image_guidance),
            grid=settings.grid or str(defaults["grid"]),
            start=settings.start or str(defaults["start"]),
            strength=settings.strength or float(defaults.get("strength", 1.0)),
            frames=frames,
            fps=settings.fps or float(pipeline.default_fps),
            size=size,
            picture=Source(name, picture.sha256, _relative(job.picture, video.parent)),
            model=ModelRecord(
                settings.model, pipeline.model_hash, pipeline.untrained, settings.components
            ),
            machine=Machine(
                loaded.device,
                settings.dtype,
                loaded.threads,
                1,
                settings.memory.to_record() or None,
            ),
            versions=versions(),
        )
        fitting = describe_fit(picture.size, size, name=name, notes=picture.notes)
        items.append(Item(job, video, fitting, record))
    return items


def show_plan(items: Sequence[Item], ui: Ui) -> None:
    """Print what would be made."""
    if ui.machine:
        ui.json(
            {
                "videos": [
                    {"video": shown(item.video), "fitting": item.fitting, **item.record.tree()}
                    for item in items
                ]
            }
        )
        return
    rows = [
        (shown(item.video), item.fitting, item.job.prompt, str(item.job.seed)) for item in items
    ]
    ui.table(("video", "picture", "prompt", "seed"), rows)
    record = items[0].record
    ui.note(
        f"model {record.model.name} ({record.model.hash[:12]}) on {record.machine.device} "
        f"in {record.machine.dtype}; {record.frames} frames at {record.fps:g} fps; "
        f"sampler {record.sampler}, {record.steps} steps; nothing was made (--dry-run)"
    )


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


def _eta(sampler: str, wanted: float | None, pipeline: Pipeline) -> float | None:
    if sampler in SAMPLERS_WITH_ETA:
        return float(pipeline.defaults.get("eta", 0.0)) if wanted is None else wanted
    if wanted is not None:
        raise ConfigError(
            f"--eta {wanted:g}: the sampler {sampler} has none; drop it, "
            f"or use --sampler {SAMPLERS_WITH_ETA[0]}"
        )
    return None


def _relative(picture: Path, folder: Path) -> str | None:
    """Where the picture lies seen from the video; None when on another drive."""
    try:
        return shown(Path(os.path.relpath(picture.resolve(), folder.resolve())).as_posix())
    except ValueError:
        return None
