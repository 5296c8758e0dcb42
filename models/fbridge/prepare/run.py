"""`fbridge prepare`: surveys, plans, encodes and merges, and yields an event for each step."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from fbridge.choices import SHORTEST_FVD_CLIP
from fbridge.data.latents.format import digest, shard_path
from fbridge.data.sources import Layout
from fbridge.data.video.pool import TaskPool, Workers
from fbridge.loaders.codec import LoadedCodec
from fbridge.prepare.encode import Encoder
from fbridge.prepare.finalize import Records, TableWriter, finished_parts, remove_journal
from fbridge.prepare.journal import JournalLookup, Lookup
from fbridge.prepare.locks import RankLock
from fbridge.prepare.longer import too_short, usual_frames
from fbridge.prepare.models import load_models
from fbridge.prepare.pinned import check_pinned, content, origin, pin
from fbridge.prepare.plan import NotScanned, Planner, Unit, caption_hash
from fbridge.prepare.request import PrepareRequest, Rank
from fbridge.prepare.scan import scan_source
from fbridge.prepare.shards import CaptionWriter, ShardWriter, Timings, is_complete
from fbridge.prepare.source import Source
from fbridge.prepare.summary import Tally, check_bad
from fbridge.words.encoder import PromptEncoder

POLL = 0.5
"""Seconds between two checks of what the other processes have done."""


@dataclass(frozen=True)
class SourceFound:
    """The layout of the source was detected."""

    layout: Layout


@dataclass(frozen=True)
class Progress:
    """Progress of a step: items done, of how many; `total` is None where that is unknown."""

    what: str
    done: int
    total: int | None = None


@dataclass(frozen=True)
class Planned:
    """The plan is complete; nothing is encoded yet."""

    tally: Tally


@dataclass(frozen=True)
class Note:
    """A message for the user."""

    text: str


@dataclass(frozen=True)
class Finished:
    """The data set is complete. `index` is None in a process that leaves merging to another."""

    index: dict[str, Any] | None
    timings: Timings


Event = SourceFound | Progress | Planned | Note | Finished


def prepare(request: PrepareRequest, *, dry_run: bool = False) -> Iterator[Event]:
    """Make the data set; may be stopped anywhere and called again.

    Args:
        request: what is made of which videos.
        dry_run: stop after the plan.

    Raises:
        ConfigError, DataError, CheckpointError, DependencyError: with the way out.
    """
    request.check_paths()
    with ExitStack() as stack:
        source = stack.enter_context(Source(request.source, request.media_root, request.cache_size))
        yield from (Progress(f"listing {request.source}", number) for number in source.look())
        layout = source.find_layout(request.layout)
        yield SourceFound(layout)
        codec, text = load_models(request)
        longest = max(bucket.frames for bucket in request.cutting.buckets)
        if longest < SHORTEST_FVD_CLIP:
            usual = usual_frames(getattr(codec.codec, "temporal", None) or 1)
            yield Note(f"{too_short(longest)}; --frames {usual} makes longer ones")
        run = _Run(request, layout, codec, text, stack)
        run.workers = source.fetching(run.workers)
        yield from run.survey()
        tally, todo = run.plan()
        yield Planned(tally)
        check_bad(tally, request.max_bad)
        if not dry_run:
            yield from run.make(todo)
            yield from run.finish()


class _Run:
    """The steps of `prepare` in one process."""

    def __init__(
        self,
        request: PrepareRequest,
        layout: Layout,
        codec: LoadedCodec,
        text: PromptEncoder,
        stack: ExitStack,
    ) -> None:
        self.request, self.layout, self.codec, self.text = request, layout, codec, text
        self.content = content(request, {"codec": codec.hash, "text encoder": text.hash})
        check_pinned(request, self.content)
        self.lock = stack.enter_context(RankLock(request.out, request.rank))
        self.workers: TaskPool = stack.enter_context(
            Workers(request.workers, time_limit=request.time_limit)
        )
        self.parts = finished_parts(request.out)
        out, finished = request.out, self.parts.get("survey")
        self.surveys = JournalLookup(out, "survey", lambda record: record["key"], finished)
        self.rows = JournalLookup(out, "rows", lambda record: record.get("unit") or record["id"])
        self.captions = JournalLookup(
            out, "captions", lambda record: record.get("unit") or record["caption"]
        )
        self.old_rows = Lookup(lambda record: record["id"])
        self.old_captions = Lookup(lambda record: record["caption"])
        self.old_shards = Lookup(lambda record: record["unit"])
        for lookup, name in (
            (self.old_rows, "manifest"),
            (self.old_captions, "captions"),
            (self.old_shards, "shards"),
        ):
            lookup.read(*([self.parts[name]] if name in self.parts else []))
        self.stored = _StoredRecords(self.old_rows, request.out)
        recipe = digest([codec.hash, request.dtype])
        self.planner = Planner(
            request, layout, self.surveys, recipe=recipe, reads_text=codec.codec.reads_text
        )
        self.notes: list[str] = []
        self.timings = Timings()
        self.started = time.perf_counter()

    def survey(self) -> Iterator[Event]:
        """Survey this process's share, then wait for the others; do the share of dead ones."""
        yield from self._survey(self.request)
        while True:
            self.surveys.refresh()
            try:
                for _ in self.planner.walk():
                    pass
                return
            except NotScanned as missing:
                if self.lock.others_alive():
                    yield Progress(f"waiting for another process to look at {missing}", 0)
                    time.sleep(POLL)
                else:
                    alone = replace(self.request, rank=Rank(self.request.rank.number))
                    yield from self._survey(alone)

    def _survey(self, request: PrepareRequest) -> Iterator[Event]:
        for done, key in scan_source(request, self.layout, self.surveys, self.workers):
            yield Progress(f"looking at {key}", done)
        self.surveys.refresh()

    def plan(self) -> tuple[Tally, int]:
        """The plan, and how many clips this process is to encode."""
        tally, todo = Tally(), 0
        for unit in self.planner.units(self.stored, tally):
            if self._mine(unit) and not is_complete(unit, self.rows, self.request):
                todo += len(unit.clips)
        return tally, todo

    def make(self, todo: int) -> Iterator[Event]:
        """Encode this process's captions and clips, then those of dead processes."""
        pin(self.request, self.content)
        dtype = getattr(torch, self.request.dtype)
        writer = ShardWriter(
            self.request,
            self.workers,
            Encoder(
                self.codec.codec,
                self.text,
                device=self.request.device,
                dtype=dtype,
                batch_size=self.request.batch_size,
                note=self.notes.append,
            ),
        )
        captions = CaptionWriter(self.request, self.text, dtype, self.notes.append)
        self.timings = writer.timings
        yield from self._make(writer, captions, todo, alone=False)
        while self.request.rank.number == 0 and self._undone():
            if self.lock.others_alive():
                yield Progress("waiting for the other processes", todo, todo)
                time.sleep(POLL)
            else:
                yield from self._make(writer, captions, todo, alone=True)

    def _make(
        self, writer: ShardWriter, captions: CaptionWriter, todo: int, *, alone: bool
    ) -> Iterator[Event]:
        for name, group in self._caption_units():
            if alone or self.request.rank.mine(int(name, 16)):
                captions.write(name, group)
                yield from self._noted()
                yield Progress("captions", 0, todo)
        done = 0
        mine = (unit for unit in self._undone_units() if alone or self._mine(unit))
        for more in writer.write(mine):
            done += more
            yield from self._noted()
            yield Progress("encoding", done, todo)
        self.rows.refresh()
        self.captions.refresh()

    def _noted(self) -> Iterator[Event]:
        yield from map(Note, self.notes)
        self.notes.clear()

    def finish(self) -> Iterator[Event]:
        """Merge the parts, in process 0."""
        self.timings.total = time.perf_counter() - self.started
        if self.request.rank.number != 0:
            yield Finished(None, self.timings)
            return
        yield Progress("merging", 0)
        records = Records(
            lambda key: self.rows.get(key) or self.old_rows.get(key) or self.old_shards.get(key),
            lambda key: self.captions.get(key) or self.old_captions.get(key),
            self.surveys,
        )
        about = {
            "source": origin(self.request, self.layout.name),
            "options": self.content,
            "codec": {
                "name": self.codec.name,
                "kind": self.codec.kind,
                "hash": self.codec.hash,
                "fingerprint": self.codec.fingerprint,
            },
            "text_encoder": {"name": self.text.name, "hash": self.text.hash},
        }
        index = TableWriter(self.request, self.planner, records).write(about)
        remove_journal(self.request.out)
        self.timings.total = time.perf_counter() - self.started
        yield Finished(index, self.timings)

    def _mine(self, unit: Unit) -> bool:
        return self.request.rank.mine(int(unit.name, 16))

    def _undone_units(self) -> Iterator[Unit]:
        for unit in self.planner.units(self.stored):
            if not is_complete(unit, self.rows, self.request):
                yield unit

    def _caption_units(self) -> Iterator[tuple[str, list[str]]]:
        for group in self.planner.captions(_StoredRecords(self.old_captions, self.request.out)):
            name = digest([caption_hash(caption) for caption in group])[:20]
            path = self.request.out / shard_path("text", name)
            if name not in self.captions or not path.is_file():
                yield name, group

    def _undone(self) -> bool:
        """Whether units or captions of other processes are still missing."""
        self.rows.refresh()
        self.captions.refresh()
        return any(True for _ in self._undone_units()) or any(True for _ in self._caption_units())


class _StoredRecords:
    """Clips or captions of the finished data set whose shard still exists."""

    def __init__(self, records: Lookup, out: Path) -> None:
        self._records = records
        self._out = out

    def __contains__(self, key: object) -> bool:
        record = self._records.get(str(key))
        return record is not None and (self._out / record["shard"]).is_file()
