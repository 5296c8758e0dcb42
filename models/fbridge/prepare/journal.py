"""Append-only journals of JSON lines, and finding a record in them without holding them.

A line is written with one call and counts once its end is there, so a process may be killed
anywhere. Look-ups keep, on disk, only where each key's newest line lies.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from fbridge.data.latents.format import dump, read_lines
from fbridge.files.atomic import write_failure


class Journal:
    """One process's file of lines."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def append(self, records: Iterable[dict[str, Any]]) -> None:
        """Add lines, all in one write, and see them onto the disk.

        Raises:
            DependencyError: there is no room or no permission.
        """
        data = "".join(dump(record) + "\n" for record in records).encode()
        try:
            with self.path.open("ab", buffering=0) as file:
                if file.tell() and not _ends_line(self.path):
                    data = b"\n" + data  # what a killed writer left
                file.write(data)
                os.fsync(file.fileno())
        except OSError as error:
            raise write_failure(self.path, error) from None


class Lookup:
    """The newest record of each key over several files that may still grow."""

    def __init__(self, key: Callable[[dict[str, Any]], str | None]) -> None:
        self._key = key
        self._files: dict[Path, tuple[int, int]] = {}
        self._at = sqlite3.connect("")  # a file of its own that vanishes with it
        self._at.execute("PRAGMA journal_mode=OFF")
        self._at.execute("PRAGMA synchronous=OFF")
        self._at.execute(
            "CREATE TABLE at (key BLOB PRIMARY KEY, file INT, start INT) WITHOUT ROWID"
        )

    def read(self, *paths: Path) -> None:
        """Take in what is new in these files; missing ones are empty."""
        for path in paths:
            number, start = self._files.get(path, (len(self._files), 0))
            if not path.is_file():
                continue
            with path.open("rb") as file:
                file.seek(start)
                for offset, record in read_lines(file):
                    start = file.tell()
                    key = self._key(record)
                    if key is not None:
                        row = (_short(key), number, offset)
                        self._at.execute("INSERT OR REPLACE INTO at VALUES (?, ?, ?)", row)
            self._files[path] = (number, start)

    def get(self, key: str) -> dict[str, Any] | None:
        """The newest record of a key."""
        found = self._at.execute(
            "SELECT file, start FROM at WHERE key = ?", (_short(key),)
        ).fetchone()
        if found is None:
            return None
        path = next(path for path, (number, _) in self._files.items() if number == found[0])
        with path.open("rb") as file:
            file.seek(found[1])
            record: dict[str, Any] = json.loads(file.readline())
            return record

    def __contains__(self, key: str) -> bool:
        found = self._at.execute("SELECT 1 FROM at WHERE key = ?", (_short(key),))
        return found.fetchone() is not None

    def __len__(self) -> int:
        number: int = self._at.execute("SELECT count(*) FROM at").fetchone()[0]
        return number


class KeyNumbers:
    """Strings numbered from 0 in the order of their first mention, on disk."""

    def __init__(self) -> None:
        self._rows = sqlite3.connect("")
        self._rows.execute("PRAGMA journal_mode=OFF")
        self._rows.execute("PRAGMA synchronous=OFF")
        self._rows.execute("CREATE TABLE seen (key BLOB PRIMARY KEY, number INT) WITHOUT ROWID")
        self._next = 0

    def __len__(self) -> int:
        return self._next

    def add(self, key: str) -> bool:
        """Number a string; whether it was new."""
        row = (_short(key), self._next)
        new = self._rows.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", row).rowcount == 1
        self._next += new
        return new

    def __contains__(self, key: str) -> bool:
        found = self._rows.execute("SELECT 1 FROM seen WHERE key = ?", (_short(key),))
        return found.fetchone() is not None

    def __getitem__(self, key: str) -> int:
        found = self._rows.execute(
            "SELECT number FROM seen WHERE key = ?", (_short(key),)
        ).fetchone()
        if found is None:
            raise KeyError(key)
        number: int = found[0]
        return number


class ShardRows:
    """Rows of a table by the shard they lie in, on disk."""

    def __init__(self) -> None:
        self._rows = sqlite3.connect("")
        self._rows.execute("PRAGMA journal_mode=OFF")
        self._rows.execute("PRAGMA synchronous=OFF")
        self._rows.execute(
            "CREATE TABLE r (shard BLOB, place INT, number INT, name TEXT, hash TEXT)"
        )
        self._rows.execute("CREATE INDEX by_shard ON r (shard)")

    def add(self, shard: str, place: int, number: int, key: str, sha256: str) -> None:
        """Row `number` of the table, of the video `key`, lies at `place` in `shard`."""
        row = (_short(shard), place, number, json.dumps(key), sha256)
        self._rows.execute("INSERT INTO r VALUES (?, ?, ?, ?, ?)", row)

    def of(self, shard: str) -> Iterator[tuple[int, int, str, str]]:
        """(place, number, key, hash) of a shard's rows."""
        asked = "SELECT place, number, name, hash FROM r WHERE shard = ? ORDER BY number"
        for place, number, name, sha256 in self._rows.execute(asked, (_short(shard),)):
            yield place, number, json.loads(name), sha256


def _short(key: str) -> bytes:
    return hashlib.blake2b(key.encode(errors="surrogatepass"), digest_size=16).digest()


def _ends_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
