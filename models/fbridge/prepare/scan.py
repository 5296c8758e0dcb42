"""The first pass: what every file of the source holds and which clips are cut from it.

Each process looks at its share of the files and appends what it finds to its own journal; a file
whose size and time have not changed since is not opened again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import tee
from pathlib import Path
from typing import Any

from fbridge.data.latents.format import JOURNAL, digest
from fbridge.data.sources import Layout
from fbridge.data.sources.entry import Entry, Media
from fbridge.data.video.pool import Failure, Workers
from fbridge.data.video.survey import Survey, survey_file
from fbridge.files.atomic import write_failure
from fbridge.prepare.journal import Journal, Lookup
from fbridge.prepare.request import PrepareRequest

LINES_AT_ONCE = 32
"""Findings are written together: a killed run looks at so many files again, at most."""


@dataclass(frozen=True)
class Stamp:
    """How a file is known again without reading it."""

    size: int
    mtime_ns: int

    @classmethod
    def of(cls, media: Media) -> Stamp:
        """The stamp of what lies there now."""
        return cls(*media.stat())


def scan_source(
    request: PrepareRequest, layout: Layout, known: Lookup, workers: Workers
) -> Iterator[tuple[int, str]]:
    """Look at this process's share of the files that are not `known`; yields (files seen, key)."""
    rank = request.rank
    journal = Journal(request.out / JOURNAL / f"survey-{rank.number:05d}.jsonl")
    due, told = tee(_due(request, layout, known))
    tasks = ((entry.media, request.cutting) for entry, _ in due)
    results = workers.map(survey_file, tasks, ahead=4 * request.workers)
    cutting = cutting_digest(request)
    lines: list[dict[str, Any]] = []
    try:
        for number, ((entry, stamp), found) in enumerate(zip(told, results, strict=True), 1):
            lines.append(_line(entry, stamp, cutting, found))
            if len(lines) >= LINES_AT_ONCE:
                journal.append(lines)
                lines = []
            yield number, entry.key
    finally:
        if lines:
            journal.append(lines)


def _due(
    request: PrepareRequest, layout: Layout, known: Lookup
) -> Iterator[tuple[Entry, Stamp | None]]:
    cutting = cutting_digest(request)
    for place, entry in enumerate(layout.entries()):
        if not request.rank.mine(place) or entry.media is None:
            continue
        try:
            stamp = Stamp.of(entry.media)
        except OSError:
            stamp = None  # opening it will say why
        if not _is_known(known.get(entry.key), stamp, cutting):
            yield entry, stamp


def _is_known(record: dict[str, Any] | None, stamp: Stamp | None, cutting: str) -> bool:
    """A failure that may pass is tried again."""
    return (
        record is not None
        and stamp is not None
        and (record["size"], record["mtime_ns"]) == (stamp.size, stamp.mtime_ns)
        and record["cutting"] == cutting
        and not record.get("transient", False)
    )


def _line(
    entry: Entry, stamp: Stamp | None, cutting: str, found: Survey | Failure
) -> dict[str, Any]:
    size, mtime = (stamp.size, stamp.mtime_ns) if stamp else (-1, -1)
    line: dict[str, Any] = {"key": entry.key, "size": size, "mtime_ns": mtime, "cutting": cutting}
    if isinstance(found, Failure):
        return {**line, "reason": found.reason, "transient": found.transient}
    return {**line, "found": found.to_json()}


def cutting_digest(request: PrepareRequest) -> str:
    """What a finding depends on beside the file."""
    return digest(asdict(request.cutting))[:12]


def open_surveys(out: Path, finished: Path | None) -> Lookup:
    """All findings so far, of every process and of the finished data set."""
    known = Lookup(lambda record: record["key"])
    refresh_surveys(known, out, finished)
    return known


def refresh_surveys(known: Lookup, out: Path, finished: Path | None) -> None:
    """Take in what other processes have found since."""
    try:
        journals = sorted((out / JOURNAL).glob("survey-*.jsonl"))
    except OSError as error:
        raise write_failure(out, error) from None
    known.read(*([finished] if finished else []), *journals)
