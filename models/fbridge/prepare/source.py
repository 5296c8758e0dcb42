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
from fbridge.data.stores.linked import LinkedFiles
from fbridge.data.stores.scratch import scratch_folder
from fbridge.data.stores.snapshot import THREADS, Snapshot, take_url
from fbridge.data.stores.store import Item
from fbridge.data.video.pool import Failure, TaskPool, Unreachable
from fbridge.errors import ConfigError, FBridgeError
from fbridge.files.atomic import shown

Result = TypeVar("Result")
Place = Path | StoreUrl
"""Where a source is."""

AHEAD = 8
"""Videos that are fetched while others are worked on."""
_UNLISTED = ("folder", "webdataset")
"""Layouts without a list, whose rows could name URLs."""
_ROWS_AHEAD = 4 * THREADS


class Source:
    """A source and, where it is behind a URL, its local stand-in; use it in a `with` block.

    Args:
        place: a folder, list or tar.
        media_root: of a list's videos, if it is not the list's folder.
        cache_size: bytes of local copies.
        only_files: why a list must not name URLs, as the end of an error; "" where it may.
    """

    def __init__(
        self, place: Place, media_root: Place | None, cache_size: int, only_files: str = ""
    ) -> None:
        self.place, self.media_root = place, media_root
        self._cache_size, self._only_files = cache_size, only_files
        self._stack = ExitStack()
        self._snapshots: list[Snapshot] = []
        self._copies: Copies | None = None
        self._linked: LinkedFiles | None = None
        self._scratch: Path | None = None
        self._may_link = False
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
        scratch = self._open_scratch()
        place, root = self.place, self.media_root
        if isinstance(place, StoreUrl):
            alone = root is not None
            place = yield from self._take(place, scratch / "source", alone=alone)
        if isinstance(root, StoreUrl):
            root = yield from self._take(root, scratch / "root", names_only=True)
        self._local = place, root

    def _open_scratch(self) -> Path:
        if self._scratch is None:
            self._scratch = self._stack.enter_context(scratch_folder())
            (self._scratch / "copies").mkdir()
            self._copies = Copies(self._scratch / "copies", self._cache_size)
        return self._scratch

    def _take(
        self, url: StoreUrl, scratch: Path, *, alone: bool = False, names_only: bool = False
    ) -> Generator[int, None, Path]:
        snapshot, path = yield from take_url(url, scratch, alone=alone, names_only=names_only)
        self._snapshots.append(snapshot)
        return path

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
        self._may_link = layout.name not in _UNLISTED
        return replace(layout, summary=summary, reader=lambda: self._entries(layout))

    def _entries(self, layout: Layout) -> Iterator[Entry]:
        """The entries of a layout; what their URLs lead to is asked for ahead, by threads."""
        waiting: deque[tuple[Entry, Future[None] | None]] = deque()
        with ThreadPoolExecutor(THREADS) as threads:
            try:
                for entry in layout.entries():
                    found = self._found(entry)
                    asked = None if found else self._look_up(entry, threads)
                    waiting.append((found or entry, asked))
                    while waiting and (waiting[0][1] is None or len(waiting) > _ROWS_AHEAD):
                        yield self._ready(*waiting.popleft())
                while waiting:
                    yield self._ready(*waiting.popleft())
            finally:
                for _, asked in waiting:
                    if asked is not None:
                        asked.cancel()

    def _look_up(self, entry: Entry, threads: ThreadPoolExecutor) -> Future[None]:
        """Ask for what a row's URL leads to."""
        if self._only_files:
            raise ConfigError(f"{entry.url}: is named by the list, but {self._only_files}")
        if self._linked is None:
            folder = self._open_scratch() / "linked"
            folder.mkdir()
            self._linked = LinkedFiles(folder)
        return threads.submit(self._linked.look_up, entry.url)

    def _known(self, url: str) -> tuple[Path, str] | None:
        """The stand-in of a URL in a folder that was listed, and its name there."""
        for snapshot in self._snapshots:
            name = url.removeprefix(f"{snapshot.store.url}/")
            path = snapshot.folder / name
            if name != url and path.is_file():
                return path, name
        return None

    def _found(self, entry: Entry) -> Entry | None:
        """An entry with the stand-in of its URL, and URLs for local names, which are of this run.

        None if what its URL leads to was not asked for.
        """
        if not entry.url:
            refused = self._told(entry.refused) if entry.refused else ""
            return replace(entry, refused=refused) if refused != entry.refused else entry
        if self._only_files:
            return None
        if known := self._known(entry.url):
            return replace(entry, key=known[1], media=Media(str(known[0])), refused="")
        found = None if self._linked is None else self._linked.find(entry.url)
        if isinstance(found, str):
            return replace(entry, refused=f"cannot be had ({found})")
        return None if found is None else entry.at(found)

    def _ready(self, entry: Entry, asked: Future[None] | None) -> Entry:
        """An entry of which all is known that was asked.

        Raises:
            StoreError: the store of its URL does not answer.
        """
        if asked is None:
            return entry
        asked.result()
        found = self._found(entry)
        assert found is not None, "it was looked up"
        return found

    def _told(self, text: str) -> str:
        for snapshot in self._snapshots:
            text = text.replace(shown(snapshot.folder), str(snapshot.store.url))
        return text

    def fetching(self, workers: TaskPool) -> TaskPool:
        """Workers that get each video as a local copy."""
        remote = self._snapshots or self._may_link
        return _Fetching(self, workers) if remote else workers

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
        store, item = found
        size = media.stat()[0]

        def fetch(path: Path) -> None:
            store.download(item, path, start=media.offset, size=media.size)

        return Media(str(self._copies.take(_key(media), size, fetch)))

    def give_back(self, media: Media) -> None:
        """End the use of a video's copy."""
        if self._find(media) is not None:
            assert self._copies is not None
            self._copies.give_back(_key(media))

    @property
    def full(self) -> bool:
        """Whether no more copies should be taken for now."""
        return self._copies is not None and self._copies.full

    def _find(self, media: Media) -> tuple[Store, Item] | None:
        """Where the bytes of a stand-in are; None of a local file."""
        if media.url:
            assert self._linked is not None
            return self._linked.store(media.url), self._linked.item(media.url)
        for snapshot in self._snapshots:
            if name := snapshot.name_of(media.path):
                facts = media.path.stat()
                return snapshot.store, Item(name, facts.st_size, facts.st_mtime_ns)
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
                        held.append(Media(os.devnull))  # nothing to give back
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
    return f"{media.file} {media.offset} {media.size}"
