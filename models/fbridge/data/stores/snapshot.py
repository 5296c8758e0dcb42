"""A folder behind a URL as a local folder that takes next to no room.

Every object is a file of its size and time, but of holes: nothing is fetched but lists, captions,
and what leads through a tar (headers and texts). So a source in a bucket is recognised, listed,
joined with its captions and planned by the same code as a local folder, and looks the same to every
pass.
"""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from fbridge.data.sources.entry import Media
from fbridge.data.sources.members import tar_members
from fbridge.data.sources.rows import SUFFIXES
from fbridge.data.sources.webdataset import TEXTS
from fbridge.data.stores.store import BLOCK, Item, Store
from fbridge.data.stores.url import StoreUrl

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

THREADS = 16
"""Requests at a time; each mostly waits."""
TAR_BLOCK = 2**15
"""Bytes of a request that looks for the next header in a tar."""
_READ = (*SUFFIXES, ".txt", ".caption", ".tar")
"""Suffixes of what is fetched, of a .tar its headers and texts."""
_TOLD = 500
"""Names between two reports of progress."""


class Snapshot:
    """The local folder of a store's folder.

    Attributes:
        store: the folder behind the URL.
        folder: the local one, called as the last part of the URL.
        unusable: the first names that no local folder can hold, and how many there are.
    """

    def __init__(self, store: Store, scratch: Path) -> None:
        self.store = store
        self.folder = Path(os.path.realpath(scratch)) / (store.url.name or "store")
        self.folder.mkdir(parents=True)
        self.unusable: list[str] = []
        self.lost = 0
        self._tars: dict[str, Item] = {}  # their files change as members are fetched

    def take(self, *, contents: bool = True) -> Iterator[int]:
        """List the whole folder; yields numbers of names so far.

        Args:
            contents: fetch lists, captions and headers of tars.

        Raises:
            StoreError: the store does not answer.
        """
        wanted: list[Item] = []
        for number, item in enumerate(self.store.items(), 1):
            if self._hole(item) and contents and item.name.lower().endswith(_READ):
                wanted.append(item)
                if len(wanted) >= _TOLD:
                    self._fill_all(wanted)
                    wanted = []
            if number % _TOLD == 0:
                yield number
        self._fill_all(wanted)

    def take_file(self, name: str) -> None:
        """Take one list or tar with its contents.

        Raises:
            ObjectError: it is not there.
            StoreError: the store does not answer.
        """
        item = self.store.item(name)
        (self.folder / name).unlink(missing_ok=True)
        self._hole(item)
        self._fill(item)

    def fill(self, media: Media) -> None:
        """Fetch a file, or a member of a tar, into its place.

        Raises:
            ObjectError: it cannot be had, or has changed since it was listed.
            StoreError: the store does not answer.
        """
        name = media.path.relative_to(self.folder).as_posix()
        if media.size is None:
            facts = media.path.stat()
            self.store.download(Item(name, facts.st_size, facts.st_mtime_ns), media.path)
            return
        end = media.offset + media.size
        with media.path.open("r+b") as file:
            file.seek(media.offset)
            for start in range(media.offset, end, BLOCK):
                file.write(self.store.read(name, start, min(start + BLOCK, end)))
        self.store.check_unchanged(self._tars[name])

    def name_of(self, path: Path) -> str | None:
        """The store's name of a local file; None of one that is not in this snapshot."""
        if not path.is_relative_to(self.folder):
            return None
        return path.relative_to(self.folder).as_posix()

    def _hole(self, item: Item) -> bool:
        """Make the file of an object, without contents; False where its name is not possible."""
        path = self.folder / item.name
        parts = item.name.split("/")
        try:
            if any(part in ("", ".", "..") for part in parts) or "\\" in item.name:
                raise ValueError
            path.parent.mkdir(parents=True, exist_ok=True)
            make_hole(path, item)
        except (FileExistsError, NotADirectoryError, ValueError):
            # "a" beside "a/b", names that differ in case alone on some systems, "a//b", ...
            return self._lose(item)
        except OSError as error:
            if len(max(parts, key=len).encode()) > 255 or len(item.name.encode()) > 4000:
                return self._lose(item)
            raise error from None
        return True

    def _lose(self, item: Item) -> bool:
        self.lost += 1
        if not self.unusable:
            self.unusable.append(item.name)
        return False

    def _fill_all(self, items: Iterable[Item]) -> None:
        for _ in in_threads(self._fill, items):
            pass

    def _fill(self, item: Item) -> None:
        path = self.folder / item.name
        if not item.name.lower().endswith(".tar"):
            self.store.download(item, path)
        else:
            self._fill_tar(item, path)
        os.utime(path, ns=(item.stamp, item.stamp))

    def _fill_tar(self, item: Item, path: Path) -> None:
        """Fetch what the pass over a tar reads: headers, captions and their like."""
        self._tars[item.name] = item
        with path.open("r+b") as local:
            window = _Filling(self.store, item, local)
            file = cast(BinaryIO, io.BufferedReader(window, 512))
            for member in tar_members(path, file):
                if member.media is None or member.key.rpartition(".")[2].lower() not in TEXTS:
                    continue
                back = file.tell()
                file.seek(member.media.offset)
                file.read(member.media.size or 0)
                file.seek(back)


