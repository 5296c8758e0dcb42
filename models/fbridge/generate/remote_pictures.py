"""Pictures and lists behind URLs, each fetched once into a folder that lasts as long as the run."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path

from fbridge.data.pictures import MAX_BYTES, SUFFIXES
from fbridge.data.stores import ObjectError, Store, StoreUrl
from fbridge.data.stores.scratch import scratch_folder
from fbridge.errors import DataError
from fbridge.files.atomic import shown

_THREADS = 8
_STORES = 64
"""Buckets and hosts whose connections are kept."""


class RemotePictures:
    """Local files for URLs; they are named when a URL is met, and fetched by `fetch` together.

    Args:
        stack: removes them when it is closed.
    """

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
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

    def read_list(self, url: StoreUrl) -> Path:
        """The local file of a list, which is fetched now.

        Raises:
            ObjectError, StoreError: it cannot be had.
        """
        path = self.path(url)
        if not path.is_file():
            self._fetch(url)
        return path

    def pictures_in(self, url: StoreUrl) -> list[StoreUrl] | None:
        """The pictures of a folder, without its subfolders; None of a file.

        Raises:
            DataError: it holds none, or there is nothing of that name.
            StoreError: the store does not answer.
        """
        store = Store(url)
        if store.is_file():
            return None
        names = [item.name for item in store.items(deep=False)]
        found = [name for name in names if Path(name).suffix.lower() in SUFFIXES]
        if not found:
            raise DataError(f"{url}: holds no picture; name a folder of JPEG or PNG files")
        return [url / name for name in found]

    def fetch(self) -> list[str]:
        """Fetch all files that are not there; why the others cannot be had.

        Raises:
            StoreError: a store does not answer.
        """
        missing = [url for url, path in self._paths.items() if not path.is_file()]
        with ThreadPoolExecutor(_THREADS) as threads:
            return [fault for fault in threads.map(self._try, missing) if fault]

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
        if item.size > MAX_BYTES:
            raise ObjectError(str(url), f"{item.size:,} bytes are too many for a picture")
        store.download(item, self.path(url))


def beside(folder: StoreUrl, name: str, where: str) -> StoreUrl:
    """The URL of a row's picture, relative to the folder of its list.

    Raises:
        DataError: it cannot lie in the bucket.
    """
    name = name.replace("\\", "/")
    inner = str(folder).removeprefix(str(folder.root)).lstrip("/")
    path = posixpath.normpath(posixpath.join(inner, name))
    if name.startswith("/") or path.startswith("..") or not path.isprintable():
        raise DataError(
            f"{where}: image {ascii(name)[:80]}: is no name in {folder.root}; write it relative to "
            "the list, or as a URL"
        )
    return folder.root / path
