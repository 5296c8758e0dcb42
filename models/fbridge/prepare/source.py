"""The source of videos: a local folder or list, or one behind a URL, read alike."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from fbridge.data.sources import Entry, Layout, Media, find_layout
from fbridge.data.stores import ObjectError, Store, StoreUrl
from fbridge.data.stores.copies import Copies
from fbridge.data.stores.scratch import scratch_folder
from fbridge.data.stores.snapshot import Snapshot
from fbridge.data.stores.store import Item
from fbridge.data.video.pool import Failure, TaskPool, Unreachable
from fbridge.errors import FBridgeError
from fbridge.files.atomic import shown

Result = TypeVar("Result")
Place = Path | StoreUrl
"""Where a source is."""

AHEAD = 8
"""Videos that are fetched while others are worked on."""
_LISTS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".json")


class Source:
    """A source and, where it is behind a URL, its local stand-in; use it in a `with` block.

    Args:
        place: a folder, list or tar.
        media_root: of a list's videos, if it is not the list's folder.
        cache_size: bytes of local copies.
    """

    def __init__(self, place: Place, media_root: Place | None, cache_size: int) -> None:
        self.place, self.media_root = place, media_root
        self._cache_size = cache_size
        self._stack = ExitStack()
        self._snapshots: list[Snapshot] = []
        self._copies: Copies | None = None
        self._local: tuple[Path, Path | None] | None = None
        if isinstance(place, Path) and not isinstance(media_root, StoreUrl):
            self._local = place, media_root

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def look(self) -> Iterator[int]:
        """Take the snapshots of what is behind URLs; yields numbers of names.

        Raises:
            DependencyError: a package is missing, or the cache cannot be written.
            StoreError: a store does not answer, or there is no such folder or file.
        """
        if self._local is not None:
            return
        scratch = self._stack.enter_context(scratch_folder())
        (scratch / "copies").mkdir()
        self._copies = Copies(scratch / "copies", self._cache_size)
        place, root = self.place, self.media_root
        if isinstance(place, StoreUrl):
            alone = root is not None
            place = yield from self._take(place, scratch / "source", alone=alone)
        if isinstance(root, StoreUrl):
            root = yield from self._take(root, scratch / "root", names_only=True)
        self._local = place, root

    def _take(
        self, url: StoreUrl, scratch: Path, *, alone: bool = False, names_only: bool = False
    ) -> Generator[int, None, Path]:
        store = Store(url)
        if not store.is_file():
            snapshot = Snapshot(store, scratch)
            self._snapshots.append(snapshot)
            yield from snapshot.take(contents=not names_only)
            return snapshot.folder
        snapshot = Snapshot(Store(url.parent), scratch)
        self._snapshots.append(snapshot)
        if url.name.lower().endswith(_LISTS) and not alone:
            yield from snapshot.take(contents=False)
        snapshot.take_file(url.name)
        return snapshot.folder / url.name

    def find_layout(self, name: str | None) -> Layout:
        """As `fbridge.data.sources.find_layout`; texts have URLs for the names of stand-ins."""
        assert self._local is not None, "look comes first"
        try:
            layout = find_layout(self._local[0], name, media_root=self._local[1])
        except FBridgeError as error:
            raise type(error)(self._told(str(error))) from error
        lost = sum(snapshot.lost for snapshot in self._snapshots)
        summary = self._told(layout.summary)
        if lost:
            first = next(snapshot.unusable[0] for snapshot in self._snapshots if snapshot.lost)
            summary += f"; {lost} names that no folder can hold are left out: {shown(first)}"
        return replace(layout, summary=summary, reader=lambda: map(self._entry, layout.entries()))

    def _entry(self, entry: Entry) -> Entry:
        """With URLs for local names, which differ from run to run."""
        if not entry.refused or not self._snapshots:
            return entry
        return replace(entry, refused=self._told(entry.refused))

    def _told(self, text: str) -> str:
        for snapshot in self._snapshots:
            text = text.replace(shown(snapshot.folder), str(snapshot.store.url))
        return text

    def fetching(self, workers: TaskPool) -> TaskPool:
        """Workers that get each video as a local copy."""
        return workers if not self._snapshots else _Fetching(self, workers)

    @contextmanager
    def local(self, media: Media) -> Iterator[Media]:
        """A video on the local disk, for as long as the context lasts."""
        copy = self.take(media)
        try:
            yield copy
        finally:
            self.give_back(media)

    def take(self, media: Media) -> Media:
        """A local copy of a video, for use until `give_back`.

        Raises:
            ObjectError: the video cannot be had.
            StoreError: the store does not answer.
        """
        found = self._find(media)
        if found is None:
            return media
        assert self._copies is not None
        store, name = found
        size = media.stat()[0]
        listed = media.path.stat()
        item = Item(name, listed.st_size, listed.st_mtime_ns)

        def fetch(path: Path) -> None:
            store.download(item, path, start=media.offset, size=media.size)

        return Media(self._copies.take(_key(media), size, fetch))

    def give_back(self, media: Media) -> None:
        """End the use of a video's copy."""
        if self._find(media) is not None:
            assert self._copies is not None
            self._copies.give_back(_key(media))

    @property
    def full(self) -> bool:
        """Whether no more copies should be taken for now."""
        return self._copies is not None and self._copies.full

    def _find(self, media: Media) -> tuple[Store, str] | None:
        for snapshot in self._snapshots:
            if name := snapshot.name_of(media.path):
                return snapshot.store, name
        return None


