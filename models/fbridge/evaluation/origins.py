"""What each generated clip was made from: its record, its caption and its picture."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from fbridge.data.latents.format import hash_file
from fbridge.data.pictures import SUFFIXES
from fbridge.data.provenance import Provenance, read_provenance
from fbridge.errors import ConfigError, DataError
from fbridge.evaluation.clips import EvalClip
from fbridge.files.atomic import shown

_TAKE = re.compile(r"-[0-9]+\Z")
"""VBench's number of a video: "a cat-0.mp4" to "a cat-4.mp4" are of the picture "a cat.jpg"."""


def hash_key(seed: int, key: str) -> bytes:
    """A hash by which clips, and captions of a clip, are drawn."""
    return hashlib.sha256(f"{seed} {key}".encode()).digest()


def record_of(clip: EvalClip) -> Provenance | None:
    """The provenance record of a clip's file; None where it has none."""
    try:
        return read_provenance(clip.path)
    except DataError:
        return None


def captions_of(
    generated: Mapping[str, EvalClip],
    real: Mapping[str, EvalClip],
    records: Mapping[str, Provenance],
    seed: int,
) -> dict[str, str]:
    """The caption of each clip: its prompt, else one of its own or its real clip's, drawn."""
    found = {}
    for key, clip in generated.items():
        several = clip.captions or (real[key].captions if key in real else ())
        if key in records and records[key].prompt:
            found[key] = records[key].prompt
        elif several:
            found[key] = several[int.from_bytes(hash_key(seed, key)[:8], "big") % len(several)]
    return found


def pictures_of(
    generated: Mapping[str, EvalClip], records: Mapping[str, Provenance], folder: Path | None
) -> dict[str, Path]:
    """The picture each clip was made from: by name in `folder`, else by its provenance record.

    Raises:
        ConfigError, DataError: there is no such folder, or a clip has no picture in it, or several.
    """
    if folder is not None:
        if not folder.is_dir():
            raise ConfigError(
                f"--pictures {shown(folder)}: is no folder; name that of the pictures"
            )
        return find_pictures(folder, generated)
    found = {}
    for key, record in records.items():
        if record.picture.path is None:
            continue
        path = (generated[key].path.parent / record.picture.path).resolve()
        if path.is_file() and hash_file(path) == record.picture.sha256:
            found[key] = path
    return found


def find_pictures(folder: Path, keys: Iterable[str]) -> dict[str, Path]:
    """The picture of each video: its key with another suffix, or the key without "-0", "-1", ...

    Else, for videos in folders, the same two of the key's last part.

    Raises:
        DataError: a video has no picture, two pictures have its name, or videos in two folders
            have one picture.
    """
    where = f"--pictures {shown(folder)}"
    named: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            named.setdefault(inside.with_suffix("").as_posix(), []).append(path)
    names = {key: _name_of_picture(key, named) for key in keys}
    lost = [key for key, name in names.items() if name is None]
    if lost:
        raise DataError(
            f"{where}: holds no picture for {len(lost)} of {len(names)} videos, such as {lost[0]!r}"
        )
    found: dict[str, Path] = {}
    first: dict[str, str] = {}
    for key, name in names.items():
        assert name is not None
        several = [shown(path.relative_to(folder)) for path in named[name]]
        if len(several) > 1:
            raise DataError(f"{where}: {key!r} may be of {' or '.join(several)}; keep one of them")
        other = first.setdefault(name, key)
        if PurePosixPath(other).parent != PurePosixPath(key).parent:
            raise DataError(
                f"{where}: {several[0]} would be the picture of {other!r} and of {key!r}; lay the "
                "pictures out in the folders of the videos"
            )
        found[key] = named[name][0]
    return found


def _name_of_picture(key: str, named: Mapping[str, object]) -> str | None:
    last = PurePosixPath(key).name
    wanted = (key, _TAKE.sub("", key), last, _TAKE.sub("", last))
    return next((name for name in wanted if name in named), None)
