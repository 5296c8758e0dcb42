"""Small videos, runs, and how to tell two data sets apart."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from fbridge.data.video.buckets import Bucket
from fbridge.data.video.pool import failure_of
from fbridge.data.video_files import write_video
from fbridge.prepare import PrepareRequest, prepare
from fbridge.prepare.run import Event

BUCKET = Bucket(32, 32, 4)


def film(path: Path, seed: int, *, frames: int = 12, size: tuple[int, int] = (48, 40)) -> None:
    """A coloured square that moves over a coloured ground."""
    rng = np.random.default_rng(seed)
    colours = rng.integers(0, 255, (2, 3))
    video = np.empty((frames, size[1], size[0], 3), np.uint8)
    video[:] = colours[0]
    for place, frame in enumerate(video):
        frame[8:24, 4 + 2 * place : 16 + 2 * place] = colours[1]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(video, path, 12)


def tree(folder: Path) -> dict[str, str]:
    """sha256 of every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


Order = Callable[..., PrepareRequest]


def run(options: PrepareRequest, **other: Any) -> list[Event]:
    """All events of a run."""
    return list(prepare(options, **other))


class Inline:
    """In place of worker processes, which take seconds to start: tasks are done here."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    count = 2

    def __enter__(self) -> Inline:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def map(
        self, function: Callable[..., Any], tasks: Iterable[tuple[Any, ...]], ahead: int
    ) -> Iterator[Any]:
        """As `fbridge.data.video.pool.Workers.map`."""
        waiting = iter(tasks)
        coming: deque[tuple[Any, ...]] = deque()
        while True:
            coming.extend(islice(waiting, ahead - len(coming)))
            if not coming:
                return
            try:
                yield function(*coming.popleft())
            except Exception as error:
                yield failure_of(error)


def run_in_child(options: PrepareRequest) -> int:
    """A run in a forked process; returns its id."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            run(options)
            code = 0
        finally:
            os._exit(code)
    return child
