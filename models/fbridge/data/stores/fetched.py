"""Objects that are copied to this machine for as long as a run lasts."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path

from fbridge.data.stores.faults import ObjectError
from fbridge.data.stores.scratch import scratch_folder
from fbridge.data.stores.store import Store
from fbridge.data.stores.url import StoreUrl
from fbridge.files.atomic import shown

THREADS = 8
_STORES = 64
"""Buckets and hosts whose connections are kept."""


class FetchedFiles:
    """Local files for URLs; they are named when a URL is met, and fetched by `fetch` together.

    Args:
        stack: removes them when it is closed.
        largest: bytes of a file; larger ones are not fetched. None is no limit.
    """

    def __init__(self, stack: ExitStack, largest: int | None = None) -> None:
        self._stack, self._largest = stack, largest
        self._folder: Path | None = None
        self._paths: dict[StoreUrl, Path] = {}
        self._store = lru_cache(_STORES)(Store)

    @property
    def urls(self) -> Mapping[Path, StoreUrl]:
        """Where each local file comes from."""
        return {path: url for url, path in self._paths.items()}

    def folder(self) -> Path:
        """A folder for the run, beside the files."""
        if self._folder is None:
            self._folder = self._stack.enter_context(scratch_folder())
        return self._folder

    def path(self, url: StoreUrl) -> Path:
        """The local file of a URL, of the same name."""
        if url not in self._paths:
            self._paths[url] = self.folder() / "in" / str(len(self._paths)) / url.name
        return self._paths[url]

    def now(self, url: StoreUrl) -> Path:
        """The local file of a URL, which is there.

        Raises:
            ObjectError, StoreError: it cannot be had.
        """
        path = self.path(url)
        if not path.is_file():
            self._fetch(url)
        return path

    def fetch(self) -> dict[Path, str]:
        """Fetch all files that are not there; why others cannot be had, with their URLs.

        Raises:
            StoreError: a store does not answer.
        """
        missing = {url: path for url, path in self._paths.items() if not path.is_file()}
        with ThreadPoolExecutor(THREADS) as threads:
            faults = zip(missing.values(), threads.map(self._try, missing), strict=True)
            return {path: fault for path, fault in faults if fault}

    def told(self, text: str) -> str:
        """A text with URLs for the names of their local files."""
        for url, path in self._paths.items():
            text = text.replace(shown(path), str(url))
        return text

    def _try(self, url: StoreUrl) -> str:
        try:
            self._fetch(url)
        except ObjectError as error:
            return str(error)
        return ""

    def _fetch(self, url: StoreUrl) -> None:
        store = self._store(url.root)
        item = store.item(str(url).removeprefix(f"{url.root}/"))
        if self._largest is not None and item.size > self._largest:
            raise ObjectError(str(url), f"{item.size:,} bytes are too many")
        store.download(item, self.path(url))
