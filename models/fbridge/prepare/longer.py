"""The line that prepares the videos of a data set again, as clips that FVD takes."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from fbridge.choices import MINILM, SHORTEST_FVD_CLIP
from fbridge.data.latents.format import INDEX
from fbridge.data.video.buckets import parse_buckets
from fbridge.files.atomic import shown
from fbridge.files.configs import read_json
from fbridge.loaders.locate import packaged_file

LONGER = 16
"""Frames of the clips that are proposed, where the videos have as many."""
_LOOKED_AT = 1000
"""Videos of the survey that are asked for their length."""
_SHARE = 0.9
"""Of them, those that must be long enough."""


def too_short(frames: int) -> str:
    """That clips are shorter than FVD takes them."""
    return (
        f"clips of {frames} frames are too short for fbridge eval --metric fvd, which takes "
        f"{SHORTEST_FVD_CLIP} or more"
    )


def usual_frames(step: int) -> int:
    """Frames of the clips that are proposed, for a codec of `step` video frames a latent one."""
    return -(-(LONGER - 1) // step) * step + 1


def longer_clips(data: Path, step: int) -> tuple[str, Path] | None:
    """A line of `fbridge prepare` for longer clips of the same videos, and the folder it makes.

    Args:
        data: a prepared data set.
        step: video frames a latent frame, of its codec.

    Returns:
        None where the videos are gone, or most are shorter than FVD's shortest clip.
    """
    if not (data / INDEX).is_file():
        return None
    index = read_json(data / INDEX)
    source, options = index.get("source", {}), index.get("options", {}).get("cutting", {})
    if not source or not options or not Path(source["path"]).exists():
        return None
    lengths = sorted(_lengths(data / index["files"]["survey"]["path"], options), reverse=True)
    most = lengths[int(_SHARE * (len(lengths) - 1))] if lengths else 0
    count = min(usual_frames(step), (most - 1) // step * step + 1)
    if count < SHORTEST_FVD_CLIP:
        return None
    out = Path(f"{data.name}-{count}")
    words = ["fbridge", "prepare", source["path"], "-o", shown(out), *_shape(index, count)]
    words += ["--codec", _named(index["codec"]["name"])]
    encoder = index["text_encoder"]["name"]
    words += [] if encoder == MINILM else ["--text-encoder", encoder]
    return shlex.join([*words, *_other(index["options"], options, source)]), out


def _lengths(survey: Path, options: Mapping[str, Any]) -> Iterator[int]:
    """How many frames the clips of the first videos could have."""
    with survey.open(encoding="utf-8") as lines:
        for line in islice(lines, _LOOKED_AT):
            found, rate = json.loads(line).get("found"), options["fps"]
            if found is None:  # a file that could not be read
                continue
            own = (found["frames"] - 1) // options["stride"] + 1
            yield int(found["seconds"] * rate) if rate else own


def _shape(index: Mapping[str, Any], count: int) -> list[str]:
    shapes = [parse_buckets(each["bucket"])[0] for each in index["buckets"]]
    sizes = list(dict.fromkeys(f"{shape.width}x{shape.height}" for shape in shapes))
    if len(sizes) == 1:
        return ["--frames", str(count), "--size", sizes[0]]
    return ["--buckets", ",".join(f"{size}x{count}" for size in sizes)]


def _named(codec: str) -> str:
    """A codec by its short name, where it is a file of the package."""
    return Path(codec).name if packaged_file(Path(codec).name) == Path(codec) else codec


def _other(
    options: Mapping[str, Any], cutting: Mapping[str, Any], source: Mapping[str, str]
) -> list[str]:
    """Options that are not the usual ones."""
    words: list[str] = []
    for name, value, usual in (
        ("--stride", cutting["stride"], 1),
        ("--fps", cutting["fps"], None),
        ("--clips", cutting["mode"], "head"),
        ("--media-root", source["media_root"], ""),
        ("--no-caption", options["captionless"], "keep"),
        ("--caption-prefix", options["prefix"], ""),
    ):
        words += [] if value == usual else [name, str(value)]
    return words
