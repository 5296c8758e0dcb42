"""The rows of a csv, tsv, jsonl, json or parquet file; damaged rows are skipped with a reason.

They are read one by one, except those of a json: an array of objects, or captions by video. A csv
may have semicolons or tabs for commas. Names of columns are in lower case, as in
`fbridge.data.sources.columns`.

Bytes of file names that are no UTF-8 are kept as surrogates, as elsewhere in Python.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from fbridge.data.sources.columns import (
    CAPTION,
    LABEL,
    SPLIT,
    VIDEO,
    VIDEO_ID,
    Cells,
    Clash,
    plain_names,
)
from fbridge.data.sources.paths import LARGEST_TEXT, is_video
from fbridge.errors import ConfigError, DataError, DependencyError
from fbridge.files.atomic import shown

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".json")

SAMPLE = 100
"""Rows of a jsonl or json that are read to find its columns."""

_NAMES = frozenset({*VIDEO, *VIDEO_ID, *CAPTION, *SPLIT, *LABEL, "videoid", "name", "page_dir"})
_MARKS = (",", ";", "\t")
_BUFFER = 2**18
"""Bytes of each column of a parquet file that are read at a time."""
_RELEASED = 2**16
"""Rows after which pages that pyarrow keeps for later are given back."""


@dataclass(frozen=True)
class Row:
    """One row: its line (its number in a parquet file), and its cells or why it is damaged."""

    line: int
    cells: Cells
    fault: str = ""


def rows(path: Path) -> Iterator[Row]:
    """The rows of a table, read one by one.

    Raises:
        DataError: the file cannot be read.
        DependencyError: it is parquet and pyarrow is not installed.
    """
    reader: dict[str, Callable[[Path], Iterator[Row]]] = {
        ".csv": _csv_rows,
        ".tsv": _csv_rows,
        ".jsonl": _jsonl_rows,
        ".ndjson": _jsonl_rows,
        ".json": _json_rows,
        ".parquet": _parquet_rows,
    }
    try:
        yield from reader[path.suffix.lower()](path)
    except OSError as error:
        raise _unreadable(path, error) from None


def columns(path: Path) -> tuple[str, ...]:
    """The names of the columns; of a jsonl or json, those of its first hundred rows.

    Raises:
        ConfigError: a csv has two columns of one name.
        DataError: the file cannot be read.
        DependencyError: as for `rows`.
    """
    suffix = path.suffix.lower()
    try:
        if suffix in (".csv", ".tsv"):
            return _csv_columns(path)
        if suffix == ".parquet":
            names = _parquet(path).schema_arrow.names
            return tuple(dict.fromkeys(name.strip().lower() for name in names))
    except OSError as error:
        raise _unreadable(path, error) from None
    return tuple(dict.fromkeys(key for row in islice(rows(path), SAMPLE) for key in row.cells))


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(f"{shown(path)}: cannot be read ({error.strerror or error})")


def _csv_columns(path: Path) -> tuple[str, ...]:
    with path.open("rb") as file:
        if file.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            raise DataError(f"{shown(path)}: is UTF-16; save it as UTF-8")
    line, cells = next(_csv_lines(path), (1, []))
    if isinstance(cells, str):
        raise DataError(f"{shown(path)}:{line}: {cells}")
    names = tuple(cell.strip().lower() for cell in cells)
    for name in names:
        if name in _NAMES and names.count(name) > 1:
            raise ConfigError(f"{shown(path)}: column {name!r} is there twice; rename one")
    return names


def _csv_lines(path: Path) -> Iterator[tuple[int, list[str] | str]]:
    """Line number and cells, or why the line is damaged instead of cells; blank lines are skipped.

    Each line inside a quote that is never closed is damaged.
    """
    csv.field_size_limit(max(csv.field_size_limit(), LARGEST_TEXT))
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file, strict=True, delimiter=_delimiter(file))
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                for lost in range(line, reader.line_num + 1):
                    yield lost, f"is no csv: {error}; mend the quotes"
                continue
            if cells:
                yield line, cells


def _delimiter(file: TextIO) -> str:
    """The mark that separates most known names of columns in the first line; rewinds the file."""
    start = file.readline(LARGEST_TEXT)
    file.seek(0)

    def known(mark: str) -> int:
        return len(_NAMES & {cell.strip().strip('"').lower() for cell in start.split(mark)})

    return max(_MARKS, key=known)


def _csv_rows(path: Path) -> Iterator[Row]:
    names = _csv_columns(path)
    for line, cells in islice(_csv_lines(path), 1, None):
        if isinstance(cells, str):
            yield Row(line, {}, cells)
        elif len(cells) > len(names):
            yield Row(
                line, {}, f"has {len(cells)} cells for {len(names)} columns; quote texts with ,"
            )
        else:
            yield Row(line, dict(zip(names, cells, strict=False)))


def _jsonl_rows(path: Path) -> Iterator[Row]:
    with path.open("rb") as file:
        number, long = 0, False
        while raw := file.readline(LARGEST_TEXT):
            ended = raw.endswith(b"\n")
            if not long:
                number += 1
                fits = ended or len(raw) < LARGEST_TEXT
                if not fits:
                    yield Row(number, {}, f"is longer than {LARGEST_TEXT >> 20} MB")
                elif raw.strip():
                    yield _json_row(number, raw)
            long = not ended


def _json_row(number: int, raw: bytes) -> Row:
    text = raw.decode("utf-8-sig" if number == 1 else "utf-8", errors="surrogateescape")
    try:
        cells = json.loads(text)
    except (ValueError, RecursionError) as error:
        return Row(number, {}, f"is no JSON: {getattr(error, 'msg', error)}")
    return _object(number, cells)


def _object(number: int, cells: object) -> Row:
    if not isinstance(cells, dict):
        return Row(number, {}, "is no JSON object in braces")
    try:
        return Row(number, plain_names(cells))
    except Clash as clash:
        return Row(number, {}, str(clash))


def _json_rows(path: Path) -> Iterator[Row]:
    """The objects of an array, or captions by video, as VBench's --prompt_file has them.

    Many files called .json have an object a line instead.
    """
    text = path.read_bytes().decode("utf-8-sig", errors="surrogateescape")
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError) as error:
        if not _json_row(1, text.partition("\n")[0].encode(errors="surrogateescape")).fault:
            yield from _jsonl_rows(path)
            return
        place = f"{shown(path)}:{getattr(error, 'lineno', 1)}"
        raise DataError(f"{place}: is no JSON: {getattr(error, 'msg', error)}") from None
    if isinstance(whole, dict) and whole and all(map(is_video, whole)):
        whole = [{"video": name, "caption": text} for name, text in whole.items()]
    for number, cells in enumerate(whole if isinstance(whole, list) else [whole], start=1):
        yield _object(number, cells)


def _parquet(path: Path) -> ParquetFile:
    try:
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise DependencyError(
            f"{shown(path)}: reading parquet needs pyarrow: pip install pyarrow"
        ) from None
    try:
        # Else as many bytes are read ahead as a group of rows has, which may be the whole file.
        return ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False)
    except ValueError as error:
        raise DataError(f"{shown(path)}: is no parquet file ({error})") from None


def _parquet_rows(path: Path) -> Iterator[Row]:
    file = _parquet(path)
    from pyarrow import default_memory_pool

    wanted = [name for name in file.schema_arrow.names if name.strip().lower() in _NAMES]
    plain = len(set(wanted)) == len(wanted) and all(n == n.strip().lower() for n in wanted)
    number = 0
    try:
        for batch in file.iter_batches(batch_size=1024, columns=wanted):
            for cells in batch.to_pylist():
                number += 1
                yield Row(number, cells) if plain else _object(number, cells)
            if number % _RELEASED < 1024:
                default_memory_pool().release_unused()
    except ValueError as error:
        raise DataError(f"{shown(path)}: row {number + 1} cannot be read ({error})") from None
