"""Append-only journals of JSON lines, and indexes of them on disk that need little memory.

Lines are appended with one write, and a line is read only if its newline is there, so that a
process may be killed at any time. The indexes are temporary SQLite databases.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from fbridge.data.latents.format import JOURNAL, dump, read_lines
from fbridge.files.atomic import write_failure


class Journal:
    """The journal of one process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def append(self, records: Iterable[dict[str, Any]]) -> None:
        """Add lines in one write, and sync them to the disk.

        Raises:
            DependencyError: there is no space or no permission.
        """
        data = "".join(dump(record) + "\n" for record in records).encode()
        try:
            with self.path.open("ab", buffering=0) as file:
                if file.tell() and not _ends_line(self.path):
                    data = b"\n" + data  # ends the partial line of a killed writer
                file.write(data)
                os.fsync(file.fileno())
        except OSError as error:
            raise write_failure(self.path, error) from None


class Lookup:
    """The newest record of each key in several files of JSON lines that may still grow.

    Args:
        key: the key of a record; records with None are skipped.
    """

    def __init__(self, key: Callable[[dict[str, Any]], str | None]) -> None:
        self._key = key
        self._files: dict[Path, tuple[int, int]] = {}
        self._open: dict[int, BinaryIO] = {}
        self._at = _database(
            "CREATE TABLE at (key BLOB PRIMARY KEY, file INT, start INT) WITHOUT ROWID"
        )

    def read(self, *paths: Path) -> None:
        """Read the lines added to these files since the last call; a file may be missing."""
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
            if number not in self._open:
                self._open[number] = path.open("rb", buffering=2048)

    def get(self, key: str) -> dict[str, Any] | None:
        """The newest record of a key."""
        found = self._at.execute(
            "SELECT file, start FROM at WHERE key = ?", (_short(key),)
        ).fetchone()
        if found is None:
            return None
        file = self._open[found[0]]
        file.seek(found[1])
        record: dict[str, Any] = json.loads(file.readline())
        return record

    def __contains__(self, key: str) -> bool:
        found = self._at.execute("SELECT 1 FROM at WHERE key = ?", (_short(key),))
        return found.fetchone() is not None

    def __len__(self) -> int:
        number: int = self._at.execute("SELECT count(*) FROM at").fetchone()[0]
        return number


class JournalLookup(Lookup):
    """The newest record of each key in the journals of all processes.

    Args:
        out: folder of the data set.
        kind: of journal: "survey", "rows" or "captions".
        key: the key of a record.
        finished: table of the same records in a finished data set, if any.
    """

    def __init__(
        self,
        out: Path,
        kind: str,
        key: Callable[[dict[str, Any]], str | None],
        finished: Path | None = None,
    ) -> None:
        super().__init__(key)
        self._out, self._kind = out, kind
        self.read(*filter(None, [finished]))
        self.refresh()

    def refresh(self) -> None:
        """Read what this and other processes have written since."""
        try:
            journals = sorted((self._out / JOURNAL).glob(f"{self._kind}-*.jsonl"))
        except OSError as error:
            raise write_failure(self._out, error) from None
        self.read(*journals)


class KeyNumbers:
    """Strings numbered from 0 in the order in which they are first added."""

    def __init__(self) -> None:
        self._rows = _database("CREATE TABLE seen (key BLOB PRIMARY KEY, number INT) WITHOUT ROWID")
        self._next = 0

    def __len__(self) -> int:
        return self._next

    def add(self, key: str) -> bool:
        """Number a string; returns whether it was new."""
        row = (_short(key), self._next)
        new = self._rows.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", row).rowcount == 1
        self._next += new
        return new

    def __contains__(self, key: str) -> bool:
        return self._number(key) is not None

    def __getitem__(self, key: str) -> int:
        number = self._number(key)
        if number is None:
            raise KeyError(key)
        return number

    def _number(self, key: str) -> int | None:
        asked = "SELECT number FROM seen WHERE key = ?"
        found = self._rows.execute(asked, (_short(key),)).fetchone()
        return None if found is None else int(found[0])


class ShardRows:
    """The rows of a manifest by the shard that holds their latents."""

    def __init__(self) -> None:
        self._rows = _database(
            "CREATE TABLE r (shard BLOB, place INT, number INT, name TEXT, hash TEXT)",
            "CREATE INDEX by_shard ON r (shard)",
        )

    def add(self, shard: str, place: int, number: int, key: str, sha256: str) -> None:
        """Add row `number` of the manifest, of the video `key`: row `place` of `shard`."""
        row = (_short(shard), place, number, json.dumps(key), sha256)
        self._rows.execute("INSERT INTO r VALUES (?, ?, ?, ?, ?)", row)

    def of(self, shard: str) -> Iterator[tuple[int, int, str, str]]:
        """(place, number, key, hash) of a shard's rows."""
        asked = "SELECT place, number, name, hash FROM r WHERE shard = ? ORDER BY number"
        for place, number, name, sha256 in self._rows.execute(asked, (_short(shard),)):
            yield place, number, json.loads(name), sha256


def _database(*tables: str) -> sqlite3.Connection:
    """A database in a temporary file, which is deleted with the connection."""
    database = sqlite3.connect("")
    for statement in ("PRAGMA journal_mode=OFF", "PRAGMA synchronous=OFF", *tables):
        database.execute(statement)
    return database


def _short(key: str) -> bytes:
    return hashlib.blake2b(key.encode(errors="surrogatepass"), digest_size=16).digest()


def _ends_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
