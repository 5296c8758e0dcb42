"""Writing a batch's videos while they are rendered: frames go to a thread that encodes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from threading import Event
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from fbridge.data.provenance import Provenance
from fbridge.data.video_output import write_video
from fbridge.generate.events import Item

Part = NDArray[np.uint8]
"""The next frames of a video, (f, H, W, 3)."""


class Writers:
    """One video after the other is encoded in a thread, as its frames come.

    A video takes its name on the disk in `finish`; leaving the context drops those that have not.

    Args:
        items: the videos of a batch.
        record: of a video, by its number, asked for when its first frames are there; None writes
            none into the files.
        overwrite: whether a file of that name is replaced.
    """

    def __init__(
        self, items: Sequence[Item], record: Callable[[int], Provenance] | None, *, overwrite: bool
    ) -> None:
        self._items, self._record, self._overwrite = items, record, overwrite
        self._queues: list[SimpleQueue[Part | None]] = [SimpleQueue() for _ in items]
        self._dropped = Event()
        self._pool = ThreadPoolExecutor(1)
        self._futures: dict[int, Future[None]] = {}

    def __enter__(self) -> Writers:
        return self

    def add(self, number: int, frames: Part) -> None:
        """Encode the next frames of a video of the batch."""
        queue = self._queues[number]
        queue.put(frames)
        if number not in self._futures:
            item = self._items[number]
            self._futures[number] = self._pool.submit(
                write_video,
                self._parts(queue),
                item.video,
                item.record.fps,
                comment=None if self._record is None else self._record(number).comment(),
                overwrite=self._overwrite,
            )

    def finish(self, number: int) -> None:
        """Wait until a video, all of whose frames are there, is whole on the disk.

        Raises:
            FBridgeError: it could not be written.
        """
        self._queues[number].put(None)
        self._futures[number].result()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._dropped.set()
        for queue in self._queues:
            queue.put(None)
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _parts(self, queue: SimpleQueue[Part | None]) -> Iterator[Part]:
        while True:
            part = queue.get()
            if self._dropped.is_set():
                raise _DroppedError
            if part is None:
                return
            yield part


class _DroppedError(Exception):
    """A video is not wanted any more."""
