"""One folder of an object store or web server, by fsspec: its names, ranges, uploads."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fbridge.data.stores.faults import CutShort, MissingError, ObjectError, StoreError, tried
from fbridge.data.stores.url import EXTRAS, StoreUrl
from fbridge.errors import ConfigError, DependencyError
from fbridge.files.atomic import replacing

BLOCK = 2**23
"""Bytes of a request for a whole file: what a broken answer costs."""
_AHEAD = 16
"""Folders that are listed while the names of another are read."""
PROBE = ".fbridge-probe"
"""Name of the empty file by which it is tried whether a store takes files."""
_TIMES = ("LastModified", "last_modified", "updated", "mtime", "created")
_TAGS = ("ETag", "etag", "md5Hash", "blob_id")
_OPTIONS: dict[str, dict[str, Any]] = {
    # `tried` repeats requests, also those that a package below would give up.
    "s3": {"config_kwargs": {"retries": {"total_max_attempts": 1}}},
}


@dataclass(frozen=True)
class Item:
    """An object of a store.

    Attributes:
        name: relative to the store's folder.
        size: in bytes.
        stamp: when it was made, in nanoseconds, with a hash of its tag below the second.
    """

    name: str
    size: int
    stamp: int


class Store:
    """A folder behind a URL; threads may share one.

    Args:
        url: of the folder.

    Raises:
        DependencyError: the protocol's package is not installed.
        StoreError: the store cannot be used as it is set up.
    """

    def __init__(self, url: StoreUrl) -> None:
        self.url = url
        self._fs, self._path = _open(url)

    def is_file(self) -> bool:
        """Whether the URL is that of a file; of a web server, by its name alone.

        Raises:
            MissingError: there is nothing.
            ObjectError: it may not be read.
        """
        if self.url.protocol in ("http", "https"):
            return "." in self.url.name and not self._path.endswith("/")
        return bool(self._told(self.url, self._path)["type"] == "file")

    def items(self, *, deep: bool = True) -> Iterator[Item]:
        """All objects in the folder and below, folder by folder, without hidden names.

        Args:
            deep: also those of the folders in it.
        """
        waiting: list[str] = [""]
        asked: dict[str, Future[list[dict[str, Any]]]] = {}
        with ThreadPoolExecutor(_AHEAD) as threads:
            try:
                while waiting:
                    for folder in waiting[-_AHEAD:]:
                        if folder not in asked:
                            asked[folder] = threads.submit(self._list, folder)
                    folder = waiting.pop()
                    for found in asked.pop(folder).result():
                        name = self._relative(found["name"])
                        if not name or name == folder or name.rpartition("/")[2].startswith("."):
                            continue
                        if found["type"] == "directory":
                            waiting += [name] if deep else []
                        else:
                            yield self._item(name, found)
            finally:
                for listing in asked.values():
                    listing.cancel()

    def item(self, name: str) -> Item:
        """One object.

        Raises:
            ObjectError: there is none of this name.
        """
        found = self._info(name)
        if found.get("type") == "directory":
            raise ObjectError(str(self.url / name), "is a folder; name a file in it")
        return self._item(name, found)

    def read(self, name: str, start: int, end: int) -> bytes:
        """Bytes of an object, from `start` to before `end`.

        Raises:
            ObjectError, StoreError: as `faults.tried`.
        """
        return self._read(name, start, end, end - start) if end > start else b""

    def download(
        self, item: Item, target: Path, *, start: int = 0, size: int | None = None
    ) -> None:
        """Write an object, or `size` bytes of it, to a local file, which is whole or absent.

        Args:
            item: as it was listed.
            target: the local file.
            start: first byte.
            size: bytes; None is up to the end.

        Raises:
            ObjectError: it is not there any more, or is another than was listed.
            StoreError: as `faults.tried`.
        """
        whole = start == 0 and size is None and item.size <= BLOCK
        end = item.size if size is None else start + size
        with replacing(target) as hidden, hidden.open("wb") as file:
            if whole and item.size:
                file.write(self._read(item.name, 0, None, item.size))
            elif not whole:
                for place in range(start, end, BLOCK):
                    file.write(self.read(item.name, place, min(place + BLOCK, end)))
                self.check_unchanged(item)

    def check_unchanged(self, item: Item) -> None:
        """Ask for an object again, of which parts were read one by one.

        Raises:
            ObjectError: it is another than was listed, or gone.
            StoreError: the store does not answer.
        """
        if self.item(item.name) != item:
            raise self._changed(item.name)

    def _read(self, name: str, start: int, end: int | None, size: int) -> bytes:
        def call() -> bytes:
            data: bytes = self._fs.cat_file(self._full(name), start=start, end=end)
            if len(data) < size:
                raise CutShort(f"{len(data)} of {size} bytes")
            return data

        data = tried(str(self.url / name), call)
        if len(data) > size and end is not None:
            raise StoreError(
                f"{self.url / name}: the server sends whole files for ranges of bytes; copy it to "
                "this machine"
            )
        if len(data) > size:
            raise self._changed(name)
        return data

    def _changed(self, name: str) -> ObjectError:
        return ObjectError(str(self.url / name), "has changed since it was listed; try again")

    def upload(self, source: Path, name: str) -> None:
        """Write a local file to an object, which is whole or as it was before.

        Raises:
            ObjectError, StoreError: as `faults.tried`.
        """
        # One request, or a multipart upload that the last request makes visible.
        tried(str(self.url / name), lambda: self._fs.put_file(str(source), self._full(name)))
        size = source.stat().st_size
        if (there := self.item(name).size) != size:
            raise StoreError(f"{self.url / name}: {there} of {size} bytes have arrived; try again")

    def remove(self, names: Iterable[str]) -> None:
        """Delete objects; ones that are gone already do not matter."""
        for name in names:
            with suppress(ObjectError):
                tried(str(self.url / name), partial(self._fs.rm_file, self._full(name)))

    def check_writable(self, option: str) -> None:
        """Upload and remove an empty file: better now than after hours of work.

        Raises:
            ConfigError: it is refused.
            StoreError: the store does not answer.
        """
        with TemporaryDirectory() as folder:
            probe = Path(folder, "probe")
            probe.touch()
            try:
                self.upload(probe, PROBE)
            except ObjectError as error:
                raise ConfigError(
                    f"{option} {self.url}: cannot be written ({error.why}); name another bucket"
                ) from None
        self.remove([PROBE])

    def exists(self, name: str) -> bool:
        """Whether there is an object of this name.

        Raises:
            ObjectError: that may not be known.
            StoreError: the store does not answer.
        """
        try:
            self._info(name)
        except MissingError:
            return False
        return True

    @cached_property
    def _root(self) -> str:
        return self._path.rstrip("/") + "/"

    def _full(self, name: str) -> str:
        return self._root + name

    def _relative(self, full: str) -> str:
        full = full.rstrip("/") + "/"
        return full.removeprefix(self._root).rstrip("/") if full.startswith(self._root) else ""

    def _list(self, folder: str) -> list[dict[str, Any]]:
        url = self.url / folder if folder else self.url
        path = self._full(folder) if folder else self._path
        found: list[dict[str, Any]] = tried(str(url), lambda: self._fs.ls(path, detail=True))
        return found

    def _info(self, name: str) -> dict[str, Any]:
        return self._told(self.url / name, self._full(name))

    def _told(self, url: StoreUrl, path: str) -> dict[str, Any]:
        """What the store tells of an object or folder."""

        def call() -> dict[str, Any]:
            try:
                found: dict[str, Any] = self._fs.info(path)
            except OSError as error:
                if isinstance(error, PermissionError) or error.errno == errno.EINVAL:
                    # The answer to HEAD has no body, which would say why; that to GET has.
                    self._fs.cat_file(path, start=0, end=1)
                raise
            return found

        return tried(str(url), call)

    def _item(self, name: str, found: dict[str, Any]) -> Item:
        if found.get("size") is None:  # a web server's list of links has no sizes
            found = self._info(name)
        if found.get("size") is None:
            raise ObjectError(str(self.url / name), "its size is not told, so it cannot be read")
        return Item(name, int(found["size"]), _stamp(found))


def _open(url: StoreUrl) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    try:
        fs, path = url_to_fs(
            str(url),
            use_listings_cache=False,  # else what another process writes is never seen
            skip_instance_cache=True,
            **_OPTIONS.get(url.protocol, {}),
        )
    except ImportError as error:
        extra = EXTRAS[url.protocol]
        raise DependencyError(
            f"{url}: {url.protocol}:// needs a package that is not installed "
            f"({error.name or 'see its extra'}): pip install 'fbridge[{extra}]'"
        ) from None
    except (ValueError, OSError) as error:
        raise StoreError(f"{url}: cannot be used ({error})") from error
    if url.protocol == "s3":
        fs.retries = 1
    return fs, path


def _stamp(found: dict[str, Any]) -> int:
    """The time of an object in nanoseconds.

    Stores tell whole seconds. The digits below are a hash of the object's tag, so that one that was
    replaced by another of its size within a second differs from it.
    """
    when = next((found[name] for name in _TIMES if found.get(name)), 0)
    if isinstance(when, str):
        try:
            when = datetime.fromisoformat(when.replace("Z", "+00:00"))
        except ValueError:
            when = 0
    if isinstance(when, datetime):
        when = when if when.tzinfo else when.replace(tzinfo=timezone.utc)
        when = when.timestamp()
    tag = next((str(found[name]) for name in _TAGS if found.get(name)), "")
    below = int.from_bytes(hashlib.sha256(tag.encode()).digest()[:6], "big") % 10**9 if tag else 0
    return int(when) * 10**9 + below
