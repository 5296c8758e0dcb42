"""A data set in a store, with a local folder for the part of it that is at hand."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fbridge.data.latents.format import INDEX, read_index
from fbridge.data.stores.faults import MissingError
from fbridge.data.stores.store import Store
from fbridge.data.stores.url import StoreUrl
from fbridge.errors import DataError


class StoredSet:
    """A data set behind a URL.

    Args:
        url: of its folder.
        folder: the local one; its files have the names that they have in the store.
    """

    def __init__(self, url: StoreUrl, folder: Path) -> None:
        self.url, self.folder = url, folder
        self.store = Store(url)

    def index_hash(self) -> str:
        """sha256 of the index in the store; "" if there is none."""
        try:
            size = self.store.item(INDEX).size
        except MissingError:
            return ""
        return hashlib.sha256(self.store.read(INDEX, 0, size)).hexdigest()

    def fetch_tables(self) -> dict[str, Any]:
        """Get index and tables; the index.

        Raises:
            DataError: there is no finished data set, or its index is damaged.
        """
        try:
            self.store.download(self.store.item(INDEX), self.folder / INDEX)
        except MissingError:
            raise DataError(
                f"{self.url}: holds no finished data set; fbridge prepare ... -o {self.url} makes "
                "or finishes one"
            ) from None
        index = self._read_index()
        for part in index["files"].values():
            self.fetch(part["path"])
        return index

    def fetch(self, path: str) -> None:
        """Get a file of the set, unless it is there; one that the store has not stays away.

        Raises:
            StoreError: the store does not answer.
        """
        if (self.folder / path).is_file():
            return
        try:
            self.store.download(self.store.item(path), self.folder / path)
        except MissingError:
            return

    @contextmanager
    def having(self, path: str) -> Iterator[None]:
        """A file of the set at hand, in the context alone."""
        self.fetch(path)
        try:
            yield
        finally:
            (self.folder / path).unlink(missing_ok=True)

    def shards(self, index: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The records of all shards, from the table that `fetch_tables` got."""
        with (self.folder / index["files"]["shards"]["path"]).open("rb") as file:
            for line in file:
                yield json.loads(line)

    def _read_index(self) -> dict[str, Any]:
        try:
            return read_index(self.folder)
        except DataError as error:
            raise DataError(str(error).replace(str(self.folder), str(self.url))) from None
