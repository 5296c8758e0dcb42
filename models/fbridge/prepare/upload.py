"""A data set made into a store: shards leave this machine when they are whole, the index last.

Everything is made in a local folder, by the same code as any data set, and so may be killed and
called again. A shard that was uploaded stays there as a file of holes of its size, so that the
folder stays small. Until the new index is in the store, nobody reads what was uploaded.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fbridge.data.latents.format import DIGITS, INDEX
from fbridge.data.stores import MissingError, StoreUrl
from fbridge.data.stores.scratch import stores_folder
from fbridge.data.stores.stored_set import StoredSet
from fbridge.errors import DataError
from fbridge.files.atomic import write_failure, write_text
from fbridge.files.locks import HeldError, Lock

KINDS = ("shards", "text")
"""Folders of a data set that hold shards."""
_OURS = re.compile(
    rf"index\.json|[a-z]+-[0-9a-f]{{{DIGITS}}}\.(jsonl|safetensors)"
    r"|(shards|text)/../\w+\.safetensors|preview/.*"
)


def local_folder(url: StoreUrl) -> Path:
    """Where a data set is made until it is in its store."""
    return stores_folder() / f"out-{hashlib.sha256(str(url).encode()).hexdigest()[:12]}"


class Upload:
    """A data set on its way into a store; use `held` to make one.

    Attributes:
        folder: where it is made.
    """

    def __init__(self, url: StoreUrl) -> None:
        self.folder = local_folder(url)
        self._set = StoredSet(url, self.folder)
        self._begun = self.folder.with_suffix(".from")

    @classmethod
    @contextmanager
    def held(cls, url: StoreUrl) -> Iterator[Upload]:
        """One that no other process of this machine works on.

        Raises:
            DataError: another does.
            DependencyError: the cache cannot be written.
            StoreError: the store does not answer.
        """
        folder = local_folder(url)
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            lock = Lock(folder.with_suffix(".lock"))
        except HeldError:
            raise DataError(
                f"{url}: another fbridge prepare is at work there; wait for it or stop it"
            ) from None
        except OSError as error:
            raise write_failure(folder, error) from None
        try:
            yield cls(url)
        finally:
            lock.release()

    def begin(self, *, check: bool) -> None:
        """Bring the local folder to what the store has, or keep the work of a killed run.

        Args:
            check: try whether the store takes files.

        Raises:
            DataError: the URL has other things than a data set.
        """
        there = self._there()
        if check:
            self._set.store.check_writable("-o")
        newest = self._set.index_hash()
        known = self._begun.read_text(encoding="utf-8") if self._begun.is_file() else None
        if known == newest and self.folder.is_dir():
            for path in self._shards():
                if is_hole(path) and there.get(self._name(path)) != path.stat().st_size:
                    path.unlink()  # it is not in the store any more: it is made again
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        if newest:
            index = self._set.fetch_tables()
            for record in self._set.shards(index):
                if there.get(record["path"]) == record["bytes"]:
                    make_hole(self.folder / record["path"], record["bytes"])
        write_text(self._begun, newest)

    def push(self) -> None:
        """Upload the shards that are whole, and keep holes of them."""
        for path in self._shards():
            if not is_hole(path):
                self._set.store.upload(path, self._name(path))
                make_hole(path, path.stat().st_size)

    def finish(self, index: dict[str, Any]) -> None:
        """Upload what is left, tables and, last, the index; then remove what it does not name."""
        self.push()
        store = self._set.store
        for part in index["files"].values():
            store.upload(self.folder / part["path"], part["path"])
        store.upload(self.folder / INDEX, INDEX)
        named = {part["path"] for part in index["files"].values()} | {INDEX}
        named |= {record["path"] for record in self._set.shards(index)}
        ours = (name for name in self._there() if not name.startswith("preview/"))
        store.remove([name for name in ours if name not in named])

    def clean(self) -> None:
        """Remove the local folder; the next run begins with what the store has."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._begun.unlink(missing_ok=True)

    def _there(self) -> dict[str, int]:
        """Sizes of the data set's files in the store, by name."""
        try:
            found = {item.name: item.size for item in self._set.store.items()}
        except MissingError:  # a folder of a store is there as soon as a file is in it
            return {}
        for name in found:
            if not _OURS.fullmatch(name):
                raise DataError(
                    f"{self._set.url}: holds other things than a data set ({name}); "
                    "name a new folder"
                )
        return found

    def _shards(self) -> Iterator[Path]:
        for kind in KINDS:
            yield from sorted((self.folder / kind).glob("??/*.safetensors"))

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()


def is_hole(path: Path) -> bool:
    """Whether a shard was replaced by holes: a whole one begins with the length of its header."""
    with path.open("rb") as file:
        return file.read(8) == bytes(8)


def make_hole(path: Path, size: int) -> None:
    """Make a file of holes, or make a file one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        os.truncate(file.fileno(), size)