class _Fetching:
    """Workers whose videos are fetched ahead, by threads of this process.

    So the time limit of a task counts its own work alone, workers need no network, and a store that
    does not answer ends the run instead of rejecting videos.
    """

    def __init__(self, source: Source, workers: TaskPool) -> None:
        self._source, self._workers = source, workers

    @property
    def count(self) -> int:
        """Tasks that run at the same time."""
        return self._workers.count

    def map(
        self, function: Callable[..., Result], tasks: Iterable[tuple[Any, ...]], ahead: int
    ) -> Iterator[Result | Failure]:
        """As `Workers.map`; the first argument of each task is a `Media`."""
        held: deque[Media] = deque()
        # Copies under way are in use: with fewer of them, a small cache is enough.
        ahead = min(ahead, self.count + 2)
        try:
            for result in self._workers.map(function, self._local(tasks, held), ahead):
                self._source.give_back(held.popleft())
                yield result
        finally:
            for media in held:
                self._source.give_back(media)

    def _local(
        self, tasks: Iterable[tuple[Any, ...]], held: deque[Media]
    ) -> Iterator[tuple[Any, ...]]:
        waiting = iter(tasks)
        coming: deque[tuple[tuple[Any, ...], Future[Media | _Unfetched]]] = deque()
        with ThreadPoolExecutor(AHEAD) as threads:
            try:
                while True:
                    wanted = AHEAD - len(coming) if not (coming and self._source.full) else 0
                    for task in islice(waiting, wanted):
                        coming.append((task, threads.submit(self._take, task[0])))
                    if not coming:
                        return
                    task, future = coming.popleft()
                    media = future.result()
                    if isinstance(media, Media):
                        held.append(task[0])
                    else:
                        held.append(Media(Path(os.devnull)))  # nothing to give back
                    yield (media, *task[1:])
            finally:
                for task, future in coming:
                    future.add_done_callback(partial(self._unused, task[0]))
                    future.cancel()

    def _unused(self, media: Media, future: Future[Media | _Unfetched]) -> None:
        """Give back what was fetched in vain."""
        taken = not future.cancelled() and future.exception() is None
        if taken and isinstance(future.result(), Media):
            self._source.give_back(media)

    def _take(self, media: Media) -> Media | _Unfetched:
        try:
            return self._source.take(media)
        except ObjectError as error:
            return _Unfetched(error.why)


class _Unfetched:
    """A video that cannot be had; a worker finds out when it opens it, as of a local one."""

    def __init__(self, why: str) -> None:
        self._why = why

    def open(self) -> BinaryIO:
        raise Unreachable(f"cannot be had ({self._why})")


def _key(media: Media) -> str:
    return f"{media.path} {media.offset} {media.size}"
