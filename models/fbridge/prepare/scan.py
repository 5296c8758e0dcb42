"""First pass: survey every file of the source (frames, clips, hash) into a journal.

Each process surveys its share of the files and appends the records to its own journal. A file whose
size and modification time have not changed is not opened again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from itertools import tee
from typing import Any

from fbridge.data.latents.format import JOURNAL, digest
from fbridge.data.sources import Layout
from fbridge.data.sources.entry import Entry
from fbridge.data.video.pool import Failure, TaskPool
from fbridge.data.video.survey import Survey, survey_file
from fbridge.prepare.journal import Journal, Lookup
from fbridge.prepare.request import PrepareRequest

LINES_AT_ONCE = 32
"""Records are written in groups of this size; a killed run surveys at most so many files again."""
_READER = 2
"""Grows where files are surveyed in another way: all of them are then surveyed again."""
Stamp = tuple[int, int]
"""Size and modification time (ns) of a file; (-1, -1) if it cannot be found."""


def scan_source(
    request: PrepareRequest, layout: Layout, known: Lookup, workers: TaskPool
) -> Iterator[tuple[int, str]]:
    """Survey this process's share of the files that are not `known`; yields (number, key)."""
    rank = request.rank
    journal = Journal(request.out / JOURNAL / f"survey-{rank.number:05d}.jsonl")
    due, surveyed = tee(_due(request, layout, known))
    tasks = ((entry.media, request.cutting) for entry, _ in due)
    results = workers.map(survey_file, tasks, ahead=4 * workers.count)
    cutting = cutting_digest(request)
    lines: list[dict[str, Any]] = []
    try:
        for number, ((entry, stamp), found) in enumerate(zip(surveyed, results, strict=True), 1):
            lines.append(_line(entry, stamp, cutting, found))
            if len(lines) >= LINES_AT_ONCE:
                journal.append(lines)
                lines = []
            yield number, entry.key
    finally:
        if lines:
            journal.append(lines)


def _due(request: PrepareRequest, layout: Layout, known: Lookup) -> Iterator[tuple[Entry, Stamp]]:
    cutting = cutting_digest(request)
    for place, entry in enumerate(layout.entries()):
        if not request.rank.mine(place) or entry.media is None:
            continue
        try:
            stamp = entry.media.stat()
        except OSError:
            stamp = (-1, -1)  # the survey will fail with the reason
        if not _is_known(known.get(entry.key), stamp, cutting):
            yield entry, stamp


def _is_known(record: dict[str, Any] | None, stamp: Stamp, cutting: str) -> bool:
    """Whether a record still holds; transient failures are tried again."""
    return (
        record is not None
        and stamp != (-1, -1)
        and (record["size"], record["mtime_ns"]) == stamp
        and record["cutting"] == cutting
        and not record.get("transient", False)
    )


def _line(entry: Entry, stamp: Stamp, cutting: str, found: Survey | Failure) -> dict[str, Any]:
    size, mtime = stamp
    line: dict[str, Any] = {"key": entry.key, "size": size, "mtime_ns": mtime, "cutting": cutting}
    if isinstance(found, Failure):
        return {**line, "reason": found.reason, "transient": found.transient}
    return {**line, "found": found.to_json()}


def cutting_digest(request: PrepareRequest) -> str:
    """Hash of the options that a survey depends on, and of how files are surveyed."""
    return digest([_READER, asdict(request.cutting)])[:12]
