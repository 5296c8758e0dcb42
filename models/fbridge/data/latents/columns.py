"""The file of a data set's columns, written row by row, so that memory does not grow with the rows.

It is a safetensors file of int64 vectors. The library writes only what is in memory as a whole, so
that the little that its format needs is here.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import IO, Any

import numpy as np

from fbridge.data.latents.format import IndexedFile, hash_file, named_by_digest
from fbridge.files.atomic import discard_scratch, replacing, scratch_file, write_failure

ROWS_AT_ONCE = 4096
_NUMBERS_AT_ONCE = 1 << 16


class Columns(AbstractContextManager["Columns"]):
    """Columns of one length, each in a scratch file until they are written; use a `with` block.

    Args:
        folder: of the data set.
        names: of the columns.
    """

    def __init__(self, folder: Path, *names: str) -> None:
        self.names = names
        self._folder = folder
        self._pending = array("q")  # row by row
        self._rows = 0
        self._files: dict[str, IO[bytes]] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Columns:
        with ExitStack() as stack:
            for name in self.names:
                self._files[name] = scratch_file(self._folder)
                stack.callback(discard_scratch, self._files[name])
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def __len__(self) -> int:
        return self._rows

    def append(self, *numbers: int) -> None:
        """Add a row: a number for each column."""
        self._pending.extend(numbers)
        self._rows += 1
        if self._rows % ROWS_AT_ONCE == 0:
            self._flush()

    def parts(self, name: str) -> Iterable[np.ndarray[Any, np.dtype[np.int64]]]:
        """The numbers of a column, some at a time."""
        self._flush()
        self._files[name].seek(0)
        while data := self._files[name].read(8 * _NUMBERS_AT_ONCE):
            yield np.frombuffer(data, np.int64)
        self._files[name].seek(0, 2)

    def _flush(self) -> None:
        numbers = np.array(self._pending).reshape(-1, len(self.names))
        self._pending = array("q")
        try:
            for name, column in zip(self.names, numbers.T, strict=True):
                self._files[name].write(column.tobytes())
        except OSError as error:
            raise write_failure(self._folder, error) from None


def write_columns(
    folder: Path, tables: Sequence[Columns], rows: int, shifts: Mapping[str, int] | None = None
) -> IndexedFile:
    """Write `columns-<digest>.safetensors`.

    Args:
        folder: of the data set.
        tables: all columns.
        rows: of the manifest.
        shifts: numbers to add to whole columns.
    """
    places = dict(sorted((name, table) for table in tables for name in table.names))
    scratch = folder / "columns.safetensors"
    with replacing(scratch) as hidden, hidden.open("wb") as file:
        file.write(_header({name: len(table) for name, table in places.items()}))
        for name, table in places.items():
            for numbers in table.parts(name):
                file.write((numbers + (shifts or {}).get(name, 0)).astype("<i8").tobytes())
    return named_by_digest(folder, scratch, "columns", hash_file(scratch), rows)


def _header(lengths: Mapping[str, int]) -> bytes:
    """Eight bytes of its length, then JSON, padded with spaces to a multiple of eight."""
    tensors, end = {}, 0
    for name, length in lengths.items():
        start, end = end, end + 8 * length
        tensors[name] = {"dtype": "I64", "shape": [length], "data_offsets": [start, end]}
    text = json.dumps(tensors, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
