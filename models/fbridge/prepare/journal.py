"""Append-only journals of JSON lines, and indexes of them on disk that need little memory.

Lines are appended with one write, and a line is read only if its newline is there, so that a
process may be killed at any time. The indexes are temporary SQLite databases.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from fbridge.data.latents.format import JOURNAL, dump, parse, read_lines
from fbridge.files.atomic import write_failure

LINES_AHEAD = 64
"""Lines that are read ahead of a look-up, one for each place in a file where it goes on."""
ONCE, FIRST, AGAIN = range(3)
"""Kinds of mentions that `Repeats` tells apart."""
_AT_ONCE = 1000
_RECENT = 4096


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


class Line(NamedTuple):
    """A line of a file.

    Attributes:
        data: with the line feed.
        record: what it says.
        row: its number, among all lines of a `Lookup`.
        file, end: where it ends.
    """

    data: bytes
    record: dict[str, Any]
    row: int
    file: int
    end: int


class Lookup:
    """The newest record of each key in several files of JSON lines that may still grow.

    Memory does not grow with the files. Keys and places of lines are appended to a table, which is
    sorted by key when it is next asked. Records that are asked for in the order of a file, as all
    are that were written in the order of the source, are read one after the other without a search.

    Args:
        key: the key of a record; records with None are skipped.
    """

    def __init__(self, key: Callable[[dict[str, Any]], str | None]) -> None:
        self._key = key
        self._files: dict[Path, tuple[int, int]] = {}
        self._open: dict[int, BinaryIO] = {}
        self._ends: set[tuple[int, int]] = set()  # up to where files were read at a time
        self._at = _database("CREATE TABLE at (key BLOB, file INT, start INT)")
        self._indexed, self._asked, self._repeats = False, False, False
        self._coming: OrderedDict[str, Line] = OrderedDict()

    def read(self, *paths: Path) -> None:
        """Read the lines added to these files since the last call; a file may be missing."""
        for path in paths:
            number, start = self._files.get(path, (len(self._files), 0))
            self._files[path] = (number, start)
            if not path.is_file():
                continue
            if self._indexed and 8 * (path.stat().st_size - start) > start:
                self._at.execute("DROP INDEX by_key")  # to sort anew is faster than to insert
                self._indexed = False
            rows = self._new_lines(path)
            self._at.executemany("INSERT INTO at VALUES (?, ?, ?)", rows)
            end = self._files[path][1]
            if end != start:
                self._ends.add((number, end))
                self._asked = False
                self._coming.clear()
            if number not in self._open:
                self._open[number] = path.open("rb")

    def get(self, key: str) -> dict[str, Any] | None:
        """The newest record of a key."""
        line = self.line(key)
        return None if line is None else line.record

    def line(self, key: str) -> Line | None:
        """The line of the newest record of a key."""
        line = self._coming.pop(key, None)
        if line is None:
            place = self._place(_short(key))
            if place is None:
                return None
            line = self._line(*place)
            assert line is not None, key
        if not self._repeats:  # else the next line may not be the newest of its key
            self._look_ahead(line)
        return line

    @property
    def rows(self) -> int:
        """More than the number of any line."""
        highest: int | None = self._at.execute("SELECT max(rowid) FROM at").fetchone()[0]
        return 1 + (highest or 0)

    def __contains__(self, key: str) -> bool:
        return self._place(_short(key)) is not None

    def __len__(self) -> int:
        number: int = self._at.execute("SELECT count(DISTINCT key) FROM at").fetchone()[0]
        return number

    def _new_lines(self, path: Path) -> Iterator[tuple[bytes, int, int]]:
        """Key, file and offset of the lines that were not read yet."""
        number, start = self._files[path]
        with path.open("rb") as file:
            file.seek(start)
            for offset, data, record in read_lines(file):
                self._files[path] = (number, offset + len(data))
                key = self._key(record)
                if key is not None:
                    yield _short(key), number, offset

    def _place(self, short: bytes) -> tuple[int, int, int] | None:
        """Row, file and offset of the newest line of a key."""
        if not self._asked:
            self._sort()
        asked = "SELECT rowid, file, start FROM at WHERE key = ? ORDER BY rowid DESC LIMIT 1"
        place: tuple[int, int, int] | None = self._at.execute(asked, (short,)).fetchone()
        return place

    def _sort(self) -> None:
        self._at.execute("CREATE INDEX IF NOT EXISTS by_key ON at (key)")
        repeated = "SELECT 1 FROM at GROUP BY key HAVING count(*) > 1 LIMIT 1"
        self._repeats = self._at.execute(repeated).fetchone() is not None
        self._indexed = self._asked = True

    def _look_ahead(self, last: Line) -> None:
        """Read the line after another one, as its record is likely to be asked for next."""
        if (last.file, last.end) in self._ends:
            return
        line = self._line(last.row + 1, last.file, last.end)
        key = None if line is None else self._key(line.record)
        if line is not None and key is not None:
            self._coming[key] = line
            if len(self._coming) > LINES_AHEAD:
                self._coming.popitem(last=False)

    def _line(self, row: int, number: int, start: int) -> Line | None:
        file = self._open[number]
        file.seek(start)
        data = file.readline()
        try:
            return Line(data, parse(data), row, number, start + len(data))
        except ValueError:  # a torn line
            return None


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
    """Strings and their numbers, which are from 0 in the order in which they are first added."""

    def __init__(self) -> None:
        self._rows = _database("CREATE TABLE seen (key BLOB PRIMARY KEY, number INT) WITHOUT ROWID")
        self._recent: dict[str, int] = {}
        self._next = 0

    def __len__(self) -> int:
        return self._next

    def add(self, key: str, number: int | None = None) -> bool:
        """Number a string, with this number or the next one; returns whether it was new."""
        if key in self._recent:
            return False
        row = (_short(key), self._next if number is None else number)
        new = self._rows.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", row).rowcount == 1
        if new:
            self._next += 1
            self._remember(key, row[1])
        return new

    def __contains__(self, key: str) -> bool:
        return self._number(key) is not None

    def __getitem__(self, key: str) -> int:
        number = self._number(key)
        if number is None:
            raise KeyError(key)
        return number

    def _number(self, key: str) -> int | None:
        if key in self._recent:
            return self._recent[key]
        asked = "SELECT number FROM seen WHERE key = ?"
        found = self._rows.execute(asked, (_short(key),)).fetchone()
        if found is not None:
            self._remember(key, found[0])
        return None if found is None else int(found[0])

    def _remember(self, key: str, number: int) -> None:
        if len(self._recent) >= _RECENT:
            self._recent.clear()
        self._recent[key] = number


class Repeats:
    """Finds hashes that were mentioned before, all of them at once, by one sort on the disk."""

    def __init__(self) -> None:
        self._rows = _database("CREATE TABLE mention (key BLOB)")
        self._pending: list[tuple[bytes]] = []

    def add(self, sha256: str) -> None:
        """The next hash, in hex."""
        self._pending.append((bytes.fromhex(sha256[:32]),))
        if len(self._pending) == _AT_ONCE:
            self._insert()

    def found(self) -> bytearray:
        """For each hash, in the order of `add`: `ONCE`, or `FIRST` or `AGAIN` of several."""
        self._insert()
        self._rows.execute("CREATE INDEX by_key ON mention (key)")
        number = self._rows.execute("SELECT count(*) FROM mention").fetchone()[0]
        kinds = bytearray(number)
        repeated = "SELECT key, min(rowid) AS first FROM mention GROUP BY key HAVING count(*) > 1"
        asked = f"SELECT mention.rowid, first FROM mention JOIN ({repeated}) USING (key)"
        for row, first in self._rows.execute(asked):
            kinds[row - 1] = FIRST if row == first else AGAIN
        self._rows.close()
        return kinds

    def _insert(self) -> None:
        self._rows.executemany("INSERT INTO mention VALUES (?)", self._pending)
        self._pending = []


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
