"""The page of a blind user study: static HTML, opened from a file or a server.

OUT/index.html          the page, with its trials embedded
OUT/media/<id>.webm     videos under names that do not reveal the system
OUT-key.json            which system made which video; kept by whoever runs the study
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
from fbridge.files.atomic import shown, write_failure, write_text
from fbridge.pages.media import encode_jpeg, encode_webm

FORMAT = 1
Frames = Callable[[str], Tensor]
"""Maps a key to the frames (T, H, W, 3) uint8 of its clip."""
QUESTION = "Which video is better overall?"
CHECKS = 2
"""Number of attention checks: trials with an obviously damaged video."""
_POLICY = (
    "default-src 'none'; img-src 'self' data: file:; media-src 'self' file:; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'"
)


@dataclass(frozen=True)
class StudyVideos:
    """The videos that participants compare.

    Attributes:
        systems: the videos of each system by its name, two or more.
        keys: of the clips that all systems have.
        captions: by key, where they are known.
        pictures: returns the picture of a clip (H, W, 3) uint8, or None to show none.
    """

    systems: Mapping[str, Frames]
    keys: Sequence[str]
    captions: Mapping[str, str]
    pictures: Callable[[str], Tensor | None]


def write_study(
    folder: Path, videos: StudyVideos, *, question: str = QUESTION, fps: float = 8.0, seed: int = 0
) -> Path:
    """Write the page; returns the path of its key.

    There is one trial for each pair of systems and each clip. The browser draws sides and order
    anew for each participant.

    Args:
        folder: to write; must not exist, or be empty.
        videos: of all systems.
        question: shown above each trial.
        fps: frames per second.
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
    path = folder.with_name(f"{folder.name}-key.json")
    write_text(path, json.dumps({"format": FORMAT, "study": study, **key}, indent=1) + "\n")
    write_text(folder / "index.html", _page(study, question, trials))
    return path


def _media(
    folder: Path, videos: StudyVideos, fps: float, seed: int
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Write all videos; returns the trials for the page, and the content of the key."""
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
    system, frames = next(iter(videos.systems.items()))
    for clip in videos.keys[:CHECKS]:
        good, bad, trial = name(system, clip), name("damaged", clip), name("check", clip)
        (folder / f"{bad}.webm").write_bytes(encode_webm(_damaged(frames(clip)), fps))
        checks[trial] = good
        trials.append({"id": trial, "videos": [good, bad], "picture": "", "caption": ""})
    trials.sort(key=lambda trial: str(trial["id"]))  # so that the order does not reveal a check
    return trials, {"media": made, "checks": checks}


def _damaged(frames: Tensor) -> Tensor:
    """The clip with its frames shuffled and strong noise added: clearly worse."""
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(len(frames), generator=generator)
    noise = torch.randint(-120, 121, frames.shape, generator=generator)
    return (frames[order].int() + noise).clamp(0, 255).byte()


def _page(study: str, question: str, trials: list[dict[str, Any]]) -> str:
    facts = {"format": FORMAT, "study": study, "question": question, "trials": trials}
    inside = json.dumps(facts).replace("<", "\\u003c").replace("\u2028", "\\u2028")
    style, script = (_file(f"study.{suffix}") for suffix in ("css", "js"))
    page = _file("study.html").replace("{{policy}}", _POLICY).replace("{{style}}", style)
    return page.replace("{{script}}", script).replace("{{facts}}", inside)


def _file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
