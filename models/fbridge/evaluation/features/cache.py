"""A cache of features on disk, keyed by content and network.

One SQLite file: writes are atomic, several processes may write at once, and a killed evaluation
resumes. A key is the sha256 over the clip's content, the frames taken, their size, the
network's weights and its preprocessing.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fbridge.errors import DataError, DependencyError
from fbridge.files.atomic import shown, write_failure
from fbridge.weights import cache_folder

_TABLE = "CREATE TABLE IF NOT EXISTS features (key BLOB PRIMARY KEY, shape TEXT, data BLOB)"
_PATIENCE = 120.0  # seconds that another process may hold the file
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
            self._base.execute("PRAGMA journal_mode=WAL")
            self._base.execute("PRAGMA synchronous=NORMAL")
            self._base.execute(_TABLE)
            self._base.commit()
        except OSError as error:
            assert path is not None
            raise write_failure(path, error) from None
        except sqlite3.DatabaseError as error:
            raise self._failure(error) from None

    def __enter__(self) -> FeatureCache:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._base.close()

    def known(self, keys: Iterable[bytes]) -> set[bytes]:
        """The subset of keys that are cached."""
        every = list(dict.fromkeys(keys))
        parts = (every[i : i + _AT_ONCE] for i in range(0, len(every), _AT_ONCE))
        return {key for part in parts for (key,) in self._rows("key", part)}

    def get(self, key: bytes) -> Tensor:
        """The tensor of a key.

        Raises:
            KeyError: It is not cached.
        """
        rows = self._rows("shape, data", [key])
        if not rows:
            raise KeyError(key.hex())
        shape, data = rows[0]
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
        except sqlite3.Error as error:
            raise self._failure(error) from None

    def _rows(self, columns: str, keys: list[bytes]) -> list[tuple[bytes, ...]]:
        marks = ",".join("?" * len(keys))
        question = f"SELECT {columns} FROM features WHERE key IN ({marks})"
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
