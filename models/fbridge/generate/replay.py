"""Make a video again from the record that it carries."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from fbridge.checks import check_range
from fbridge.choices import FORMATS
from fbridge.data.pictures import open_picture
from fbridge.data.provenance import Provenance, read_provenance
from fbridge.errors import CheckpointError, ConfigError, DataError
from fbridge.files.atomic import shown
from fbridge.generate.load import Loaded, versions
from fbridge.generate.naming import Target, name_videos, parse_target
from fbridge.generate.request import GenerateRequest, Job, check_seed
from fbridge.loaders.lora_choice import LoraChoice, parse_lora, recorded_choices
from fbridge.memory.options import MemoryOptions


@dataclass(frozen=True)
class Replay:
    """A recorded video that is made once more.

    Attributes:
        origin: the video, or its sidecar.
        request: the recorded settings and the one job, with the picture where it is now.
        loras: those of the record where they are now, and further places that were given.
        local_files_only: the record names the model, which is then not fetched from the hub: a
            video may be anybody's.
    """

    origin: Path
    record: Provenance
    request: GenerateRequest
    loras: tuple[LoraChoice, ...] = ()
    local_files_only: bool = True

    def compare(self, loaded: Loaded, now: Provenance) -> list[str]:
        """Why the new video may differ in its last bits.

        Raises:
            CheckpointError: the model is another one.
            ConfigError: the model now makes another size.
        """
        was = self.record
        if was.model.hash != loaded.pipeline.model_hash:
            raise CheckpointError(
                f"{shown(self.origin)}: was made by model {was.model.name} "
                f"({was.model.hash[:12]}), this is {loaded.pipeline.model_hash[:12]}; name the "
                f"right one with --model, or install fbridge "
                f"{was.versions.get('fbridge', 'of its time')}"
            )
        if _merged(was) != _merged(now):
            names = [", ".join(one.name for one in at.model.loras) or "none" for at in (was, now)]
            raise CheckpointError(
                f"{shown(self.origin)}: was made with other LoRAs ({names[0]}) than this "
                f"({names[1]}); give --lora only for those that are not where they were"
            )
        if now.size != was.size:
            raise ConfigError(
                f"{shown(self.origin)}: its size {was.size[0]}x{was.size[1]} is now "
                f"{now.size[0]}x{now.size[1]}; install the fbridge that made it"
            )
        return _differences(was, now)


def _merged(record: Provenance) -> list[tuple[str, float, str]]:
    """The LoRAs of a record by what they hold."""
    return [(one.sha256, one.weight, one.network) for one in record.model.loras]


def _differences(was: Provenance, now: Provenance) -> list[str]:
    present = versions()
    found = [
        f"{name} is {present[name]}, was {then}"
        for name, then in was.versions.items()
        if name in ("fbridge", "torch", "diffusers") and present.get(name) != then
    ]
    old, new = was.machine, now.machine
    if new.device != old.device:
        found.append(f"the device is {new.device}, was {old.device}")
    if new.threads != old.threads:
        found.append(f"{new.threads} threads, were {old.threads}")
    if new.dtype != old.dtype:
        found.append(f"the numbers are {new.dtype}, were {old.dtype}")
    if old.batch > 1:
        found.append(f"it was made in a batch of {old.batch}")
    return found


def read_replay(request: GenerateRequest) -> Replay:
    """The recorded video that `request.replay` names, as a request of its own.

    Raises:
        DataError: there is no record, or its picture is missing or changed.
        ConfigError: the record has impossible settings.
    """
    assert request.replay is not None
    origin, images = request.replay, request.files
    record = read_provenance(origin)
    if len(images) > 1:
        raise ConfigError(f"--from makes one video, {len(images)} pictures are given; give one")
    picture = _find_picture(origin, record, images[0] if images else None)
    check_seed(record.seed, shown(origin))
    _check_texts(origin, record)
    [video] = name_videos([picture], _target(origin, request))
    recorded_device = "cpu" if record.machine.device == "cpu" else "auto"  # bits hold on CPUs only
    replayed = replace(
        request,
        replay=None,
        images=(),
        out=None,
        format=None,
        jobs=[Job(picture, record.prompt, record.negative, record.seed, video)],
        model=request.model or record.model.name,
        device=recorded_device if request.device == "auto" else request.device,
        dtype=record.machine.dtype,
        frames=record.frames,
        fps=record.fps,
        size=record.size,
        steps=record.steps,
        sampler=record.sampler,
        eta=record.eta,
        grid=record.grid,
        time_shift=record.time_shift,
        start=record.start,
        strength=record.strength,
        image_input=record.image_input,
        first_frame=record.first_frame,
        components=record.model.components,
        expert=record.model.expert,
        memory=MemoryOptions.from_record(record.machine.memory or {}),
        guidance=record.guidance,
        guidance_2=record.guidance_2,
        image_guidance=record.image_guidance,
    )
    check_range(f"{shown(origin)}: threads", record.machine.threads, 1, 1024)
    local_files_only = request.model is None and not request.download
    records = [lora.tree() for lora in record.model.loras]
    given = [parse_lora(text) for text in request.loras]
    recorded, further = recorded_choices(records, given, f"video {shown(origin)}")
    for choice in recorded:
        choice.check()
    return Replay(origin, record, replayed, (*recorded, *further), local_files_only)


def _target(origin: Path, request: GenerateRequest) -> Target:
    """As the request says, else the original's name with -again, in its format."""
    target = parse_target(request.out, request.format)
    if target.stem is not None:
        return target
    video = origin.with_suffix("") if origin.suffix.lower() == ".json" else origin
    suffix = video.suffix.lower().removeprefix(".")
    usual = "png" if video.is_dir() else suffix if suffix in FORMATS else "mp4"
    stem = video.name if video.is_dir() else video.stem
    kind = usual if request.format is None else target.kind
    return Target(target.folder, f"{stem}-again", kind)


def _check_texts(origin: Path, record: Provenance) -> None:
    """Raise DataError where half of a pair of surrogates, which JSON can write, is in a prompt."""
    for name in ("prompt", "negative"):
        try:
            getattr(record, name).encode()
        except UnicodeEncodeError:
            raise DataError(
                f"{shown(origin)}: its {name} holds characters that no text has; remove them"
            ) from None


def _find_picture(origin: Path, record: Provenance, given: Path | None) -> Path:
    """The picture that the video was made from: `given`, or where the record says.

    Raises:
        DataError: it is not there, or was changed.
    """
    source = record.picture
    folder = origin.parent
    names = [name for name in (source.path, source.name) if name]
    places = [given] if given else [at / name for name in names for at in (folder, Path())]
    there = [place for place in places if place.is_file() or place == given]
    for place in there:
        if open_picture(place).sha256 == source.sha256:
            return place
    if there:
        raise DataError(
            f"{shown(there[0])}: is not the picture that {shown(origin)} was made from "
            f"(sha256 {source.sha256[:12]}); give that one: fbridge generate IMAGE --from ..."
        )
    raise DataError(
        f"{shown(origin)}: its picture {source.name} is not found; "
        f"say where it is: fbridge generate {source.name} --from {shown(origin)}"
    )
