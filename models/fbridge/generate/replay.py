"""Making a video again from the record that it carries."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fbridge.checks import check_range
from fbridge.choices import FORMATS
from fbridge.data.pictures import open_picture
from fbridge.data.provenance import Provenance, read_provenance
from fbridge.errors import CheckpointError, ConfigError, DataError
from fbridge.files.atomic import shown
from fbridge.generate.jobs import Job
from fbridge.generate.naming import Target
from fbridge.generate.plan import Item
from fbridge.generate.request import Settings, check_seed
from fbridge.memory.options import MemoryOptions
from fbridge_cli.runtime import Loaded, versions
from fbridge_cli.ui import Ui


@dataclass(frozen=True)
class Replay:
    """A recorded video that is to be made once more.

    Attributes:
        origin: the video, or its sidecar.
        job: the recorded wish, with the picture where it lies now.
        settings: the recorded ones.
    """

    origin: Path
    record: Provenance
    job: Job
    settings: Settings

    def check(self, loaded: Loaded, item: Item) -> None:
        """Raise unless this model makes this video.

        Raises:
            CheckpointError: when the model is another one.
            ConfigError: when it makes another size.
        """
        made_by, have = self.record.model.hash, loaded.pipeline.model_hash
        if made_by != have:
            raise CheckpointError(
                f"{shown(self.origin)}: was made by model {self.record.model.name} "
                f"({made_by[:12]}), this is {have[:12]}; name the right one with --model, or "
                f"install fbridge {self.record.versions.get('fbridge', 'of its time')}"
            )
        if item.record.size != self.record.size:
            raise ConfigError(
                f"{shown(self.origin)}: its size {_size(self.record)} is now {_size(item.record)}; "
                "install the fbridge that made it"
            )

    def differences(self, item: Item) -> list[str]:
        """Why the last bits may differ, in words."""
        now = versions()
        found = [
            f"{name} is {now[name]}, was {then}"
            for name, then in self.record.versions.items()
            if name in ("fbridge", "torch", "diffusers") and now.get(name) != then
        ]
        was, here = self.record.machine, item.record.machine
        if here.device != was.device:
            found.append(f"the device is {here.device}, was {was.device}")
        if here.threads != was.threads:
            found.append(f"{here.threads} threads, were {was.threads}")
        if here.dtype != was.dtype:
            found.append(f"the numbers are {here.dtype}, were {was.dtype}")
        if was.batch > 1:
            found.append(f"it was made in a batch of {was.batch}")
        return found

    def warn(self, item: Item, ui: Ui) -> None:
        """Tell the user when the last bits may differ."""
        if found := self.differences(item):
            ui.warn(f"the video may differ in its last bits: {'; '.join(found)}")


def read_replay(origin: Path, images: list[Path], *, model: str | None, device: str) -> Replay:
    """What `--from` asks for; IMAGE says where the picture lies now, `model` where the model does.

    Raises:
        DataError: when there is no record, or no such picture any more.
        ConfigError: when the record holds impossible settings.
    """
    record = read_provenance(origin)
    if len(images) > 1:
        raise ConfigError(f"--from makes one video, {len(images)} pictures are given; give one")
    picture = _find_picture(origin, record, images[0] if images else None)
    settings = Settings(
        model=model or record.model.name,
        device=_device(record.machine.device) if device == "auto" else device,
        dtype=record.machine.dtype,
        frames=record.frames,
        fps=record.fps,
        size=record.size,
        steps=record.steps,
        sampler=record.sampler,
        eta=record.eta,
        grid=record.grid,
        start=record.start,
        strength=record.strength,
        components=record.model.components,
        memory=MemoryOptions.from_record(record.machine.memory or {}),
        guidance=record.guidance,
        image_guidance=record.image_guidance,
    )
    settings.check()
    check_range(f"{shown(origin)}: threads", record.machine.threads, 1, 1024)
    job = Job(picture, record.prompt, record.negative, check_seed(record.seed, shown(origin)))
    return Replay(origin, record, job, settings)


def replay_target(origin: Path, target: Target, *, named: bool, kind: str | None) -> Target:
    """As the user says, else the kind of the original under its name with -again."""
    video = origin.with_suffix("") if origin.suffix.lower() == ".json" else origin
    suffix = video.suffix.lower().removeprefix(".")
    usual = "png" if video.is_dir() else suffix if suffix in FORMATS else "mp4"
    stem = video.name if video.is_dir() else video.stem
    if named and target.stem is not None:
        return target
    return Target(target.folder, f"{stem}-again", kind or usual)


def _device(recorded: str) -> str:
    """Bits are promised on the CPU only; elsewhere the best device will do."""
    return "cpu" if recorded == "cpu" else "auto"


def _find_picture(origin: Path, record: Provenance, given: Path | None) -> Path:
    """The very picture the video was made from.

    Raises:
        DataError: when it is nowhere to be found, or was changed.
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


def _size(record: Provenance) -> str:
    return f"{record.size[0]}x{record.size[1]}"
