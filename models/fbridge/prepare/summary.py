"""The summary of a plan, which is shown before the work starts, and checks of the outcome."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fbridge.data.stores.url import StoreUrl
from fbridge.data.video.buckets import Bucket, crop_loss, upscaled
from fbridge.errors import DataError
from fbridge.files.atomic import shown


@dataclass(frozen=True)
class LeftOut:
    """A file or clip that is not in the data set: rejected for a fault, or dropped by an option."""

    key: str
    reason: str
    rejected: bool
    time: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Its line in the data set's list of what was left out."""
        line = {"key": self.key, "reason": self.reason}
        line["kind"] = "rejected" if self.rejected else "dropped"
        return line if self.time is None else {**line, "time": self.time}


@dataclass
class Tally:
    """Counts of a plan: files, rejected ones, reasons of dropped ones, notes, clips by bucket."""

    files: int = 0
    rejected: int = 0
    examples: list[LeftOut] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)
    captionless: int = 0
    buckets: dict[Bucket, BucketTally] = field(default_factory=dict)

    @property
    def clips(self) -> int:
        """Clips that the data set will hold."""
        return sum(bucket.clips for bucket in self.buckets.values())

    @property
    def new(self) -> int:
        """Clips that are not in the finished data set yet."""
        return sum(bucket.new for bucket in self.buckets.values())

    def sum(self) -> BucketTally:
        """All buckets together."""
        rows = self.buckets.values()
        return BucketTally(
            files=sum(row.files for row in rows),
            clips=self.clips,
            new=self.new,
            crop_lost=sum(row.crop_lost for row in rows),
            upscaled=sum(row.upscaled for row in rows),
        )

    def add(self, left_out: Sequence[LeftOut], notes: Sequence[str] = ()) -> None:
        """Count one file, what is left out of it, and what is unusual about it."""
        self.files += 1
        for note in notes:
            kind = note.partition(":")[0]
            self.notes[kind] = self.notes.get(kind, 0) + 1
        self.rejected += any(out.rejected for out in left_out)
        for out in left_out:
            if out.rejected:
                self.examples += [out] if len(self.examples) < 10 else []
            else:
                kind = out.reason.partition(":")[0]
                self.dropped[kind] = self.dropped.get(kind, 0) + 1

    def keep(self, bucket: Bucket, clips: int, size: tuple[int, int], *, captionless: bool) -> None:
        """Count the clips kept of it, of one bucket, from pictures of `size` (width, height)."""
        self.captionless += captionless
        if bucket not in self.buckets:
            self.buckets[bucket] = BucketTally()
        self.buckets[bucket].add(bucket, clips, size)


@dataclass
class BucketTally:
    """Counts of one bucket."""

    files: int = 0
    clips: int = 0
    new: int = 0
    crop_lost: float = 0.0
    upscaled: int = 0

    @property
    def mean_crop_lost(self) -> float:
        """The share of the pictures that is cropped, on average over clips."""
        return round(self.crop_lost / self.clips, 6) if self.clips else 0.0

    def add(self, bucket: Bucket, clips: int, size: tuple[int, int]) -> None:
        """Count a file's clips; the cropped share of the picture is summed over clips."""
        self.files += 1
        self.clips += clips
        self.crop_lost += clips * crop_loss(*size, bucket)
        self.upscaled += clips * upscaled(*size, bucket)


def check_bad(tally: Tally, max_bad: float) -> None:
    """Check that not too many files are rejected.

    Raises:
        DataError: too many are; names how many, and the first one.
    """
    if tally.rejected <= max_bad * tally.files:
        return
    share = 100 * tally.rejected / tally.files
    first = tally.examples[0]
    raise DataError(
        f"{tally.rejected} of {tally.files} files ({share:.3g} %) are rejected, more than "
        f"--max-bad {100 * max_bad:g}% allows; the first: {first.key} {first.reason}; "
        "mend them, or go on with --max-bad 100%"
    )


def check_clips(tally: Tally, source: Path | StoreUrl) -> None:
    """Raise DataError when the plan holds no clip."""
    if not tally.clips:
        raise DataError(
            f"{shown(source)}: no clip is left of {tally.files} files; see above why, or take "
            "fewer --frames"
        )


def check_rejected(
    out: Path | StoreUrl, index: dict[str, Any], tally: Tally, max_bad: float
) -> None:
    """Check that not too many files were rejected while they were encoded.

    Raises:
        DataError: too many were; the data set `out` is finished all the same.
    """
    rejected = index["counts"]["rejected"]
    share = min(1.0, rejected / max(1, tally.files))
    if share <= max_bad:
        return
    raise DataError(
        f"{shown(out)}: is finished and can be used, but {rejected} were rejected of "
        f"{tally.files} files ({100 * share:.3g} %), more than --max-bad {100 * max_bad:g}% "
        f"allows; {shown(out / index['files']['rejected']['path'])} lists them: mend them and run "
        "the same line again, or accept them with --max-bad 100%"
    )


def rejected_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The rejected files of a data set's list of what was left out, in the source's order."""
    with path.open("rb") as file:
        for line in file:
            record = json.loads(line)
            if record["kind"] == "rejected":
                yield record
