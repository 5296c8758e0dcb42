"""Training from a data set in a store: tables at once, shards when a row of them is drawn."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock
from safetensors import safe_open

from fbridge.data.latents import LatentDataset
from fbridge.data.latents.format import INDEX, MISSING, file_fault
from fbridge.data.stores.faults import ObjectError, StoreError
from fbridge.data.stores.scratch import stores_folder
from fbridge.data.stores.stored_set import StoredSet
from fbridge.data.stores.url import StoreUrl
from fbridge.errors import DataError
from fbridge.files.atomic import write_failure

OPEN_SHARDS = 4
"""Shards that a process keeps mapped: removed ones hold their room on the disk until then."""
_LOCKS = 64
_THREADS = 8
_TRIES = 10
_DEAD = 3600
"""Seconds without a write after which half of a file belongs to no run."""


def open_stored(url: StoreUrl, limit: int) -> LatentDataset:
    """A data set behind a URL, whose shards come to this machine as they are needed.

    They are kept for later runs, and shared by all processes of this machine.

    Args:
        url: of the data set.
        limit: bytes that its shards may take on this machine.

    Raises:
        DataError: there is no finished data set.
        StoreError: the store does not answer.
        DependencyError: the protocol's package is missing, or the cache cannot be written.
    """
    folder = stores_folder() / f"data-{hashlib.sha256(str(url).encode()).hexdigest()[:12]}"
    try:
        (folder / "locks").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_failure(folder, error) from None
    there = StoredSet(url, folder)
    with FileLock(folder / "locks" / "tables"):
        if there.index_hash() != _hash(folder / INDEX):
            (folder / INDEX).unlink(missing_ok=True)
        index = there.fetch_tables()
        for part in index["files"].values():
            if file_fault(folder, part):  # cut short here, as by a power failure: once more
                (folder / part["path"]).unlink(missing_ok=True)
                there.fetch(part["path"])
            if fault := file_fault(folder, part):
                raise _damaged(url, part, fault)
        _remove_dead(folder)
    return LatentDataset(folder, shards=ShardCache(url, folder, limit))


class ShardCache:
    """The shards of a data set in a store; may be pickled for, and forked into, other processes."""

    most_open = OPEN_SHARDS

    def __init__(self, url: StoreUrl, folder: Path, limit: int) -> None:
        self.url, self._folder, self._limit = url, folder, limit
        self._set: StoredSet | None = None
        self._process = 0
        self._whole: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_set": None}

    def open(self, record: dict[str, Any]) -> Any:
        """An open shard, fetched unless it is at hand.

        Raises:
            DataError: it is not in the store, or is not as it was written.
            StoreError: the store does not answer.
        """
        path = self._folder / record["path"]
        for _ in range(_TRIES):
            self._have(record)
            with suppress(FileNotFoundError):  # another process has made room for its own
                file = safe_open(path, "pt")
                os.utime(path)
                return file
        raise StoreError(
            f"{self.url / record['path']}: is removed from the cache as soon as it is there; make "
            "--cache-size larger"
        )

    def fetch(self, records: Sequence[dict[str, Any]]) -> None:
        """Fetch several shards at a time, as far as they fit beside each other.

        Raises:
            DataError, StoreError: as `open`.
        """
        wanted = [record for record in records if not self._at_hand(record)]
        if len(wanted) < 2 or 2 * sum(record["bytes"] for record in wanted) > self._limit:
            return  # `open` fetches them one by one
        self._stored()  # by this thread alone
        with ThreadPoolExecutor(min(_THREADS, len(wanted))) as threads:
            for _ in threads.map(self._have, wanted):
                pass

    def _at_hand(self, record: dict[str, Any]) -> bool:
        return record["path"] in self._whole and (self._folder / record["path"]).is_file()

    def _have(self, record: dict[str, Any]) -> None:
        name = record["path"]
        path = self._folder / name
        if self._at_hand(record):
            return
        number = int(hashlib.sha256(name.encode()).hexdigest(), 16) % _LOCKS
        with FileLock(self._folder / "locks" / f"{number:02d}"):
            try:
                if not path.is_file() or file_fault(self._folder, record):
                    self._fetch(record, path)
            except FileNotFoundError:
                return  # another run has made room for its own: `open` tries again
        self._whole.add(name)

    def _fetch(self, record: dict[str, Any], path: Path) -> None:
        self._make_room(record["bytes"])
        path.unlink(missing_ok=True)
        try:
            there = self._stored()
            there.store.download(there.store.item(record["path"]), path)
        except ObjectError as error:
            raise _damaged(self.url, record, error.why) from error
        fault = file_fault(self._folder, record)
        if fault not in ("", MISSING):  # another run may have made room for its own
            path.unlink(missing_ok=True)
            raise _damaged(self.url, record, fault)

    def _stored(self) -> StoredSet:
        """The store, anew in a forked process: connections cannot be shared."""
        if self._set is None or self._process != os.getpid():
            self._set, self._process = StoredSet(self.url, self._folder), os.getpid()
        return self._set

    def _make_room(self, size: int) -> None:
        """Remove the shards whose use is the longest ago, until another one fits."""
        with FileLock(self._folder / "locks" / "room"):
            found = []
            for path in self._folder.glob("*/??/*.safetensors"):
                with suppress(FileNotFoundError):
                    facts = path.stat()
                    found.append((facts.st_mtime_ns, facts.st_size, path))
            total = sum(each for _, each, _ in found)
            for _, each, path in sorted(found):
                if total + size <= self._limit:
                    return
                path.unlink(missing_ok=True)
                total -= each


def _damaged(url: StoreUrl, record: dict[str, Any], fault: str) -> DataError:
    """The error of a file that is not in the store as it was written."""
    return DataError(
        f"{url / record['path']}: {fault}; fbridge prepare --verify {url} lists the damage and the "
        "way out"
    )


def _remove_dead(folder: Path) -> None:
    """Remove halves of files that nobody has written to for long: their runs were killed."""
    for path in folder.rglob(".fbridge-*.part"):
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > _DEAD:
                path.unlink()


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
