"""What `fbridge prepare` prints: progress, the plan, the result, and what --verify finds."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from itertools import groupby, islice
from pathlib import Path
from types import TracebackType
from typing import Any

from fbridge import prepare as core
from fbridge.data.stores import StoreUrl
from fbridge.errors import DataError, FBridgeError
from fbridge.files.atomic import shown
from fbridge.prepare import PrepareRequest
from fbridge.prepare.run import Event, Finished, Note, Planned, Progress, SourceFound
from fbridge.prepare.shards import Timings
from fbridge.prepare.summary import BucketTally, Tally, rejected_lines
from fbridge.prepare.verification import Damage, VerifyResult, way_out
from fbridge_cli.exit_codes import Stopped, interrupt_code
from fbridge_cli.processes import Process
from fbridge_cli.progress import Bar
from fbridge_cli.ui import Ui

MOST_SHOWN, MOST_DAMAGED, MOST_NAMES = 10, 20, 3
NO_CAPTION = "no caption"
"""The plan's reason for videos that --no-caption drop leaves out."""
AGAIN = "the same line goes on from there"


class Report:
    """Prints the events of one run; closes its progress bar and prints JSON at the end.

    Attributes:
        tally: the plan, once it is made.
        index: the data set's, once it is finished.
        preview: files of the preview.
    """

    def __init__(self, request: PrepareRequest, ui: Ui, process: Process) -> None:
        self._request, self._ui, self._process = request, ui, process
        self._stack = ExitStack()
        self._bar: Bar | None = None
        self._unit, self._layout = "files", ""
        self._encoded: tuple[int, int] | None = None
        self._shares = Timings()
        self._rejected: list[dict[str, Any]] = []  # those of a store are local no longer at the end
        self.preview: list[Path] = []
        self.tally: Tally | None = None
        self.index: dict[str, Any] | None = None

    def __enter__(self) -> Report:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close_bar()
        first = self._process.first
        if self._ui.machine and first and self.tally is not None:
            self._ui.json(self._tree())
        if isinstance(error, KeyboardInterrupt):
            raise Stopped(f"interrupted; {self._state()}", interrupt_code(error)) from None
        unfinished = self._encoded is not None and self.index is None
        if isinstance(error, FBridgeError) and unfinished and first:
            self._ui.note(self._state())

    def show(self, event: Event) -> None:
        """Print one event; other processes than the first print notes alone."""
        match event:
            case SourceFound(layout):
                self._layout = layout.name
                if self._process.first:
                    self._ui.note(layout.summary)
                self._move(f"loading codec {self._request.codec}", 0)
            case Progress(what, done, total):
                if what == "encoding" and total is not None:
                    self._encoded = done, total
                self._move(what, done, total)
            case Planned(tally):
                self._close_bar()
                self._unit = "clips"
                self.tally = tally
                if self._process.first and not self._ui.machine:
                    self._show_plan(tally)
            case Note(text):
                self._ui.note(self._process.name + text)
            case Finished(index, shares):
                self._close_bar()
                self.index, self._shares = index, shares
                if index is not None:
                    table = self._request.out / index["files"]["rejected"]["path"]
                    self._rejected = list(islice(rejected_lines(table), MOST_SHOWN))
                    self._show_finished(index, shares)

    def show_preview(self) -> None:
        """Print where the preview is."""
        self._ui.result(f"preview: {', '.join(map(shown, self.preview))}")

    def _move(self, what: str, done: int, total: int | None = None) -> None:
        if not self._process.first:
            return
        if self._bar is None:
            self._bar = self._stack.enter_context(self._ui.progress(total, self._unit))
        self._bar.show(what, done, total)

    def _close_bar(self) -> None:
        self._bar = None
        self._stack.close()

    def _state(self) -> str:
        """How far an unfinished run came."""
        if self._encoded is None or self.tally is None:
            return AGAIN
        done, total = self._encoded
        if self._process.world == 1:  # clips that earlier runs have encoded count as well
            done, total = done + max(0, self.tally.new - total), max(total, self.tally.new)
        return f"{min(done, total)} of {total} clips are encoded; {AGAIN}"

    def _tree(self) -> dict[str, Any]:
        tally = self.tally or Tally()
        examples = [out.to_json() for out in tally.examples]
        made: dict[str, Any] = {}
        buckets = {bucket["bucket"]: bucket for bucket in (self.index or {}).get("buckets", ())}
        counts = {"clips": tally.clips, "without_caption": tally.captionless}
        counts |= {"rejected": tally.rejected, "dropped": sum(tally.dropped.values())}
        if self.index is not None:
            counts = self.index["counts"]
            examples = self._rejected
            left_out = self._left_out(self.index)
            made = {"left_out": shown(left_out), "preview": [shown(path) for path in self.preview]}
        return {
            "dataset": shown(self._request.target),
            "layout": self._layout,
            "finished": self.index is not None,
            "counts": {"files": tally.files, "new": tally.new, **counts},
            "buckets": [
                {"bucket": str(bucket), **asdict(row), "crop_lost": row.mean_crop_lost}
                | buckets.get(str(bucket), {})
                for bucket, row in sorted(tally.buckets.items())
            ],
            "dropped": tally.dropped,
            "notes": tally.notes,
            "rejected": examples,
            "seconds": {name: round(value, 3) for name, value in asdict(self._shares).items()},
            **made,
        }

    def _left_out(self, index: dict[str, Any]) -> Path | StoreUrl:
        return self._request.target / str(index["files"]["rejected"]["path"])

    def _show_plan(self, tally: Tally) -> None:
        rows = [_row(str(bucket), row) for bucket, row in sorted(tally.buckets.items())]
        if len(rows) > 1:
            rows.append(_row("all", tally.sum()))
        self._ui.table(("bucket", "files", "clips", "new", "crop lost", "upscaled"), rows)
        dropped = dict(tally.dropped)
        captionless = dropped.pop(NO_CAPTION, 0)
        lines = []
        if dropped:
            reasons = ", ".join(f"{number} {reason}" for reason, number in sorted(dropped.items()))
            lines.append(f"dropped: {reasons}")
        notes = sorted(tally.notes.items())
        lines += [f"{kind}: {number} of {tally.files} files" for kind, number in notes]
        if tally.captionless:
            lines.append(f"without caption: {tally.captionless}, kept as unconditional")
        if captionless:
            lines.append(f"without caption: {captionless}, dropped")
        if tally.rejected:
            lines.append(f"rejected: {tally.rejected} of {tally.files} files")
            lines += [f"  {out.key}: {out.reason}" for out in tally.examples[:MOST_SHOWN]]
        if tally.rejected > MOST_SHOWN:
            lines.append(f"  ... and {tally.rejected - MOST_SHOWN} more")
        for line in lines:
            self._ui.result(line)

    def _show_finished(self, index: dict[str, Any], shares: Timings) -> None:
        counts, where = index["counts"], shown(self._request.target)
        less = [f"{counts[name]} {name}" for name in ("dropped", "rejected") if counts[name]]
        more = f"; {', '.join(less)}, listed in {shown(self._left_out(index))}" if less else ""
        self._ui.result(
            f"{where}: {counts['clips']} clips and {counts['captions']} captions in "
            f"{counts['shards']} shards{more}"
        )
        parts = {name: getattr(shares, name) for name in ("decode", "resize", "encode", "write")}
        work = sum(parts.values())
        spent = [f"{name} {100 * seconds / work:.0f} %" for name, seconds in parts.items() if work]
        of = f"of the work: {', '.join(spent)}" if spent else "nothing was left to encode"
        self._ui.result(f"took {shares.total:.1f} s; {of}")
        self._ui.note(f"to check it: fbridge prepare --verify {shlex.quote(where)}")


