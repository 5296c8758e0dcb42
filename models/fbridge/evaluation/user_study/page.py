"""The page that asks: static, opened from a file or any server, blind to who made what.

OUT/index.html          the page with its trials inside
OUT/media/<id>.webm     videos under names that tell nothing
OUT-key.json            which system made which; it stays with who runs the study
"""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fbridge.errors import ConfigError
from fbridge.evaluation.report.media import encode_jpeg, encode_webm
from fbridge.files.atomic import shown, write_failure, write_text

FORMAT = 1
Frames = Callable[[str], Tensor]
"""A key to the frames (T, H, W, 3) uint8 of its clip."""
QUESTION = "Which video is better overall?"
CHECKS = 2
"""Trials with an obviously damaged video, by which attention is seen."""
_POLICY = (
    "default-src 'none'; img-src 'self' data: file:; media-src 'self' file:; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'"
)


@dataclass(frozen=True)
class StudyVideos:
    """What is compared.

    Attributes:
        systems: the videos of each system by its name, two or more.
        keys: clips that all of them have.
        captions: words of the clips, where they are known.
        pictures: the picture of a clip (H, W, 3) uint8; None shows none.
    """

    systems: Mapping[str, Frames]
    keys: Sequence[str]
    captions: Mapping[str, str]
    pictures: Callable[[str], Tensor | None]


def write_study(
    folder: Path, videos: StudyVideos, *, question: str = QUESTION, fps: float = 8.0, seed: int = 0
) -> Path:
    """Write the page; the path of its key is returned.

    Every pair of systems is asked about on every clip. Sides and order are drawn in the browser,
    anew for each participant.

    Args:
        folder: to write; must not exist, or be empty.
        videos: what is compared.
        question: what is asked.
        fps: frames a second that are shown.
        seed: of the names of files.

    Raises:
        ConfigError: the folder is not empty, or there are fewer than two systems or no clip.
        DependencyError: it cannot be written.
    """
    if len(videos.systems) < 2 or not videos.keys:
        raise ConfigError("a study needs two systems or more that have clips with the same names")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"--study {shown(folder)}: is not empty; name another folder")
    try:
        (folder / "media").mkdir(parents=True, exist_ok=True)
        trials, key = _media(folder / "media", videos, fps, seed)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError):
            raise write_failure(folder, error) from None
        raise
    study = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    told = folder.with_name(f"{folder.name}-key.json")
    write_text(told, json.dumps({"format": FORMAT, "study": study, **key}, indent=1) + "\n")
    write_text(folder / "index.html", _page(study, question, trials))
    return told


def _media(
    folder: Path, videos: StudyVideos, fps: float, seed: int
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Write all videos; the trials as the page has them, and what only the key tells."""
    made: dict[str, dict[str, str]] = {}
    trials: list[dict[str, Any]] = []

    def name(*parts: str) -> str:
        return hashlib.sha256("\n".join((str(seed), *parts)).encode()).hexdigest()[:12]

    for clip in videos.keys:
        picture = videos.pictures(clip)
        still = ""
        if picture is not None:
            still = f"{name('picture', clip)}.jpg"
            (folder / still).write_bytes(encode_jpeg(picture))
        shared = {"picture": still, "caption": videos.captions.get(clip, "")}
        ids = {}
        for system, frames in videos.systems.items():
            ids[system] = name(system, clip)
            (folder / f"{ids[system]}.webm").write_bytes(encode_webm(frames(clip), fps))
            made[ids[system]] = {"system": system, "clip": clip}
        for one, other in itertools.combinations(ids.values(), 2):
            trials.append({"id": name(one, other), "videos": [one, other], **shared})
    checks = {}
    for clip in videos.keys[:CHECKS]:
        good = next(iter(made_id for made_id, told in made.items() if told["clip"] == clip))
        bad = name("damaged", clip)
        shown_first = next(iter(videos.systems.values()))
        (folder / f"{bad}.webm").write_bytes(encode_webm(_damaged(shown_first(clip)), fps))
        trial = name("check", clip)
        checks[trial] = good
        trials.append({"id": trial, "videos": [good, bad], "picture": "", "caption": ""})
    trials.sort(key=lambda trial: str(trial["id"]))  # no order tells a check
    return trials, {"media": made, "checks": checks}


def _damaged(frames: Tensor) -> Tensor:
    """So bad that nobody who looks prefers it: shuffled, and drowned in noise."""
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(len(frames), generator=generator)
    noise = torch.randint(-120, 121, frames.shape, generator=generator)
    return (frames[order].int() + noise).clamp(0, 255).byte()


def _page(study: str, question: str, trials: list[dict[str, Any]]) -> str:
    facts = {"format": FORMAT, "study": study, "question": question, "trials": trials}
    inside = json.dumps(facts).replace("<", "\\u003c").replace("\u2028", "\\u2028")
    return (
        _file("study.html")
        .replace("{{policy}}", _POLICY)
        .replace("{{style}}", _file("study.css"))
        .replace("{{script}}", _file("study.js"))
        .replace("{{facts}}", inside)
    )


def _file(name: str) -> str:
    return (
        resources.files("fbridge.evaluation.user_study").joinpath(name).read_text(encoding="utf-8")
    )
