"""Write the tables and the index of a finished data set, in the order of the source."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from fbridge.data.latents.columns import Columns, write_columns
from fbridge.data.latents.format import (
    DIGITS,
    FORMAT,
    INDEX,
    JOURNAL,
    IndexedFile,
    PartWriter,
    dump,
    read_index,
    source_number,
    write_index,
    write_part,
)  # fmt: skip
from fbridge.files.atomic import HIDDEN_NAME
from fbridge.prepare.encode import Moments
from fbridge.prepare.journal import AGAIN, FIRST, KeyNumbers, Line
from fbridge.prepare.plan import PlannedClip, PlannedVideo, caption_hash
from fbridge.prepare.request import PrepareRequest
from fbridge.prepare.stored_plan import StoredPlan
from fbridge.prepare.summary import LeftOut

KINDS = ("manifest", "captions", "rejected", "survey", "shards")


@dataclass(frozen=True)
class Records:
    """Look-ups of the records in the journals and in an earlier data set in the same folder.

    Attributes:
        rows: line of a clip by its id, of a shard by its unit; None if there is none.
        captions: likewise of a caption by its hash, of a shard of text embeddings by its unit.
    """

    rows: Callable[[str], Line | None]
    captions: Callable[[str], Line | None]


class TableWriter:
    """Writes the data set's tables from the plan and the records, in the order of the source."""

    def __init__(self, request: PrepareRequest, plan: StoredPlan, records: Records) -> None:
        self._request = request
        self._plan = plan
        self._records = records
        self._shards, self._text_shards = _Shards(), _Shards()
        self._buckets: dict[tuple[int, int, int], dict[str, Any]] = {}
        self._tags: list[str] = []
        self._left_out: dict[str, int] = {"rejected": 0, "dropped": 0}
        self._captionless = 0

    def write(self, about: dict[str, Any]) -> dict[str, Any]:
        """Write all tables and, last, the index; returns it."""
        out = self._request.out
        with _AllColumns(out) as columns:
            parts = self._write_tables(columns)
            moments = Moments()
            parts["shards"] = write_part(out, "shards", self._shard_lines(moments))
            text_shards = len(self._text_shards)
            parts["columns"] = columns.write(out, text_shards)  # which are numbered first
        rows = parts["manifest"].rows
        index = {
            "format": FORMAT,
            "fbridge": metadata.version("fbridge"),
            **about,
            "counts": {
                "clips": rows,
                "captions": parts["captions"].rows,
                "without_caption": self._captionless,
                "shards": text_shards + len(self._shards),
                **self._left_out,
            },
            "buckets": list(self._buckets.values()),
            "splits": self._tags,
            "moments": moments.summary(),
            "files": {name: asdict(part) for name, part in sorted(parts.items())},
        }
        write_index(out, index)
        self._clean(parts)
        return index

    def _write_tables(self, columns: _AllColumns) -> dict[str, IndexedFile]:
        """Captions, manifest, rejected and survey, in one walk over the plan."""
        with ExitStack() as stack:
            parts = {
                kind: stack.enter_context(PartWriter(self._request.out, kind))
                for kind in ("captions", "manifest", "rejected", "survey")
            }
            kinds, lookup = self._plan.caption_kinds(), self._records.captions
            captions = _Captions(
                kinds, lookup, self._text_shards, columns.captions, parts["captions"]
            )
            captions.number("", caption_hash(""))
            for item in self._plan.walk():
                self._write_video(item, captions, columns, parts)
            columns.starts.append(len(columns.mentions))
        return {kind: part.file for kind, part in parts.items()}

    def _write_video(
        self,
        item: PlannedVideo,
        captions: _Captions,
        columns: _AllColumns,
        parts: dict[str, PartWriter],
    ) -> None:
        left_out = list(item.left_out)
        for clip in item.clips:
            numbers = list(map(captions.number, clip.captions, clip.hashes))
            record = self._row(clip)
            if "reason" in record:
                facts = clip.facts
                reason, start = record["reason"], facts["times"][0]
                left_out.append(LeftOut(facts["key"], reason, True, start))
                continue
            self._add(clip, record, numbers, columns, parts["manifest"].size)
            place = record["row"], record["sha256"], record["shard"]
            parts["manifest"].write(clip.manifest_row(*place))
        for out in left_out:
            self._left_out["rejected" if out.rejected else "dropped"] += 1
            parts["rejected"].write(dump(out.to_json()))
        if item.line is not None:
            parts["survey"].write(item.line)

    def _add(
        self,
        clip: PlannedClip,
        place: dict[str, Any],
        captions: list[int],
        columns: _AllColumns,
        offset: int,
    ) -> None:
        bucket = self._buckets.get(clip.shape)
        if bucket is None:
            bucket = {"bucket": str(clip.bucket), "clips": 0, "number": len(self._buckets)}
            self._buckets[clip.shape] = bucket
        bucket["clips"] += 1
        self._captionless += not captions
        columns.starts.append(len(columns.mentions))
        for caption in captions:
            columns.mentions.append(caption)
        columns.clips.append(
            offset,
            self._shards.number(place["shard"]),
            place["row"],
            bucket["number"],
            -1 if clip.label is None else clip.label,
            self._split(clip.split) if clip.split else 0,
            source_number(clip.source),
        )

    def _shard_lines(self, moments: Moments) -> Iterator[bytes]:
        for path in (*self._text_shards.paths, *self._shards.paths):
            unit = Path(path).stem
            line = self._records.rows(unit) or self._records.captions(unit)
            assert line is not None, path
            record = line.record
            if "moments" in record:
                moments.add(record["moments"])
                for bucket in self._buckets.values():
                    if bucket["bucket"] == record["bucket"]:
                        bucket["latent"] = record["latent"]
            yield line.data[:-1]

    def _row(self, clip: PlannedClip) -> dict[str, Any]:
        line = self._records.rows(clip.id)
        assert line is not None, clip.id
        return line.record

    def _split(self, tags: tuple[str, ...]) -> int:
        for tag in tags:
            if tag not in self._tags:
                self._tags.append(tag)
        return sum(1 << self._tags.index(tag) for tag in tags)

    def _clean(self, parts: dict[str, IndexedFile]) -> None:
        """Delete files that no table names: older tables, unused shards, partly written files."""
        out = self._request.out
        kept = {part.path for part in parts.values()}
        table = re.compile(
            rf"({'|'.join(KINDS)}|columns)-[0-9a-f]{{{DIGITS}}}\.(jsonl|safetensors)"
        )
        for path in out.iterdir():
            if table.fullmatch(path.name) and path.name not in kept:
                path.unlink()
        for path in out.rglob(".fbridge-*"):
            if HIDDEN_NAME.fullmatch(path.name):
                path.unlink(missing_ok=True)
        for kind in ("shards", "text"):
            for path in (out / kind).glob("??/*.safetensors"):
                name = path.relative_to(out).as_posix()
                if name not in self._shards and name not in self._text_shards:
                    path.unlink()


