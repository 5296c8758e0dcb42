"""The files of a data set, and how they are written.

    DIR/index.json                  format, options, codec, counts, moments, and the names below;
                                    its own hash, but not of older data sets
    DIR/manifest-<digest>.jsonl     a row for every clip, in the order of the source
    DIR/captions-<digest>.jsonl     every caption once, the empty one first
    DIR/rejected-<digest>.jsonl     every file and clip left out, with its reason
    DIR/survey-<digest>.jsonl       the properties of every file of the source
    DIR/shards-<digest>.jsonl       every shard with its size, sha256 and moments
    DIR/columns-<digest>.safetensors    the manifest's numbers, for random access
    DIR/shards/ab/<name>.safetensors    `clip`, `still` (N, F, C, H, W), `condition` (N, C, H, W),
                                    their log-variances, `picture` (N, 3, height, width)
    DIR/text/ab/<name>.safetensors  `tokens` (T, D) of several captions, `start` (N + 1,)
    DIR/journal/                    only while unfinished: append-only, one file a process

A digest is the beginning of the file's own sha256, and a shard's name that of the clips planned for
it, so that files never change once written; `index.json`, replaced atomically, names those that
belong together.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from pydantic_core import from_json
from safetensors.torch import save_file
from torch import Tensor

from fbridge.data.latents.index_form import IndexForm, is_inside
from fbridge.errors import DataError, reason
from fbridge.files.atomic import replacing, shown, write_text
from fbridge.files.hashing import hash_files
from fbridge.files.schema import form_fault
from fbridge.files.sealed import read_sealed, sealed_text

FORMAT = 1
INDEX = "index.json"
JOURNAL = "journal"
DIGITS = 12
_LINES_AT_ONCE = 256


@dataclass(frozen=True)
class IndexedFile:
    """A file that the index names."""

    path: str
    sha256: str
    bytes: int
    rows: int


def shard_path(kind: str, name: str) -> str:
    """Path of a shard in the data set; `kind` is "shards" or "text"."""
    return f"{kind}/{name[:2]}/{name}.safetensors"


_JSON = json.JSONEncoder(sort_keys=True, separators=(",", ":"))  # one, as making them takes longer


def dump(value: Any) -> str:
    """JSON in one line, the same bytes for equal values."""
    return _JSON.encode(value)


def parse(line: bytes) -> Any:
    """The value of a line of JSON, a third of the time that json takes.

    Raises:
        ValueError: it is no JSON.
    """
    try:
        return from_json(line)
    except ValueError:  # also of half a surrogate pair, as names of files may have
        return json.loads(line)


def digest(value: Any) -> str:
    """sha256 of a value's JSON."""
    return digest_text(dump(value))


def digest_text(text: str) -> str:
    """sha256 of JSON as `dump` writes it."""
    return hashlib.sha256(text.encode()).hexdigest()


def hash_file(path: Path) -> str:
    """sha256 of a file."""
    return hash_files([path])


def source_number(sha256: str) -> int:
    """A source video's place in the order in which videos are held out: 48 bits of a hash.

    It fits a column of int64, and float64 holds it exactly.
    """
    return int.from_bytes(hashlib.sha256(sha256.encode()).digest()[:6], "big")


def hash_row(tensors: dict[str, Tensor], row: int) -> str:
    """sha256 of one row of all tensors, in the order of their names."""
    whole = hashlib.sha256()
    for name in sorted(tensors):
        whole.update(
            tensors[name][row].contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        )
    return whole.hexdigest()


def read_lines(file: BinaryIO) -> Iterator[tuple[int, bytes, dict[str, Any]]]:
    """Offset, bytes and record of each line from the file's position on, without torn lines."""
    offset = file.tell()
    for line in file:
        if not line.endswith(b"\n"):
            return
        start, offset = offset, offset + len(line)
        try:
            record = parse(line)
        except ValueError:  # cut by a power failure and continued behind it
            continue
        yield start, line, record


