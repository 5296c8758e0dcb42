"""What a run tells: its events in words, for people; all of it in one object, for programs."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from fbridge.errors import DataError
from fbridge.files.atomic import shown
from fbridge.prepare import Options
from fbridge.prepare.run import Event, Finished, Found, Note, Planned, Progress
from fbridge.prepare.shards import Shares
from fbridge.prepare.summary import BucketTally, Tally
from fbridge_cli.processes import Process
from fbridge_cli.progress import Bar
from fbridge_cli.ui import Ui

MOST_SHOWN = 10
HEADINGS = ("bucket", "files", "clips", "new", "crop lost", "upscaled")
NO_CAPTION = "no caption"
"""The plan's word for videos that --no-caption drop leaves out."""


class Report:
    """Tells one run, and keeps what is asked of it at the end.

    Attributes:
        tally: the plan, once it is made.
        index: the data set's, once it is finished.
    """

    def __init__(self, options: Options, ui: Ui, process: Process) -> None:
        self._options = options
        self._ui = ui
        self._process = process
        self._stack = ExitStack()
        self._bar: tuple[int | None, str, Bar] | None = None
        self._layout = ""
        self._encoded: tuple[int, int] | None = None
        self._shares = Shares()
        self._preview: list[Path] = []
        self.tally: Tally | None = None
        self.index: dict[str, Any] | None = None

    def tell(self, event: Event) -> None:
        """Put one event into words; only the first process speaks of more than mishaps."""
        match event:
            case Found(layout):
                self._layout = layout.name
                if self._process.first:
                    self._ui.note(layout.told)
                self._show(f"loading codec {self._options.codec}", 0, None, "")
            case Progress(what, done, total):
                if what == "encoding" and total is not None:
                    self._encoded = done, total
                self._show(what, done, total, "" if total is None and not done else _unit(total))
            case Planned(tally):
                self.still()
                self.tally = tally
                if self._process.first and not self._ui.machine:
                    self._tell_plan(tally)
            case Note(text):
                self._ui.note(self._process.name + text)
            case Finished(index, shares):
                self.still()
                self.index, self._shares = index, shares
                if index is not None:
                    self._tell_finished(index, shares)

    def still(self) -> None:
        """Take the progress bar away."""
        self._bar = None
        self._stack.close()

    def tell_preview(self, paths: list[Path]) -> None:
        """Say where to look."""
        self._preview = paths
        self._ui.result(f"preview: {', '.join(map(shown, paths))}")

    @property
    def begun(self) -> bool:
        """Whether there are encoded clips, but no data set yet."""
        return self._encoded is not None and self.index is None

    def state(self) -> str:
        """How far a run came that ends before its time."""
        again = "the same line goes on from there"
        if self._encoded is None or self.tally is None:
            return again
        done, total = self._encoded
        if self._process.world == 1:  # what earlier runs have encoded counts as well
            done, total = done + max(0, self.tally.new - total), max(total, self.tally.new)
        return f"{min(done, total)} of {total} clips are encoded; {again}"

    def check_rejected(self) -> None:
        """See that not too many files were rejected while they were encoded.

        Raises:
            DataError: they were; the data set is finished all the same.
        """
        if self.index is None or self.tally is None:
            return
        rejected, files = self.index["counts"]["rejected"], self.tally.files
        share = min(1.0, rejected / max(1, files))
        if share <= self._options.max_bad:
            return
        raise DataError(
            f"{shown(self._options.out)}: is finished and can be used, but {rejected} were "
            f"rejected of {files} files ({100 * share:.3g} %), more than --max-bad "
            f"{100 * self._options.max_bad:g}% allows; {shown(self._left_out(self.index))} lists "
            "them: mend them and run the same line again, or accept them with --max-bad 100%"
        )

    def tree(self) -> dict[str, Any]:
        """All of it as JSON values."""
        tally = self.tally or Tally()
        examples = [out.to_json() for out in tally.examples]
        made: dict[str, Any] = {}
        buckets = {bucket["bucket"]: bucket for bucket in (self.index or {}).get("buckets", ())}
        counts = {"clips": tally.clips, "without_caption": tally.captionless}
        counts |= {"rejected": tally.rejected, "dropped": sum(tally.dropped.values())}
        if self.index is not None:
            counts = self.index["counts"]
            left_out = self._left_out(self.index)
            examples = list(islice(_rejected(left_out), MOST_SHOWN))
            made = {"left_out": shown(left_out), "preview": [shown(path) for path in self._preview]}
        return {
            "dataset": shown(self._options.out),
            "layout": self._layout,
            "finished": self.index is not None,
            "counts": {"files": tally.files, "new": tally.new, **counts},
            "buckets": [
                {"bucket": str(bucket), **asdict(row), "crop_lost": _lost(row)}
                | buckets.get(str(bucket), {})
                for bucket, row in sorted(tally.buckets.items())
            ],
            "dropped": tally.dropped,
            "rejected": examples,
            "seconds": {name: round(value, 3) for name, value in asdict(self._shares).items()},
            **made,
        }

    def _left_out(self, index: dict[str, Any]) -> Path:
        path: str = index["files"]["rejected"]["path"]
        return self._options.out / path

    def _show(self, what: str, done: int, total: int | None, unit: str) -> None:
        if not self._process.first:
            return
        if self._bar is None or self._bar[:2] != (total, unit):
            self.still()
            bar = self._stack.enter_context(self._ui.progress(total, unit))
            self._bar = total, unit, bar
        self._bar[2].show(what, done)

    def _tell_plan(self, tally: Tally) -> None:
        rows = [_row(str(bucket), row) for bucket, row in sorted(tally.buckets.items())]
        if len(rows) > 1:
            rows.append(_row("all", _sum(tally)))
        self._ui.table(HEADINGS, rows)
        dropped = dict(tally.dropped)
        captionless = dropped.pop(NO_CAPTION, 0)
        if dropped:
            told = ", ".join(f"{number} {reason}" for reason, number in sorted(dropped.items()))
            self._ui.result(f"dropped: {told}")
        if tally.captionless:
            self._ui.result(f"without caption: {tally.captionless}, kept as unconditional")
        if captionless:
            self._ui.result(f"without caption: {captionless}, dropped")
        if tally.rejected:
            self._ui.result(f"rejected: {tally.rejected} of {tally.files} files")
            for out in tally.examples[:MOST_SHOWN]:
                self._ui.result(f"  {out.key}: {out.reason}")
            if tally.rejected > MOST_SHOWN:
                self._ui.result(f"  ... and {tally.rejected - MOST_SHOWN} more")

    def _tell_finished(self, index: dict[str, Any], shares: Shares) -> None:
        counts, where = index["counts"], shown(self._options.out)
        less = [f"{counts[name]} {name}" for name in ("dropped", "rejected") if counts[name]]
        more = f"; {', '.join(less)}, listed in {shown(self._left_out(index))}" if less else ""
        self._ui.result(
            f"{where}: {counts['clips']} clips and {counts['captions']} captions in "
            f"{counts['shards']} shards{more}"
        )
        parts = {name: getattr(shares, name) for name in ("decode", "resize", "encode", "write")}
        work = sum(parts.values())
        told = [f"{name} {100 * seconds / work:.0f} %" for name, seconds in parts.items() if work]
        spent = f"; of the work: {', '.join(told)}" if told else "; nothing was left to encode"
        self._ui.result(f"took {shares.total:.1f} s{spent}")
        self._ui.note(f"to check it: fbridge prepare --verify {shlex.quote(where)}")


def _unit(total: int | None) -> str:
    """Files are looked at, nobody knows how many; clips are encoded."""
    return "files" if total is None else "clips"


def _row(name: str, row: BucketTally) -> tuple[str, ...]:
    counts = row.files, row.clips, row.new
    return name, *map(str, counts), f"{100 * _lost(row):.1f} %", str(row.upscaled)


def _lost(row: BucketTally) -> float:
    """The share of the pictures that is cut off, on average over clips."""
    return round(row.crop_lost / row.clips, 6) if row.clips else 0.0


def _sum(tally: Tally) -> BucketTally:
    rows = tally.buckets.values()
    return BucketTally(
        files=sum(row.files for row in rows),
        clips=tally.clips,
        new=tally.new,
        crop_lost=sum(row.crop_lost for row in rows),
        upscaled=sum(row.upscaled for row in rows),
    )


def _rejected(path: Path) -> Iterator[dict[str, Any]]:
    """The rejected ones of all that was left out, in the order of the source."""
    with path.open("rb") as file:
        for line in file:
            record = json.loads(line)
            if record["kind"] == "rejected":
                yield record
