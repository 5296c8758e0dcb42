"""`fbridge prepare --verify`: hash all files of a data set, and list the damaged rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from fbridge.data.latents.format import file_fault, hash_row, read_index
from fbridge.data.sources import Media
from fbridge.data.stores import MissingError, ObjectError, StoreError, StoreUrl
from fbridge.data.stores.scratch import scratch_folder
from fbridge.data.stores.stored_set import StoredSet
from fbridge.errors import DependencyError, FBridgeError
from fbridge.files.atomic import shown
from fbridge.files.hashing import hash_stream
from fbridge.prepare.journal import KeyNumbers, Lookup, ShardRows
from fbridge.prepare.pinned import place_of
from fbridge.prepare.source import Source


@dataclass(frozen=True)
class VerifyProgress:
    """Number of shards, then of source videos, that are checked; the latter have no total."""

    what: str
    done: int
    total: int | None


@dataclass(frozen=True)
class Damage:
    """A file of the data set that is missing or has changed.

    Attributes:
        what: the file, relative to the data set.
        reason: what is wrong with it.
        rows, keys: rows of the manifest that are lost, and the videos they were cut from.
    """

    what: str
    reason: str
    rows: tuple[int, ...] = ()
    keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class VerifyResult:
    """The result of a check.

    Attributes:
        rows, shards: how many were checked.
        damaged: files of the data set.
        sources_checked: number of source videos that were hashed.
        sources_changed, sources_missing: their keys; this does not damage the data set.
    """

    rows: int
    shards: int
    damaged: tuple[Damage, ...]
    sources_checked: int
    sources_changed: tuple[str, ...]
    sources_missing: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether no file of the data set is damaged."""
        return not self.damaged


def verify(place: Path | StoreUrl) -> Iterator[VerifyProgress | VerifyResult]:
    """Hash tables, shards and, where they still exist, the sources; the last item is the result.

    Of a data set in a store, each file is fetched, hashed and removed again.

    Raises:
        DataError: there is no finished data set.
        StoreError: a store does not answer.
    """
    if isinstance(place, Path):
        yield from _verify(place, read_index(place), lambda _: nullcontext())
        return
    with scratch_folder() as folder:
        there = StoredSet(place, folder)
        yield from _verify(folder, there.fetch_tables(), there.having)


def _verify(
    folder: Path,
    index: dict[str, Any],
    having: Callable[[str], AbstractContextManager[None]],
) -> Iterator[VerifyProgress | VerifyResult]:
    """As `verify`; files of `folder` are there in the context that `having` gives."""
    damaged = list(_check_tables(folder, index))
    shards = index["counts"]["shards"]
    if damaged:
        yield VerifyResult(index["counts"]["clips"], 0, tuple(damaged), 0, (), ())
        return
    rows = _rows_of_shards(folder, index)
    for done, record in enumerate(_table(folder, index, "shards"), 1):
        with having(record["path"]):
            damage = _check_shard(folder, record, rows)
        if damage is not None:
            damaged.append(damage)
        yield VerifyProgress(record["path"], done, shards)
    changed: list[str] = []
    missing: list[str] = []
    checked = 0
    for checked, (key, state) in enumerate(_sources(folder, index), 1):
        if state:
            (changed if state == "changed" else missing).append(key)
        yield VerifyProgress(key, checked, None)
    yield VerifyResult(
        index["counts"]["clips"], shards, tuple(damaged), checked, tuple(changed), tuple(missing)
    )


def _check_tables(folder: Path, index: dict[str, Any]) -> Iterator[Damage]:
    for part in index["files"].values():
        if fault := file_fault(folder, part):
            yield Damage(part["path"], fault)


def _table(folder: Path, index: dict[str, Any], kind: str) -> Iterator[dict[str, Any]]:
    with (folder / index["files"][kind]["path"]).open("rb") as file:
        for line in file:
            yield json.loads(line)


def _rows_of_shards(folder: Path, index: dict[str, Any]) -> ShardRows:
    """The manifest's rows by shard; shards of text embeddings have none."""
    rows = ShardRows()
    for number, record in enumerate(_table(folder, index, "manifest")):
        rows.add(record["shard"], record["row"], number, record["key"], record["sha256"])
    return rows


def _check_shard(folder: Path, record: dict[str, Any], rows: ShardRows) -> Damage | None:
    reason = file_fault(folder, record)
    if not reason:
        return None
    lost = list(rows.of(record["path"]))
    path = folder / record["path"]
    if path.is_file():
        try:
            tensors = load_file(path)
            lost = [row for row in lost if hash_row(tensors, row[0]) != row[3]]
        except (SafetensorError, OSError, IndexError):
            reason = "is damaged beyond reading"
    return Damage(
        record["path"], reason, tuple(row[1] for row in lost), tuple(row[2] for row in lost)
    )


def _sources(folder: Path, index: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The key of each source video, with "changed", "missing" or "" for unchanged."""
    source = index["source"]
    expected = Lookup(lambda record: record["key"])
    expected.read(folder / index["files"]["survey"]["path"])
    present = KeyNumbers()
    try:
        root = place_of(source["media_root"]) if source["media_root"] else None
        with Source(place_of(source["path"]), root, cache_size=0) as found:
            for _ in found.look():
                pass
            for entry in found.find_layout(source["layout"]).entries():
                record = expected.get(entry.key)
                if record is None or entry.media is None or "found" not in record:
                    continue
                present.add(entry.key)
                same = _sha256(found, entry.media) == record["found"]["sha256"]
                yield entry.key, "" if same else "changed"
    except MissingError:
        pass  # there is nothing at that URL any more
    except (StoreError, DependencyError):
        raise  # that a store does not answer says nothing of its videos
    except FBridgeError:
        pass  # the source is gone or has another layout: its videos are missing
    for record in _table(folder, index, "survey"):
        if "found" in record and record["key"] not in present:
            yield record["key"], "missing"


def _sha256(source: Source, media: Media) -> str:
    """sha256 of the bytes; "" if they cannot be read."""
    try:
        with source.local(media) as copy, copy.open() as file:
            return hash_stream(file)
    except (OSError, ObjectError):
        return ""


def way_out(folder: Path | StoreUrl, damage: Damage) -> str:
    """How the user can repair the data set."""
    if damage.what.endswith(".safetensors") and "/" in damage.what:
        return (
            f"delete {shown(folder / damage.what)} and run the same fbridge prepare line again: "
            "only what was in it is encoded anew"
        )
    return f"restore {shown(folder / damage.what)} from a copy, or prepare into a new folder"
