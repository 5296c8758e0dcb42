"""The plan of one process, computed once and read again for each step: captions, units, merging.

It lies in a file without a name in the data set's folder, about 2 kB for a clip, so that memory
does not grow with the plan and the source is listed once. What is repeated in it, clips and
captions, is found by sorting their hashes on the disk; all else goes on in the source's order.
"""

from __future__ import annotations

import marshal
from collections.abc import Container, Iterable, Iterator
from dataclasses import astuple
from pathlib import Path
from typing import Any

from fbridge.data.latents.format import digest
from fbridge.data.video.buckets import Bucket
from fbridge.files.atomic import discard_scratch, scratch_file, write_failure
from fbridge.prepare.journal import AGAIN, Repeats
from fbridge.prepare.plan import PlannedClip, PlannedVideo, Unit, caption_hash
from fbridge.prepare.summary import LeftOut, Tally

VIDEOS_AT_ONCE = 128
CAPTION_ROWS = 256
"""Captions in a shard of their embeddings."""


class StoredPlan:
    """A plan that can be read any number of times; use it in a `with` block, or close it.

    Args:
        videos: of `Planner.walk`.
        folder: where there is room for it.
        shard_rows: clips in a unit.

    Raises:
        NotScanned: the survey is not complete.
        DependencyError: the folder cannot be written.
    """

    def __init__(self, videos: Iterable[PlannedVideo], folder: Path, shard_rows: int) -> None:
        self._shard_rows = shard_rows
        self._folder = folder
        self._file = scratch_file(folder)
        try:
            self._store(videos)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> StoredPlan:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the room back."""
        discard_scratch(self._file)

    def _store(self, videos: Iterable[PlannedVideo]) -> None:
        clips, captions = Repeats(), Repeats()
        captions.add(caption_hash(""))
        pending: list[Any] = []
        for video in videos:
            pending.append(_packed(video))
            for clip in video.clips:
                clips.add(clip.id)
                for key in clip.hashes:
                    captions.add(key)
            if len(pending) == VIDEOS_AT_ONCE:
                self._append(pending)
                pending = []
        self._append(pending)
        self._clips, self._captions = clips.found(), captions.found()

    def _append(self, videos: list[Any]) -> None:
        data = marshal.dumps(videos)
        try:
            self._file.write(len(data).to_bytes(8, "little") + data)
            self._file.flush()
        except OSError as error:
            raise write_failure(self._folder, error) from None

    def walk(self) -> Iterator[PlannedVideo]:
        """Every file of the source, in order."""
        start = 0
        while True:
            self._file.seek(start)  # as several walks may be under way
            size = int.from_bytes(self._file.read(8), "little")
            if not size:
                return
            videos = marshal.loads(self._file.read(size))
            start += 8 + size
            yield from map(_unpacked, videos)

    def units(self, finished: Container[str], tally: Tally | None = None) -> Iterator[Unit]:
        """Shards to make of the clips that are not `finished`; all are counted in `tally`."""
        kinds = iter(self._clips)
        open_units: dict[Bucket, list[PlannedClip]] = {}
        for item in self.walk():
            if tally is not None:
                tally.add(item.left_out, item.notes)
                if item.clips:
                    first, number = item.clips[0], len(item.clips)
                    tally.keep(first.bucket, number, item.size, captionless=not first.captions)
            for clip in item.clips:
                if next(kinds) == AGAIN or clip.id in finished:
                    continue
                bucket = clip.bucket
                if tally is not None:
                    tally.buckets[bucket].new += 1
                pending = open_units.setdefault(bucket, [])
                pending.append(clip)
                if len(pending) == self._shard_rows:
                    yield _unit(bucket, open_units.pop(bucket))
        for bucket, pending in sorted(open_units.items()):
            yield _unit(bucket, pending)

    def captions(self, finished: Container[str]) -> Iterator[list[str]]:
        """Captions that are not `finished`, each once, in groups; the empty one comes first."""
        group: list[str] = []
        for caption, key, kind in self.all_captions():
            if kind == AGAIN or key in finished:
                continue
            group.append(caption)
            if len(group) == CAPTION_ROWS:
                yield group
                group = []
        if group:
            yield group

    def all_captions(self) -> Iterator[tuple[str, str, int]]:
        """The empty caption, then those of all clips: text, hash, and kind as of `Repeats`."""
        kinds = iter(self._captions)
        yield "", caption_hash(""), next(kinds)
        for item in self.walk():
            for clip in item.clips:
                for caption, key in zip(clip.captions, clip.hashes, strict=True):
                    yield caption, key, next(kinds)

    def caption_kinds(self) -> Iterator[int]:
        """The kinds of `all_captions` alone."""
        return iter(self._captions)


def _packed(video: PlannedVideo) -> tuple[Any, ...]:
    """As plain tuples and dictionaries."""
    left_out = [astuple(out) for out in video.left_out]
    clips = [tuple(clip) for clip in video.clips]
    return video.line, video.notes, video.size, clips, left_out


def _unpacked(values: tuple[Any, ...]) -> PlannedVideo:
    line, notes, size, clips, left_out = values
    return PlannedVideo(
        line,
        notes,
        size,
        tuple([PlannedClip(*clip) for clip in clips]),
        tuple([LeftOut(*out) for out in left_out]),
    )


def _unit(bucket: Bucket, clips: list[PlannedClip]) -> Unit:
    return Unit(digest([clip.id for clip in clips])[:20], bucket, tuple(clips))
