"""Objects that the rows of lists name by their URLs, as local files that take next to no room."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from fbridge.data.sources.entry import Media
from fbridge.data.stores.faults import ObjectError
from fbridge.data.stores.snapshot import make_hole
from fbridge.data.stores.store import Item, Store
from fbridge.data.stores.url import StoreUrl

_STORES = 64
"""Buckets and hosts whose connections are kept."""
_NOTE = ".why"
"""Ends the name of the file that says why an object cannot be had."""


class LinkedFiles:
    """Stand-ins of objects: files of holes with their sizes and times; threads may share one.

    What was asked once is kept on the disk, so that many rows take no memory.

    Args:
        folder: where they are kept; it is there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._store = lru_cache(_STORES)(Store)

    def look_up(self, url: str) -> None:
        """Ask the store for the size and time of an object, unless it was asked before.

        Raises:
            DependencyError: the protocol's package is missing.
            StoreError: the store does not answer.
        """
        if self.find(url) is not None:
            return
        path = self._path(url)
        Path(os.path.dirname(path)).mkdir(exist_ok=True)  # noqa: PTH120 - see `Media.file`
        try:
            with suppress(FileExistsError):  # another thread was asked for the same
                make_hole(path, self.store(url).item(_name(url)))
        except ObjectError as error:
            Path(f"{path}{_NOTE}").write_text(error.why, encoding="utf-8")

    def find(self, url: str) -> Media | str | None:
        """The stand-in of an object, or why there is none; None if it was not looked up."""
        path = self._path(url)
        if os.access(path, os.F_OK):  # takes a quarter of the time of Path.exists
            return Media(path, url=url)
        try:
            with open(path + _NOTE, encoding="utf-8") as file:  # noqa: PTH123 - see `Media.file`
                return file.read()
        except FileNotFoundError:
            return None

    def store(self, url: str) -> Store:
        """The bucket or host of an object."""
        return self._store(StoreUrl(url).root)

    def item(self, url: str) -> Item:
        """The object, as it was looked up."""
        facts = Path(self._path(url)).stat()
        return Item(_name(url), facts.st_size, facts.st_mtime_ns)

    def _path(self, url: str) -> str:
        name = hashlib.sha256(url.encode()).hexdigest()
        return f"{self._folder}/{name[:2]}/{name[2:]}"


def _name(url: str) -> str:
    """Of an object in its bucket or on its host."""
    return url.removeprefix(f"{StoreUrl(url).root}/")
