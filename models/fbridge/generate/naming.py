"""Names of the videos, and the check that they replace nothing unasked."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from fbridge.checks import check_choice, home_expanded
from fbridge.choices import FORMATS
from fbridge.data.provenance import sidecar_path
from fbridge.errors import ConfigError
from fbridge.files.atomic import is_frame_folder, shown

_LONGEST_NAME = 255  # bytes, on every common file system


@dataclass(frozen=True)
class Target:
    """Where videos go.

    Attributes:
        stem: name without suffix; None names each video after its picture.
        kind: one of `fbridge.choices.FORMATS`.
    """

    folder: Path
    stem: str | None
    kind: str


def parse_target(out: str | Path | None, kind: str | None) -> Target:
    """The target of -o and --format together; -o with a known suffix names a file, else a folder.

    Raises:
        ConfigError: they contradict each other, or the format is unknown.
    """
    if kind is not None:
        kind = kind.lower().removeprefix(".")
        check_choice("--format", kind, FORMATS)
    if out is None:
        return Target(Path(), None, kind or "mp4")
    out = str(out)
    path = home_expanded(out)
    if not out.strip():
        raise ConfigError("-o: is empty; name a file or a folder")
    if out.endswith(("/", os.sep)) or path.is_dir() or not path.suffix:
        return Target(path, None, kind or "mp4")
    suffix = path.suffix.lower().removeprefix(".")
    if suffix not in FORMATS:
        raise ConfigError(
            f"-o {shown(out)}: .{suffix} is not written; use .mp4, .gif, .webp or .png, "
            "or end a folder's name with /"
        )
    if kind is not None and kind != suffix:
        raise ConfigError(f"-o {shown(out)} and --format {kind} contradict; drop one of them")
    return Target(path.parent, path.stem, suffix)


def name_videos(pictures: Sequence[Path], target: Target) -> list[Path]:
    """A path for each video: cat.mp4, or cat-1.mp4, cat-2.mp4, ... where several would be cat.mp4.

    Raises:
        ConfigError: one name is given for the videos of several pictures.
    """
    if target.stem is not None and len(set(pictures)) > 1:
        raise ConfigError(
            f"-o names one file for {len(set(pictures))} pictures; name a folder like -o videos/"
        )
    stems = [target.stem or picture.stem for picture in pictures]
    if target.kind == "png":  # a folder: a name without suffix
        stems = [stem.replace(".", "_") for stem in stems]
    wanted = Counter(stem.casefold() for stem in stems)
    taken = {stem.casefold() for stem in stems if wanted[stem.casefold()] == 1}
    numbers = {stem: count(1) for stem in wanted}
    suffix = "" if target.kind == "png" else f".{target.kind}"
    names = []
    for stem in stems:
        if wanted[stem.casefold()] > 1:
            candidates = (f"{stem}-{number}" for number in numbers[stem.casefold()])
            stem = next(name for name in candidates if name.casefold() not in taken)
            taken.add(stem.casefold())
        names.append(target.folder / f"{stem}{suffix}")
    return names


def check_free(
    videos: Sequence[Path], inputs: Sequence[Path], *, overwrite: bool, metadata: bool
) -> None:
    """Raise ConfigError unless every video and its sidecar may be written.

    Inputs are never replaced; existing files only with `overwrite`, and a folder only if it holds
    nothing but frames.
    """
    read = {path.resolve() for path in inputs}
    for video in videos:
        if len(os.fsencode(video.name)) + len(".json") > _LONGEST_NAME:
            raise ConfigError(f"{shown(video)}: the name is too long; give a shorter one with -o")
        for path in [video, sidecar_path(video)] if metadata else [video]:
            if path.resolve() in read:
                raise ConfigError(
                    f"{shown(path)}: is what the video is made from; give another name with -o"
                )
            if not os.path.lexists(path):
                continue
            if path.is_dir() and (path.suffix or not is_frame_folder(path)):
                raise ConfigError(
                    f"{shown(path)}: is a folder of other things; give another name with -o"
                )
            if not overwrite:
                what = "already exists" if path == video else f"already exists beside {video.name}"
                raise ConfigError(
                    f"{shown(path)}: {shown(what)}; give another name with -o, or --overwrite"
                )