def verify_data_set(folder: Path | StoreUrl, ui: Ui) -> None:
    """Hash a data set again and print what is damaged.

    Raises:
        DataError: something is damaged, or there is no finished data set.
        Stopped: the user stopped it.
    """
    try:
        verdict = _verify(folder, ui)
    except KeyboardInterrupt as error:
        raise Stopped("interrupted; nothing was found out", interrupt_code(error)) from None
    if ui.machine:
        ui.json(_verdict_tree(folder, verdict))
    for keys, what in (
        (verdict.sources_changed, "were changed since"),
        (verdict.sources_missing, "are gone"),
    ):
        if keys:
            ui.warn(
                f"{len(keys)} sources {what}: {_names(keys)}; the latents made of them are as they "
                "were"
            )
    if not verdict.ok:
        raise DataError(_complaint(folder, verdict.damaged))
    unchanged = verdict.sources_checked - len(verdict.sources_changed + verdict.sources_missing)
    ui.result(
        f"{shown(folder)}: {verdict.rows} clips in {verdict.shards} shards are whole; "
        f"{unchanged} sources unchanged"
    )


def _verify(folder: Path | StoreUrl, ui: Ui) -> VerifyResult:
    """The verdict, with one bar for the shards and one for the sources."""
    for total, events in groupby(core.verify(folder), lambda event: getattr(event, "total", 0)):
        with ui.progress(total, "sources" if total is None else "shards") as bar:
            for event in events:
                if isinstance(event, VerifyResult):
                    return event
                bar.show(event.what, event.done)
    raise AssertionError("verify ends with a verdict")