class _Filling(io.RawIOBase):
    """A remote file for reading; each block that is read is kept in a local file at its place."""

    def __init__(self, store: Store, item: Item, local: BinaryIO) -> None:
        super().__init__()
        self._store, self._item, self._local = store, item, local
        self._at = 0
        self._there: set[int] = set()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        bases = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._item.size}
        self._at = bases[whence] + offset
        return self._at

    def readinto(self, buffer: WriteableBuffer) -> int:
        room = memoryview(buffer).cast("B")
        block, inner = divmod(self._at, TAR_BLOCK)
        size = min(len(room), TAR_BLOCK - inner, max(0, self._item.size - self._at))
        if size <= 0:
            return 0
        if block not in self._there:
            self._fetch(block)
        self._local.seek(self._at)
        data = self._local.read(size)
        room[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _fetch(self, block: int) -> None:
        start = block * TAR_BLOCK
        end = min(start + TAR_BLOCK, self._item.size)
        self._local.seek(start)
        self._local.write(self._store.read(self._item.name, start, end))
        self._there.add(block)


def take_url(
    url: StoreUrl, scratch: Path, *, alone: bool = False, names_only: bool = False
) -> Generator[int, None, tuple[Snapshot, Path]]:
    """The snapshot of a folder, or of a list or tar with what lies beside it, and its local place.

    Yields numbers of names so far.

    Args:
        url: of the folder, list or tar.
        scratch: a new folder for it.
        alone: of a list, without what lies beside it.
        names_only: of a folder, without lists and captions.

    Raises:
        ObjectError: there is nothing.
        StoreError: the store does not answer.
    """
    store = Store(url)
    if not store.is_file():
        snapshot = Snapshot(store, scratch)
        yield from snapshot.take(contents=not names_only)
        return snapshot, snapshot.folder
    snapshot = Snapshot(Store(url.parent), scratch)
    if url.name.lower().endswith(SUFFIXES) and not alone:
        yield from snapshot.take(contents=False)
    snapshot.take_file(url.name)
    return snapshot, snapshot.folder / url.name


def make_hole(path: Path | str, item: Item) -> None:
    """Make a file of an object's size and time without contents.

    Raises:
        FileExistsError: there is one of that name.
    """
    with open(path, "xb") as file:  # noqa: PTH123 - see `Media.file`
        file.truncate(item.size)
    os.utime(path, ns=(item.stamp, item.stamp))


def in_threads(function: Callable[[Item], None], items: Iterable[Item]) -> Iterator[Item]:
    """Call a function for each item, several at a time; yields items that are done, in order.

    Raises:
        StoreError: the first that a call raises.
    """
    waiting = iter(items)
    running: deque[tuple[Item, Future[None]]] = deque()
    with ThreadPoolExecutor(THREADS) as pool:
        try:
            while True:
                for item in islice(waiting, 4 * THREADS - len(running)):
                    running.append((item, pool.submit(function, item)))
                if not running:
                    return
                item, future = running.popleft()
                future.result()
                yield item
        finally:
            for _, future in running:
                future.cancel()
