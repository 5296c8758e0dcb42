"""Folders of the user's cache that last as long as their process."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fbridge.files.atomic import write_failure
from fbridge.files.locks import HeldError, Lock
from fbridge.weights import cache_folder


def stores_folder() -> Path:
    """Where what comes from stores is kept: `stores` in the user's cache."""
    return cache_folder() / "stores"


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A new folder, removed at the end; those of killed processes are removed at the beginning.

    Raises:
        DependencyError: the cache cannot be written.
    """
    above = stores_folder()
    folder = above / f"run-{uuid.uuid4().hex[:12]}"
    try:
        above.mkdir(parents=True, exist_ok=True)
        _remove_dead(above)
        lock = Lock(folder.with_suffix(".lock"))
        folder.mkdir()
    except OSError as error:
        raise write_failure(above, error) from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()


def _remove_dead(above: Path) -> None:
    for path in above.glob("run-*.lock"):
        try:
            lock = Lock(path)
        except HeldError:
            continue
        if lock.works:  # else nobody knows who is alive
            shutil.rmtree(path.with_suffix(""), ignore_errors=True)
        lock.release()
