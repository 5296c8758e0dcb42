"""Folders and files behind URLs that are kept on this machine for later runs, such as models."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock

from fbridge.data.stores.scratch import stores_folder
from fbridge.data.stores.snapshot import in_threads
from fbridge.data.stores.store import Item, Store
from fbridge.data.stores.url import StoreUrl
from fbridge.errors import DataError
from fbridge.files.atomic import shown, write_failure

RUN_FACTS = "run.json"
RESULTS = ("model", "lora", "prior")
"""Folders of a run that are a model; its checkpoints are not fetched."""


def keep(url: StoreUrl) -> Path:
    """The local copy of a model's folder, run or file; what has not changed is not fetched again.

    Raises:
        DataError: it is empty, or has names that no folder can hold.
        DependencyError: the cache cannot be written, or the protocol's package is missing.
        StoreError: the store does not answer, or there is nothing of that name.
    """
    path = kept_path(url)
    above = path.parent
    try:
        above.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_failure(above, error) from None
    with FileLock(above.with_suffix(".lock")):
        store = Store(url)
        if store.is_file():
            store = Store(url.parent)
            _fetch(store, [store.item(url.name)], above)
        else:
            _fetch(store, _wanted(store), path)
    return path


def kept_told(text: str, url: StoreUrl) -> str:
    """A text, such as an error, with the URL for the local copy's name."""
    return text.replace(shown(kept_path(url)), str(url))


def kept_path(url: StoreUrl) -> Path:
    """Where the local copy is."""
    name = f"model-{hashlib.sha256(str(url).encode()).hexdigest()[:12]}"
    return stores_folder() / name / url.name


def _wanted(store: Store) -> list[Item]:
    """The files of a model, or of the models of a run."""
    items = list(store.items())
    if not items:
        raise DataError(f"{store.url}: holds no file; name the folder of a model or run")
    if any(item.name == RUN_FACTS for item in items):
        top = ((item, item.name.partition("/")) for item in items)
        return [item for item, (first, slash, _) in top if not slash or first in RESULTS]
    return items


def _fetch(store: Store, items: list[Item], folder: Path) -> None:
    names = {item.name for item in items}
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        if path.relative_to(folder).as_posix() not in names:
            path.unlink()
    download_all(store, [item for item in items if not is_there(folder, item)], folder)


def download_all(store: Store, items: Sequence[Item], folder: Path) -> None:
    """Download objects into a folder, each with the modification time that it has in the store.

    Raises:
        DataError: one has a name that no file can have.
        StoreError: the store does not answer, or one has changed.
    """
    for item in items:
        if any(part in ("", ".", "..") for part in item.name.split("/")) or "\\" in item.name:
            raise DataError(f"{store.url / item.name}: is no name of a file; rename it")

    def fetch(item: Item) -> None:
        path = folder / item.name
        store.download(item, path)
        os.utime(path, ns=(item.stamp, item.stamp))

    for _ in in_threads(fetch, items):
        pass


def is_there(folder: Path, item: Item) -> bool:
    """Whether a folder has an object as `download_all` leaves it: of its size and time."""
    path = folder / item.name
    if not path.is_file():
        return False
    facts = path.stat()
    return (facts.st_size, facts.st_mtime_ns) == (item.size, item.stamp)
