"""`fbridge prepare`: surveys, plans, encodes and merges, and yields an event for each step."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fbridge.choices import SHORTEST_FVD_CLIP
from fbridge.data.latents.format import JOURNAL, digest, shard_path
from fbridge.data.sources import Layout
from fbridge.prepare.engine import Engine, open_engine
from fbridge.prepare.finalize import Records, TableWriter, finished_parts, remove_journal
from fbridge.prepare.journal import JournalLookup, Lookup
from fbridge.prepare.locks import RankLock
from fbridge.prepare.longer import too_short, usual_frames
from fbridge.prepare.pinned import check_pinned, content, origin, pin
from fbridge.prepare.plan import NotScanned, Planner, Unit, caption_hash
from fbridge.prepare.request import PrepareRequest, Rank
from fbridge.prepare.scan import scan_source
from fbridge.prepare.shards import Timings
from fbridge.prepare.source import Source
from fbridge.prepare.store import is_complete
from fbridge.prepare.stored_plan import StoredPlan
from fbridge.prepare.summary import Tally, check_bad

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
        files = "" if request.ray is None else "--engine ray reads files alone; drop it"
        source = stack.enter_context(
            Source(request.source, request.media_root, request.cache_size, files)
        )
        yield from (Progress(f"listing {request.source}", number) for number in source.look())
        layout = source.find_layout(request.layout)
        yield SourceFound(layout)
        engine = stack.enter_context(open_engine(request, source.fetching))
        longest = max(bucket.frames for bucket in request.cutting.buckets)
        if longest < SHORTEST_FVD_CLIP:
            usual = usual_frames(engine.facts.temporal)
            yield Note(f"{too_short(longest)}; --frames {usual} makes longer ones")
        run = _Run(request, layout, engine, stack)
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
        self, request: PrepareRequest, layout: Layout, engine: Engine, stack: ExitStack
    ) -> None:
        self.request, self.layout, self.engine = request, layout, engine
        facts = engine.facts
        hashes = {"codec": facts.codec["hash"], "text encoder": facts.text_encoder["hash"]}
        self.stack = stack
        self.content = content(request, hashes)
        check_pinned(request, self.content)
        self.lock = stack.enter_context(RankLock(request.out, request.rank))
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
        recipe = digest([facts.codec["hash"], request.dtype])
        self.planner = Planner(
            request, layout, self.surveys, recipe=recipe, reads_text=facts.reads_text
        )
        self.timings = engine.timings
        self.started = time.perf_counter()

    def survey(self) -> Iterator[Event]:
        """Survey this process's share, then wait for the others; do the share of dead ones."""
        yield from self._survey(self.request)
        while True:
            self.surveys.refresh()
            try:
                folder, rows = self.request.out / JOURNAL, self.request.shard_rows
                plan = StoredPlan(self.planner.walk(), folder, rows)
                self.planned = self.stack.enter_context(plan)
                return
            except NotScanned as missing:
                if self.lock.others_alive():
                    yield Progress(f"waiting for another process to look at {missing}", 0)
                    time.sleep(POLL)
                else:
                    alone = replace(self.request, rank=Rank(self.request.rank.number))
                    yield from self._survey(alone)

    def _survey(self, request: PrepareRequest) -> Iterator[Event]:
        with self.engine.pool() as pool:
            for done, key in scan_source(request, self.layout, self.surveys, pool):
                yield from self._noted()
                yield Progress(f"looking at {key}", done)
        self.surveys.refresh()

    def plan(self) -> tuple[Tally, int]:
        """The plan, and how many clips this process is to encode."""
        tally, todo = Tally(), 0
        for unit in self.planned.units(self.stored, tally):
            if self._mine(unit) and not is_complete(unit, self.rows, self.request.out):
                todo += len(unit.clips)
        return tally, todo

    def make(self, todo: int) -> Iterator[Event]:
        """Encode this process's captions and clips, then those of dead processes."""
        pin(self.request, self.content)
        yield from self._make(todo, alone=False)
        while self.request.rank.number == 0 and self._undone():
            if self.lock.others_alive():
                yield Progress("waiting for the other processes", todo, todo)
                time.sleep(POLL)
            else:
                yield from self._make(todo, alone=True)

    def _make(self, todo: int, *, alone: bool) -> Iterator[Event]:
        captions = (
            group
            for group in self._caption_units()
            if alone or self.request.rank.mine(int(group[0], 16))
        )
        units = (unit for unit in self._undone_units() if alone or self._mine(unit))
        done = 0
        for step in self.engine.make(captions, units):
            done += step.clips
            yield from self._noted()
            yield Progress(step.what, done, todo)
        yield from self._noted()
        self.rows.refresh()
        self.captions.refresh()

    def _noted(self) -> Iterator[Event]:
        yield from map(Note, self.engine.notes)
        self.engine.notes.clear()

    def finish(self) -> Iterator[Event]:
        """Merge the parts, in process 0."""
        self.timings.total = time.perf_counter() - self.started
        if self.request.rank.number != 0:
            yield Finished(None, self.timings)
            return
        yield Progress("merging", 0)
        records = Records(
            lambda key: self.rows.line(key) or self.old_rows.line(key) or self.old_shards.line(key),
            lambda key: self.captions.line(key) or self.old_captions.line(key),
        )
        about = {
            "source": origin(self.request, self.layout.name),
            "options": self.content,
            "codec": self.engine.facts.codec,
            "text_encoder": self.engine.facts.text_encoder,
        }
        index = TableWriter(self.request, self.planned, records).write(about)
        self.planned.close()
        remove_journal(self.request.out)
        self.timings.total = time.perf_counter() - self.started
        yield Finished(index, self.timings)

    def _mine(self, unit: Unit) -> bool:
        return self.request.rank.mine(int(unit.name, 16))

    def _undone_units(self) -> Iterator[Unit]:
        for unit in self.planned.units(self.stored):
            if not is_complete(unit, self.rows, self.request.out):
                yield unit

    def _caption_units(self) -> Iterator[tuple[str, list[str]]]:
        for group in self.planned.captions(_StoredRecords(self.old_captions, self.request.out)):
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
        self._exists = ""  # the shard of the last one, which most often is that of the next one

    def __contains__(self, key: object) -> bool:
        record = self._records.get(str(key))
        if record is None:
            return False
        if record["shard"] != self._exists:
            if not (self._out / record["shard"]).is_file():
                return False
            self._exists = record["shard"]
        return True