def _complaint(folder: Path | StoreUrl, damaged: Sequence[Damage]) -> str:
    lines = [
        f"{shown(damage.what)}: {damage.reason}{_lost_rows(damage)}; {way_out(folder, damage)}"
        for damage in damaged[:MOST_DAMAGED]
    ]
    if len(damaged) == 1:
        return f"{shown(folder)}: {lines[0]}"
    if len(damaged) > MOST_DAMAGED:
        lines.append(f"... and {len(damaged) - MOST_DAMAGED} more")
    listed = "\n  ".join(lines)
    return f"{shown(folder)}: {len(damaged)} of its files are damaged:\n  {listed}"


def _lost_rows(damage: Damage) -> str:
    if not damage.rows:
        return ""
    word = "row" if len(damage.rows) == 1 else "rows"
    spans = []
    for _, group in groupby(enumerate(sorted(damage.rows)), lambda pair: pair[1] - pair[0]):
        rows = [row for _, row in group]
        spans.append(f"{rows[0]}-{rows[-1]}" if len(rows) > 1 else f"{rows[0]}")
    more = f", ... ({len(damage.rows)} in all)" if len(spans) > MOST_DAMAGED else ""
    listed = ", ".join(spans[:MOST_DAMAGED]) + more
    return f"; lost with it: {word} {listed} ({_names(damage.keys)})"


def _names(keys: Sequence[str]) -> str:
    once = list(dict.fromkeys(keys))
    more = f" and {len(once) - MOST_NAMES} more" if len(once) > MOST_NAMES else ""
    return ", ".join(map(shown, once[:MOST_NAMES])) + more


def _verdict_tree(folder: Path | StoreUrl, verdict: VerifyResult) -> dict[str, Any]:
    return {
        "dataset": shown(folder),
        "whole": verdict.ok,
        "clips": verdict.rows,
        "shards": verdict.shards,
        "damaged": [
            {
                "file": shown(damage.what),
                "reason": damage.reason,
                "rows": list(damage.rows),
                "keys": [shown(key) for key in damage.keys],
                "way_out": way_out(folder, damage),
            }
            for damage in verdict.damaged
        ],
        "sources": {
            "checked": verdict.sources_checked,
            "changed": [shown(key) for key in verdict.sources_changed],
            "missing": [shown(key) for key in verdict.sources_missing],
        },
    }


def _row(name: str, row: BucketTally) -> tuple[str, ...]:
    counts = row.files, row.clips, row.new
    return name, *map(str, counts), f"{100 * row.mean_crop_lost:.1f} %", str(row.upscaled)
