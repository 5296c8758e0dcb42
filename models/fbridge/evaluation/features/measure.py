"""One decoding pass for all metrics: clips to features, by several processes.

Each process computes with one thread and one clip at a time, so a feature has the same bits
however many processes there are, in whatever order clips come, and after any interruption.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fbridge.data.pictures import reading_of
from fbridge.data.video import Failure, Workers
from fbridge.data.video.pool import failure_of
from fbridge.errors import DataError
from fbridge.evaluation.clips import EvalClip, read_clip, read_picture, vary
from fbridge.evaluation.features.cache import FeatureCache, key_of
from fbridge.evaluation.features.networks import Feature, Setup, build, round_trip

PATIENCE = 1800.0
"""Time limit in seconds for the features of one clip; flow networks are slow on a CPU."""
ROUND_TRIP = "codec"
"""Name of the variant that is encoded and decoded by the codec."""


@dataclass(frozen=True)
class FrameSource:
    """Input of a feature: a clip, unchanged or as a variant, or a single picture."""

    clip: EvalClip | None = None
    picture: Path | None = None
    variant: str = ""

    def identity(self, setup: Setup) -> str:
        """Identity by content: equal identities mean equal frames."""
        size = f"{setup.size[0]}x{setup.size[1]}"
        if self.clip is None:
            assert self.picture is not None
            parts = _picture_hash(self.picture), reading_of(self.picture), size
            return " ".join(filter(None, parts))
        variant = f"{self.variant}:{setup.codec}" if self.variant == ROUND_TRIP else self.variant
        return f"{self.clip.hash} {size} {variant}"

    def frames(self, setup: Setup) -> Tensor:
        """(T, H, W, 3) uint8."""
        if self.clip is None:
            assert self.picture is not None
            return read_picture(self.picture, setup.size)
        frames = _decoded(self.clip, setup.size)
        if self.variant == ROUND_TRIP:
            return round_trip(setup)(frames)
        return vary(frames, self.variant, self.clip.hash)


@dataclass(frozen=True)
class FeatureRequest:
    """A requested feature of one input, or of two that are compared."""

    feature: str
    sources: tuple[FrameSource, ...]


@dataclass(frozen=True)
class FeatureTask:
    """All features requested of the clips with one key, which are decoded together."""

    key: str
    requests: tuple[FeatureRequest, ...]


@dataclass
class FeatureProgress:
    """Progress of the pass.

    Attributes:
        done, total: tasks.
        fresh: tasks that had to be computed.
        failed: keys whose clips could not be read, and why.
    """

    total: int
    done: int = 0
    fresh: int = 0
    failed: dict[str, str] = field(default_factory=dict)


class Computing(Protocol):
    """What computes features elsewhere than in processes of this machine."""

    def compute(
        self, tasks: Sequence[FeatureTask], setup: Setup, identities: Mapping[str, str]
    ) -> Iterator[list[Tensor] | Failure]:
        """The features of each task, in order; any number of processes gives the same bits."""


def measure(
    tasks: Sequence[FeatureTask],
    setup: Setup,
    identities: Mapping[str, str],
    cache: FeatureCache,
    *,
    workers: int,
    elsewhere: Computing | None = None,
) -> Iterator[FeatureProgress]:
    """Compute and cache the features that are not cached yet; yields after every task.

    Args:
        tasks: the requested features.
        setup: how features are computed.
        identities: of each feature by its name.
        cache: of features.
        workers: processes; 0 computes in this one.
        elsewhere: what computes in their place.

    Raises:
        FBridgeError: what every task would raise, such as for missing weights.
    """
    outcome = FeatureProgress(len(tasks))
    left = []
    known = cache.known(key for task in tasks for key in _keys(task, setup, identities))
    for task in tasks:
        missing = tuple(
            request
            for request, key in zip(task.requests, _keys(task, setup, identities), strict=True)
            if key not in known
        )
        if missing:
            left.append(FeatureTask(task.key, missing))
    outcome.done = len(tasks) - len(left)
    yield outcome
    if elsewhere is not None and left:
        computed = elsewhere.compute(left, setup, identities)
    else:
        computed = _computed(left, setup, workers)
    for task, rows in zip(left, computed, strict=True):
        outcome.done += 1
        outcome.fresh += 1
        if isinstance(rows, Failure):
            outcome.failed[task.key] = rows.reason
        else:
            cache.put(zip(_keys(task, setup, identities), rows, strict=True))
        yield outcome


def missing(
    tasks: Sequence[FeatureTask], setup: Setup, identities: Mapping[str, str], cache: FeatureCache
) -> list[str]:
    """Keys of tasks with a feature that is not cached, because computing it failed."""
    wanted = {task.key: _keys(task, setup, identities) for task in tasks}
    known = cache.known(key for keys in wanted.values() for key in keys)
    return [name for name, keys in wanted.items() if not known.issuperset(keys)]


def read_feature(
    request: FeatureRequest, setup: Setup, identities: Mapping[str, str], cache: FeatureCache
) -> Tensor:
    """A feature that `measure` has cached."""
    return cache.get(_key(request, setup, identities))


def compute(task: FeatureTask, setup: Setup) -> list[Tensor]:
    """The features of a task, in its order.

    Raises:
        DataError: A clip cannot be read.
    """
    frames: dict[FrameSource, Tensor] = {}
    rows = []
    with _OneThread(), torch.inference_mode():
        for request in task.requests:
            for source in request.sources:
                if source not in frames:
                    frames[source] = source.frames(setup)
            feature: Feature = build(request.feature, setup)
            rows.append(feature(*(frames[source] for source in request.sources)).float().cpu())
    return rows


def _computed(
    tasks: Sequence[FeatureTask], setup: Setup, workers: int
) -> Iterator[list[Tensor] | Failure]:
    if not tasks:
        return
    if workers == 0:
        for task in tasks:
            try:
                yield compute(task, setup)
            except Exception as error:
                yield failure_of(error)
        return
    with Workers(min(workers, len(tasks)), time_limit=PATIENCE) as pool:
        made = pool.map(partial(as_arrays, setup=setup), ((task,) for task in tasks), 3 * workers)
        for rows in made:
            yield rows if isinstance(rows, Failure) else [torch.from_numpy(row) for row in rows]


def as_arrays(task: FeatureTask, setup: Setup) -> list[NDArray[np.float32]]:
    """As `compute`, but pickled by value; tensors use shared memory, which may run out."""
    return [row.numpy() for row in compute(task, setup)]


class _OneThread:
    """Limits torch to one thread, so that the order of summation is fixed."""

    def __enter__(self) -> None:
        self._before = torch.get_num_threads()
        torch.set_num_threads(1)

    def __exit__(self, *_: object) -> None:
        torch.set_num_threads(self._before)


def _keys(task: FeatureTask, setup: Setup, identities: Mapping[str, str]) -> list[bytes]:
    return [_key(request, setup, identities) for request in task.requests]


def _key(request: FeatureRequest, setup: Setup, identities: Mapping[str, str]) -> bytes:
    return key_of(
        identities[request.feature], *(source.identity(setup) for source in request.sources)
    )


@lru_cache(maxsize=4)
def _decoded(clip: EvalClip, size: tuple[int, int]) -> Tensor:
    return read_clip(clip, size)


@lru_cache(maxsize=4096)
def _picture_hash(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(f"{path.name} cannot be read ({error.strerror or error})") from None