def read_index(folder: Path) -> dict[str, Any]:
    """The index of a finished data set.

    Raises:
        DataError: there is none, or it is unfinished, damaged, or of a newer fbridge.
    """
    path = folder / INDEX
    if not path.is_file():
        if (folder / JOURNAL).is_dir():
            raise DataError(
                f"{shown(folder)}: is not finished; run the same fbridge prepare line again"
            )
        raise DataError(f"{shown(folder)}: is no prepared data set; fbridge prepare makes one")
    try:
        index = read_sealed(path.read_text(encoding="utf-8"), FORMAT)
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, reason(error)) from None
    version = index.get("format")
    if isinstance(version, int) and version != FORMAT:
        raise DataError(
            f"{shown(path)}: has format {version}, this fbridge reads {FORMAT}; "
            "use the fbridge that wrote it, or a newer one"
        )
    if fault := form_fault(IndexForm, index):
        raise _damaged(path, fault)
    return index


def _damaged(path: Path, why: str) -> DataError:
    return DataError(f"{shown(path)}: is damaged ({why}); restore it, or prepare into a new folder")


def write_index(folder: Path, index: dict[str, Any]) -> None:
    """Write the index atomically, which completes a change of the data set."""
    write_text(folder / INDEX, sealed_text(index))


MISSING = "is missing"


def file_fault(folder: Path, record: dict[str, Any]) -> str:
    """How a file differs from its record of path, size and sha256; "" if it does not."""
    path = folder / record["path"]
    if not is_inside(record["path"]):
        return "lies outside the data set"
    if not path.is_file():
        return MISSING
    if path.stat().st_size != record["bytes"] or hash_file(path) != record["sha256"]:
        return "is not as it was written"
    return ""


def write_part(folder: Path, kind: str, lines: Iterator[str] | Iterator[bytes]) -> IndexedFile:
    """Write `<kind>-<digest>.jsonl` from lines without line feeds."""
    with PartWriter(folder, kind) as part:
        for line in lines:
            part.write(line)
    return part.file


class PartWriter(AbstractContextManager["PartWriter"]):
    """Writes `<kind>-<digest>.jsonl` line by line; the name is there when the context has ended.

    Attributes:
        file: what was written, at the end.
        size: bytes so far.
    """

    file: IndexedFile

    def __init__(self, folder: Path, kind: str) -> None:
        self._folder, self._kind = folder, kind
        self._scratch = folder / f"{kind}.jsonl"
        self._stack = ExitStack()
        self._rows, self._whole = 0, hashlib.sha256()
        self._pending: list[bytes] = []
        self.size = 0

    def __enter__(self) -> PartWriter:
        with ExitStack() as stack:
            hidden = stack.enter_context(replacing(self._scratch))
            self._file = stack.enter_context(hidden.open("wb"))
            stack.push(self._finish)  # inside of `replacing`, which tells what cannot be written
            self._stack = stack.pop_all()
        return self

    def write(self, line: str | bytes) -> None:
        """Add a line, without its line feed."""
        data = line.encode() if isinstance(line, str) else line
        self._pending.append(data)
        self._rows += 1
        self.size += len(data) + 1
        if len(self._pending) == _LINES_AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        data = b"\n".join([*self._pending, b""])
        self._file.write(data)
        self._whole.update(data)
        self._pending = []

    def _finish(self, *error: Any) -> None:
        if error[0] is None:
            self._flush()

    def __exit__(self, *error: Any) -> None:
        """Give the file its name, or delete it after an error."""
        self._stack.__exit__(*error)
        if error[0] is None:
            digest = self._whole.hexdigest()
            self.file = named_by_digest(self._folder, self._scratch, self._kind, digest, self._rows)


def save_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write a safetensors file atomically; equal tensors give equal bytes."""
    with replacing(path) as hidden:
        save_file({name: tensors[name].contiguous() for name in sorted(tensors)}, hidden)


def named_by_digest(folder: Path, scratch: Path, kind: str, sha256: str, rows: int) -> IndexedFile:
    """Give a finished file its name of kind and digest."""
    path = folder / f"{kind}-{sha256[:DIGITS]}{scratch.suffix}"
    size = scratch.stat().st_size
    scratch.replace(path)
    return IndexedFile(path.name, sha256, size, rows)
