"""The record in every video: its picture, prompt, model and settings."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path, PurePath
from typing import Any, get_type_hints

from fbridge.data.metadata import read_comment
from fbridge.errors import DataError
from fbridge.files.atomic import shown
from fbridge.files.lora_record import LoraRecord

FORMAT = 1
"""Version of the record's form; higher when an older reader could misread it."""


@dataclass(frozen=True)
class Source:
    """The picture; `path` is relative to the video's folder, None where unknown."""

    name: str
    sha256: str
    path: str | None = None


@dataclass(frozen=True)
class ModelRecord:
    """The model.

    Attributes:
        name: as the user gave it.
        hash: sha256 over its weights and configuration.
        untrained: a text-to-video base, used as a bridge without training.
        components: folder with what a model that is weights alone lacks.
        loras: that were merged into it; left out where there are none, as in older records.
        expert: which network of a pair it was said to be; left out where it was not, as in older
            records.
    """

    name: str
    hash: str
    untrained: bool = False
    components: str | None = None
    loras: tuple[LoraRecord, ...] = ()
    expert: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Machine:
    """What the last bits of a video depend on.

    Attributes:
        batch: videos that were made together.
        memory: `fbridge.memory.options.MemoryOptions.to_record`; None in older records.
    """

    device: str
    dtype: str
    threads: int
    batch: int
    memory: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Provenance:
    """Everything needed to make a video again; no date, so that equal videos have equal records.

    Attributes:
        steps: sampling steps.
        eta: share of fresh noise; None if the sampler takes none.
        guidance: weight of the prompt; 1 is no guidance.
        guidance_2: the same for the second of two networks; left out where there is one, as in
            older records.
        image_guidance: weight of the picture; 1 is no guidance (and the value of older records).
        grid: kind of `fbridge.sampling.time_grid`.
        time_shift: its shift; 1, which is none, in older records.
        start: how the bridge starts: "noised", "exact" or "booted".
        strength: time at which sampling starts, as a share of the bridge; 1 in older records.
        image_input: how the picture reaches the network; "bridge" in older records.
        first_frame: "exact" where it is the picture's latent; "free" in older records.
        size: (width, height) of the frames.
        versions: of fbridge, torch, diffusers and python.
        notes: what is shown otherwise than the prompt says; left out where there is nothing, as
            in older records.
    """

    prompt: str
    negative: str
    seed: int
    sampler: str
    steps: int
    eta: float | None
    guidance: float | None
    guidance_2: float | None = field(default=None, kw_only=True)
    image_guidance: float = field(default=1.0, kw_only=True)
    grid: str
    time_shift: float = field(default=1.0, kw_only=True)
    start: str
    strength: float = field(default=1.0, kw_only=True)
    image_input: str = field(default="bridge", kw_only=True)
    first_frame: str = field(default="free", kw_only=True)
    frames: int
    fps: float
    size: tuple[int, int]
    picture: Source
    model: ModelRecord
    machine: Machine
    versions: Mapping[str, str]
    notes: tuple[str, ...] = ()

    def comment(self) -> str:
        """One line of ASCII JSON for inside the video, without the user's folders."""
        tree = self.tree()
        del tree["picture"]["path"]
        model = PurePath(self.model.name)
        tree["model"]["name"] = model.name if model.is_absolute() else self.model.name
        tree["model"]["components"] = None
        for lora in tree["model"].get("loras", ()):
            lora["path"] = None
        return json.dumps(tree, separators=(",", ":"))

    def sidecar(self) -> str:
        """Indented JSON for the file beside the video."""
        return json.dumps(self.tree(), indent=2) + "\n"

    def tree(self) -> dict[str, Any]:
        """The record as JSON values."""
        tree = {"format": FORMAT, **asdict(self), "size": list(self.size)}
        loras = tree["model"].pop("loras")
        if loras:
            tree["model"]["loras"] = [lora.tree() for lora in self.model.loras]
        if self.guidance_2 is None:
            del tree["guidance_2"]
        if tree["model"]["expert"] is None:
            del tree["model"]["expert"]
        notes = tree.pop("notes")
        return {**tree, "notes": list(notes)} if notes else tree


