"""Write the tables and the index of a finished data set, in the order of the source."""

from __future__ import annotations

import re
import shutil
from array import array
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

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
    write_columns,
    write_index,
    write_part,
)  # fmt: skip
from fbridge.files.atomic import HIDDEN_NAME
from fbridge.prepare.encode import Moments
from fbridge.prepare.journal import KeyNumbers, Lookup
from fbridge.prepare.plan import PlannedClip, PlannedVideo, Planner, caption_hash
from fbridge.prepare.request import PrepareRequest
from fbridge.prepare.summary import LeftOut

KINDS = ("manifest", "captions", "rejected", "survey", "shards")


@dataclass(frozen=True)
class Records:
    """Look-ups of the records in the journals and in an earlier data set in the same folder.

    Attributes:
        rows: of a clip by its id, of a shard by its unit; None if there is none.
        captions: of a caption by its hash, of a shard of text embeddings by its unit.
        surveys: of a file by its key.
    """

    rows: Callable[[str], dict[str, Any] | None]
    captions: Callable[[str], dict[str, Any] | None]
    surveys: Lookup


class TableWriter:
    """Writes the data set's tables from the plan and the records."""

    def __init__(self, request: PrepareRequest, planner: Planner, records: Records) -> None:
        self._request = request
        self._planner = planner
        self._records = records
        self._shards, self._text_shards = KeyNumbers(), KeyNumbers()
        self._paths: list[str] = []
        self._text_paths: list[str] = []
        self._captions = KeyNumbers()
        self._columns = {
            name: array("q")
            for name in (
                "offset", "shard", "row", "bucket", "label", "split", "source", "caption_start",
                "caption", "caption_shard", "caption_row", "caption_offset",
            )
        }  # fmt: skip
        self._buckets: dict[str, dict[str, Any]] = {}
        self._tags: list[str] = []
        self._left_out: dict[str, int] = {"rejected": 0, "dropped": 0}
        self._captionless = 0

    def write(self, about: dict[str, Any]) -> dict[str, Any]:
        """Write all tables and, last, the index; returns it."""
        out = self._request.out
        parts = self._write_tables()
        moments = Moments()
        parts["shards"] = write_part(out, "shards", self._shard_lines(moments))
        rows = len(self._columns["row"])
        parts["columns"] = write_columns(out, self._tensors(), rows)
        index = {
            "format": FORMAT,
            "fbridge": metadata.version("fbridge"),
            **about,
            "counts": {
                "clips": rows,
                "captions": len(self._captions),
                "without_caption": self._captionless,
                "shards": len(self._text_shards) + len(self._shards),
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

    def _write_tables(self) -> dict[str, IndexedFile]:
        """Captions, manifest, rejected and survey, in one walk over the plan."""
        with ExitStack() as stack:
            parts = {
                kind: stack.enter_context(PartWriter(self._request.out, kind))
                for kind in ("captions", "manifest", "rejected", "survey")
            }
            self._write_caption("", caption_hash(""), parts["captions"])
            for item in self._planner.walk():
                self._write_video(item, parts)
        self._append(caption_start=len(self._columns["caption"]))
        return {kind: part.file for kind, part in parts.items()}

    def _write_video(self, item: PlannedVideo, parts: dict[str, PartWriter]) -> None:
        left_out = list(item.left_out)
        for clip in item.clips:
            for caption, key in zip(clip.captions, clip.facts["captions"], strict=True):
                self._write_caption(caption, key, parts["captions"])
            record = self._row(clip)
            if "reason" in record:
                key, start = clip.facts["key"], clip.facts["times"][0]
                left_out.append(LeftOut(key, record["reason"], True, start))
                continue
            place = {name: record[name] for name in ("shard", "row", "sha256")}
            self._add(clip, place, parts["manifest"].size)
            parts["manifest"].write(dump({**clip.facts, **place}))
        for out in left_out:
            self._left_out["rejected" if out.rejected else "dropped"] += 1
            parts["rejected"].write(dump(out.to_json()))
        if item.found is not None:
            parts["survey"].write(dump(item.found))

    def _write_caption(self, caption: str, key: str, part: PartWriter) -> None:
        if not self._captions.add(key):
            return
        record = self._records.captions(key)
        assert record is not None, caption
        shard = _numbered(record["shard"], self._text_shards, self._text_paths)
        self._append(caption_shard=shard, caption_row=record["row"], caption_offset=part.size)
        part.write(dump(record))

    def _add(self, clip: PlannedClip, place: dict[str, Any], offset: int) -> None:
        bucket = str(clip.bucket)
        known = self._buckets.setdefault(
            bucket, {"bucket": bucket, "clips": 0, "number": len(self._buckets)}
        )
        known["clips"] += 1
        self._captionless += not clip.captions
        self._append(caption_start=len(self._columns["caption"]))
        for caption in clip.facts["captions"]:
            self._append(caption=self._captions[caption])
        label = clip.facts["label"]
        self._append(
            offset=offset,
            shard=_numbered(place["shard"], self._shards, self._paths),
            row=place["row"],
            bucket=known["number"],
            label=-1 if label is None else label,
            split=self._split(clip.facts["split"]),
            source=source_number(clip.facts["source_sha256"]),
        )

    def _append(self, **values: int) -> None:
        for name, value in values.items():
            self._columns[name].append(value)

    def _shard_lines(self, moments: Moments) -> Iterator[str]:
        for path in (*self._text_paths, *self._paths):
            record = self._records.rows(Path(path).stem) or self._records.captions(Path(path).stem)
            assert record is not None, path
            if "moments" in record:
                moments.add(record["moments"])
                bucket = self._buckets.get(record["bucket"])
                if bucket is not None:
                    bucket["latent"] = record["latent"]
            yield dump(record)

    def _row(self, clip: PlannedClip) -> dict[str, Any]:
        record = self._records.rows(clip.id)
        assert record is not None, clip.id
        return record

    def _split(self, tags: list[str]) -> int:
        for tag in tags:
            if tag not in self._tags:
                self._tags.append(tag)
        return sum(1 << self._tags.index(tag) for tag in tags)

    def _tensors(self) -> dict[str, Tensor]:
        columns = {name: np.array(values, np.int64) for name, values in self._columns.items()}
        columns["shard"] += len(self._text_shards)  # which come first
        return {name: torch.from_numpy(values) for name, values in columns.items()}

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


def _numbered(path: str, numbers: KeyNumbers, paths: list[str]) -> int:
    """The number of a shard, which gets the next one when it is new."""
    if numbers.add(path):
        paths.append(path)
    return numbers[path]


def finished_parts(out: Path) -> dict[str, Path]:
    """Paths of the tables by name, if the folder holds a finished data set."""
    if not (out / INDEX).is_file():
        return {}
    return {name: out / part["path"] for name, part in read_index(out)["files"].items()}


def remove_journal(out: Path) -> None:
    """Delete the journal of a finished data set."""
    shutil.rmtree(out / JOURNAL, ignore_errors=True)
