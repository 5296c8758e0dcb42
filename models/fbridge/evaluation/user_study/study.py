"""Make a user study of several systems from the clips that they have in common."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import Tensor

from fbridge.errors import ConfigError, DataError
from fbridge.evaluation.clips import FrameSampling, list_clips, read_clip, read_picture
from fbridge.evaluation.origins import captions_of, pictures_of, record_of
from fbridge.evaluation.pairing import ClipSet, collect_clips
from fbridge.evaluation.protocol import Protocol
from fbridge.evaluation.user_study.page import QUESTION, StudyVideos, write_study
from fbridge.files.atomic import shown


@dataclass(frozen=True)
class StudyRequest:
    """Which systems people compare.

    Attributes:
        systems: a folder of videos for each, two or more; its name is the system's name.
        protocol: frames and stride of clips, and the seed.
        most: largest number of clips; None for all that the systems have in common.
        question: shown above each trial; None is `QUESTION`.
        pictures: folder of the pictures that clips were made from, by key.
        skip_bad: leave out videos that cannot be used, instead of stopping.
        workers: processes that decode.
    """

    systems: tuple[Path, ...]
    protocol: Protocol
    most: int | None = None
    question: str | None = None
    pictures: Path | None = None
    skip_bad: bool = False
    workers: int = 0


def make_study(request: StudyRequest, folder: Path) -> tuple[Path, int]:
    """Write the page of a study into a folder; returns the path of its key and number of clips.

    Raises:
        FBridgeError: there are not two systems with clips of the same names, or it cannot be
            written.
    """
    if len(request.systems) < 2:
        raise ConfigError("--study: name two GENERATED or more, a folder of videos each")
    names = Counter(path.resolve().name for path in request.systems)
    twice = [name for name, times in names.items() if times > 1]
    if twice:
        raise ConfigError(f"--study: two systems are called {twice[0]!r}; rename one folder")
    systems = {path.resolve().name: _clip_set(path, request) for path in request.systems}
    keys = sorted(set.intersection(*(set(system.clips) for system in systems.values())))
    keys = keys[: request.most or len(keys)]
    first = next(iter(systems.values()))
    first.keep(keys)
    records = {key: record for key, clip in first.clips.items() if (record := record_of(clip))}
    pictures = pictures_of(first.clips, records, request.pictures)

    def frames(system: ClipSet, key: str) -> Tensor:
        clip = system.clips[key]
        return read_clip(clip, (clip.width, clip.height))

    def picture(key: str) -> Tensor | None:
        clip = first.clips[key]
        size = clip.width, clip.height
        return read_picture(pictures[key], size)[0] if key in pictures else None

    videos = StudyVideos(
        systems={name: partial(frames, system) for name, system in systems.items()},
        keys=keys,
        captions=captions_of(first.clips, {}, records, 0),
        pictures=picture,
    )
    question, seed = request.question or QUESTION, request.protocol.seed
    return write_study(folder, videos, question=question, seed=seed), len(keys)


def _clip_set(path: Path, request: StudyRequest) -> ClipSet:
    sampling = FrameSampling(request.protocol.frames, request.protocol.generated_stride)
    name = path.resolve().name
    *_, found = collect_clips(list_clips(path), sampling, what=name, workers=request.workers)
    assert isinstance(found, ClipSet)
    if found.failed and not request.skip_bad:
        bad = found.failed[0]
        raise DataError(f"{shown(bad.path)}: {bad.reason}; --skip-bad leaves it out")
    return found
