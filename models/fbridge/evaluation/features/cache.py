"""A cache of features on disk, keyed by content and network.

One SQLite file: writes are atomic, several processes may write at once, and a killed evaluation
resumes. A key is the sha256 over the clip's content, the frames taken, their size, the
network's weights and its preprocessing. Beside each feature lies its own sha256: one that has
changed counts as not cached. Those that an older fbridge kept have none and are taken as they are.
"""

from __future__ import annotations

import hashlib
import json
import math
import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fbridge.errors import DataError, DependencyError
from fbridge.files.atomic import shown, write_failure
from fbridge.weights import cache_folder

_TABLES = (
    "CREATE TABLE IF NOT EXISTS features (key BLOB PRIMARY KEY, shape TEXT, data BLOB)",
    "CREATE TABLE IF NOT EXISTS digests (key BLOB PRIMARY KEY, digest BLOB)",
)
_PATIENCE = 120.0  # seconds that another process may hold the file
_PAUSE = 0.02
_AT_ONCE = 500  # keys in a question; SQLite allows 999


def usual_cache() -> Path:
    """Default path of the cache."""
    return cache_folder() / "features-1.sqlite"


def key_of(*parts: str) -> bytes:
    """The key of a feature of the things with these identities."""
    return hashlib.sha256("\n".join(parts).encode()).digest()


class FeatureCache:
    """Float32 tensors by key; use it in a `with` block, or close it.

    Args:
        path: of the file, created if missing; None caches in memory.

    Raises:
        DependencyError: The file cannot be written.
        DataError: It is not a feature cache.
    """

    def __init__(self, path: Path | None) -> None:
        self._name = "memory" if path is None else shown(path)
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._base = sqlite3.connect(":memory:" if path is None else path, timeout=_PATIENCE)
            self._write_ahead()
            self._base.execute("PRAGMA synchronous=NORMAL")
            for table in _TABLES:
                self._base.execute(table)
            self._base.commit()
        except OSError as error:
            assert path is not None
            raise write_failure(path, error) from None
        except sqlite3.DatabaseError as error:
            raise self._failure(error) from None

    def _write_ahead(self) -> None:
        """Let others read while one writes.

        SQLite has no patience for this one question where another process asks it of a new file.
        """
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                self._base.execute("PRAGMA journal_mode=WAL")
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > end:
                    raise
                time.sleep(_PAUSE)
            else:
                return

    def __enter__(self) -> FeatureCache:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._base.close()

    def known(self, keys: Iterable[bytes]) -> set[bytes]:
        """The subset of keys that are cached and whole."""
        every = list(dict.fromkeys(keys))
        parts = (every[i : i + _AT_ONCE] for i in range(0, len(every), _AT_ONCE))
        return {row[0] for part in parts for row in self._rows(part) if _is_whole(*row)}

    def get(self, key: bytes) -> Tensor:
        """The tensor of a key.

        Raises:
            KeyError: It is not cached, or not whole.
        """
        rows = self._rows([key])
        if not rows or not _is_whole(*rows[0]):
            raise KeyError(key.hex())
        _, shape, data, _ = rows[0]
        return torch.from_numpy(np.frombuffer(data, np.float32).copy()).reshape(json.loads(shape))

    def put(self, tensors: Iterable[tuple[bytes, Tensor]]) -> None:
        """Store some tensors in one transaction.

        Raises:
            DependencyError: The disk is full, or other processes lock the file for too long.
        """
        rows = [
            (key, json.dumps(list(tensor.shape)), tensor.contiguous().float().numpy().tobytes())
            for key, tensor in tensors
        ]
        try:
            with self._base:
                self._base.executemany("INSERT OR REPLACE INTO features VALUES (?, ?, ?)", rows)
                digests = [(key, _digest(key, shape, data)) for key, shape, data in rows]
                self._base.executemany("INSERT OR REPLACE INTO digests VALUES (?, ?)", digests)
        except sqlite3.Error as error:
            raise self._failure(error) from None

    def _rows(self, keys: list[bytes]) -> list[tuple[Any, ...]]:
        """Key, shape, data and digest of those that are cached."""
        marks = ",".join("?" * len(keys))
        question = (
            "SELECT key, shape, data, digest FROM features LEFT JOIN digests USING (key) "
            f"WHERE key IN ({marks})"
        )
        try:
            with closing(self._base.execute(question, keys)) as cursor:
                return cursor.fetchall()
        except sqlite3.Error as error:
            raise self._failure(error) from None

    def _failure(self, error: sqlite3.Error) -> DataError | DependencyError:
        if isinstance(error, sqlite3.OperationalError):
            return DependencyError(
                f"{self._name}: features cannot be kept there ({error}); name another file with "
                "--cache"
            )
        return DataError(f"{self._name}: is no cache of features ({error}); delete it")


def _digest(key: bytes, shape: str, data: bytes) -> bytes:
    return hashlib.sha256(b"%s %s %s" % (key, shape.encode(), data)).digest()


def _is_whole(key: Any, shape: Any, data: Any, digest: Any) -> bool:
    """Whether a row is as it was written; of an older one, whether it can be."""
    if not (isinstance(shape, str) and isinstance(data, bytes)):
        return False
    if digest is not None:
        return bool(digest == _digest(key, shape, data))
    try:
        return math.prod(json.loads(shape)) * np.dtype(np.float32).itemsize == len(data)
    except (ValueError, TypeError):
        return False