def parse_provenance(text: str, source: str) -> Provenance:
    """The record in a JSON text; `source` names it in errors.

    Raises:
        DataError: the text is not such a record, or is one of a newer format.
    """
    tree = _record_in(text)
    if tree is None:
        raise DataError(f"{source}: carries no fbridge record (made by another program?)")
    if tree["format"] != FORMAT:
        raise DataError(
            f"{source}: its record has format {tree['format']!r}, this fbridge reads {FORMAT}; "
            "upgrade fbridge"
        )
    record: Provenance = _build(Provenance, tree, source)
    return record


def read_provenance(path: Path | str) -> Provenance:
    """The record of a video, of a folder of frames, or in a sidecar file.

    The record inside the video takes precedence; the sidecar adds the picture's path, and is used
    alone where the video was re-encoded and lost its record.

    Raises:
        DataError: there is no record, or the file cannot be read.
    """
    path = Path(path)
    name = shown(path)
    if path.suffix.lower() == ".json" and path.exists():
        return parse_provenance(_read_text(path), name)
    comment = read_comment(path)
    beside = _sidecar_record(path)
    if comment is None or _record_in(comment) is None:
        if beside is None:
            raise DataError(
                f"{name}: carries no fbridge record (made with --no-metadata or by another program)"
            )
        return beside
    inside = parse_provenance(comment, name)
    return beside if beside is not None and beside.comment() == inside.comment() else inside


def sidecar_path(video: Path) -> Path:
    """The path of a video's sidecar: cat.mp4 has cat.mp4.json, the folder cat has cat.json."""
    return video.with_name(f"{video.name}.json")


def _sidecar_record(video: Path) -> Provenance | None:
    path = sidecar_path(video)
    try:
        return parse_provenance(_read_text(path), shown(path)) if path.is_file() else None
    except DataError:
        return None


def _record_in(text: str) -> dict[str, Any] | None:
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return tree if isinstance(tree, dict) and {"format", "model", "seed"} <= tree.keys() else None


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{shown(path)}: cannot be read as text ({error})") from None


def _build(kind: type[Any], tree: Mapping[str, Any], source: str) -> Any:
    """An instance of a dataclass from JSON values, each checked against the declared type."""
    hints = get_type_hints(kind)
    values = {}
    for one in fields(kind):
        if one.name not in tree and one.default is not MISSING:
            continue
        values[one.name] = _checked(
            tree.get(one.name),
            hints[one.name],
            f"{source}: {one.name}" if kind is Provenance else f"{source}.{one.name}",
        )
    return kind(**values)


def _checked(value: Any, hint: Any, place: str) -> Any:
    if hint in (Source, ModelRecord, Machine, LoraRecord) and isinstance(value, dict):
        return _build(hint, value, place)
    if hint == tuple[LoraRecord, ...] and isinstance(value, list):
        return tuple(_checked(one, LoraRecord, f"{place}.{n}") for n, one in enumerate(value))
    accepts, wanted = _KINDS.get(hint, (lambda _: False, "an object"))
    if not accepts(value):
        raise DataError(f"{place} is {value!r} where {wanted} is needed; the record is damaged")
    return tuple(value) if isinstance(value, list) else value


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return (_is_whole(value) or isinstance(value, float)) and math.isfinite(value)


def _is_size(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_whole, value))


def _is_lines(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_text, value.values()))


_KINDS: dict[Any, tuple[Callable[[Any], bool], str]] = {
    str: (_is_text, "text"),
    bool: (lambda value: isinstance(value, bool), "true or false"),
    int: (_is_whole, "a whole number"),
    float: (_is_number, "a number"),
    str | None: (lambda value: value is None or _is_text(value), "text or null"),
    float | None: (lambda value: value is None or _is_number(value), "a number or null"),
    tuple[int, int]: (_is_size, "a pair of whole numbers"),
    tuple[str, ...]: (_is_lines, "a list of texts"),
    Mapping[str, str]: (_is_texts, "an object of texts"),
    Mapping[str, str] | None: (
        lambda value: value is None or _is_texts(value),
        "an object of texts or null",
    ),
}