class _AllColumns(ExitStack):
    """The columns of a data set, by what they have a number for; use it in a `with` block.

    Attributes:
        clips: rows of the manifest.
        starts, mentions: numbers of the captions of all rows, and where each row's begin in them.
        captions: rows of the captions' table.
    """

    def __init__(self, out: Path) -> None:
        super().__init__()
        numbers = ("offset", "shard", "row", "bucket", "label", "split", "source")
        self.clips = self.enter_context(Columns(out, *numbers))
        self.starts = self.enter_context(Columns(out, "caption_start"))
        self.mentions = self.enter_context(Columns(out, "caption"))
        places = ("caption_shard", "caption_row", "caption_offset")
        self.captions = self.enter_context(Columns(out, *places))

    def write(self, out: Path, first_shard: int) -> IndexedFile:
        """Write the file; shards of clips are numbered from `first_shard` on."""
        tables = (self.clips, self.starts, self.mentions, self.captions)
        return write_columns(out, tables, len(self.clips), {"shard": first_shard})


class _Shards:
    """Paths of shards, numbered in the order in which they are first named."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self._numbers = KeyNumbers()

    def __len__(self) -> int:
        return len(self.paths)

    def __contains__(self, path: str) -> bool:
        return path in self._numbers

    def number(self, path: str) -> int:
        """The number of a shard, which gets the next one when it is new."""
        if self._numbers.add(path):
            self.paths.append(path)
        return self._numbers[path]


class _Captions:
    """Writes every caption once and numbers them, given all of `StoredPlan.all_captions`."""

    def __init__(
        self,
        kinds: Iterator[int],
        lookup: Callable[[str], Line | None],
        shards: _Shards,
        columns: Columns,
        part: PartWriter,
    ) -> None:
        self._kinds = kinds
        self._lookup = lookup
        self._shards = shards
        self._columns = columns
        self._part = part
        self._repeated = KeyNumbers()

    def number(self, caption: str, key: str) -> int:
        """The number of the next caption, which is written when it is mentioned first."""
        kind = next(self._kinds)
        if kind == AGAIN:
            return self._repeated[key]
        number = len(self._columns)
        if kind == FIRST:
            self._repeated.add(key, number)
        line = self._lookup(key)
        assert line is not None, caption
        shard, row = self._shards.number(line.record["shard"]), line.record["row"]
        self._columns.append(shard, row, self._part.size)
        self._part.write(line.data[:-1])
        return number


def finished_parts(out: Path) -> dict[str, Path]:
    """Paths of the tables by name, if the folder holds a finished data set."""
    if not (out / INDEX).is_file():
        return {}
    return {name: out / part["path"] for name, part in read_index(out)["files"].items()}


def remove_journal(out: Path) -> None:
    """Delete the journal of a finished data set."""
    shutil.rmtree(out / JOURNAL, ignore_errors=True)
