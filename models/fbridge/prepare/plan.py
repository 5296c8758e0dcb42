"""The plan: a pure function of source, surveys and request, so that all processes compute it alike.

It is computed file by file; `stored_plan` keeps it for the steps of one process.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from fbridge.data.latents.format import digest, digest_text, dump
from fbridge.data.sources import Layout
from fbridge.data.sources.entry import Entry, Media
from fbridge.data.video.buckets import Bucket, cover
from fbridge.prepare.journal import KeyNumbers, Line, Lookup
from fbridge.prepare.request import PrepareRequest
from fbridge.prepare.scan import cutting_digest
from fbridge.prepare.summary import LeftOut

_NO_PLACE = dump({"row": 0, "sha256": "", "shard": ""})[1:-1]
_FRAMES = re.compile(rb'"pts":(\[[^]]*\]),"times":(\[[^]]*\])')
"""Frames of a clip in a survey's line; no text in it can hold this, as quotes are escaped."""


class PlannedClip(NamedTuple):
    """A clip to be encoded; made of plain values, which a file can hold.

    Attributes:
        id: sha256 of all that decides its latents; clips with equal ids are encoded once.
        shape: the bucket that its frames are resized to.
        place: the fields of `media`, with its path as a text.
        captions, hashes: with the prefix, and their `caption_hash`.
        source, split, label: sha256 of the file; as of the `Entry`.
        before, behind: its line of the manifest, before and behind the place of its latents.
    """

    id: str
    shape: tuple[int, int, int]
    place: tuple[str, int, int | None, str]
    captions: tuple[str, ...]
    hashes: tuple[str, ...]
    source: str
    split: tuple[str, ...]
    label: int | None
    before: str
    behind: str

    @property
    def media(self) -> Media:
        """The file of its frames."""
        path, offset, size, url = self.place
        return Media(path, offset, size, url)

    @property
    def bucket(self) -> Bucket:
        """The shape of the clip."""
        return Bucket(*self.shape)

    @property
    def pts(self) -> tuple[int, ...]:
        """Stamps of its frames."""
        return tuple(self.facts["pts"])

    @property
    def facts(self) -> dict[str, Any]:
        """Its row of the manifest, with an empty place of its latents."""
        return json.loads(self.before + _NO_PLACE + self.behind)

    def manifest_row(self, row: int, sha256: str, shard: str) -> str:
        """Its line of the manifest, as `dump` would write it."""
        return f'{self.before}"row":{row},"sha256":"{sha256}","shard":"{shard}"{self.behind}'


class PlannedVideo(NamedTuple):
    """One file of the source.

    Attributes:
        line: of its survey, as in the journal; None if it has none.
        notes: what is unusual about it.
        size: width and height.
        clips: its clips.
        left_out: what is left out of it.
    """

    line: bytes | None
    notes: tuple[str, ...]
    size: tuple[int, int]
    clips: tuple[PlannedClip, ...]
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True)
class Unit:
    """Clips of one bucket that are stored in one shard; `name` is a hash of their ids."""

    name: str
    bucket: Bucket
    clips: tuple[PlannedClip, ...]


class NotScanned(Exception):
    """A file was not surveyed yet, by this or another process."""


class Planner:
    """Computes the plan, file by file, in the order of the source.

    Args:
        request: which clips are cut.
        layout: the source.
        surveys: records of `scan_source` by key.
        recipe: hash of what decides latents besides the pixels (codec, dtype).
        reads_text: whether the codec's latents depend on the caption.
    """

    def __init__(
        self,
        request: PrepareRequest,
        layout: Layout,
        surveys: Lookup,
        *,
        recipe: str,
        reads_text: bool,
    ) -> None:
        self._request = request
        self._layout = layout
        self._surveys = surveys
        self._root = _prefix(layout.root)
        self._recipe = recipe
        self._cutting = cutting_digest(request)
        self._reads_text = reads_text

    def walk(self) -> Iterator[PlannedVideo]:
        """Every file of the source, in order.

        Raises:
            NotScanned: the survey is not complete.
        """
        refused, looks = KeyNumbers(), KeyNumbers()
        used = bytearray(self._surveys.rows // 8 + 1)  # a bit for each line of the surveys
        for entry in self._layout.entries():
            line = self._surveys.line(entry.key)
            if line is not None:
                place, bit = line.row >> 3, 1 << (line.row & 7)
                new = not used[place] & bit
                used[place] |= bit
            else:
                new = entry.media is not None or refused.add(entry.key)
            if not new:
                yield _whole(entry, None, "is named twice by the source; name it once")
            elif entry.media is None:
                yield _whole(entry, None, entry.refused, rejected=not entry.missing)
            elif line is None:
                raise NotScanned(entry.key)
            else:
                yield self._plan(entry, entry.media, line, looks)

    def _plan(self, entry: Entry, media: Media, line: Line, looks: KeyNumbers) -> PlannedVideo:
        if line.record["cutting"] != self._cutting:
            raise NotScanned(entry.key)
        if "found" not in line.record:
            return _whole(entry, line, line.record["reason"])
        found = line.record["found"]
        captions = tuple(self._request.prefix + caption for caption in entry.captions)
        reason = found.get("dropped", "")
        if not captions and self._request.captionless == "drop":
            reason = "no caption"
        if reason or found["bucket"] is None:
            return _whole(entry, line, reason or "fits no bucket", rejected=False)
        kept, left_out = [], []
        drops = self._request.cutting.drop_duplicates
        for cut, frames in zip(found["cuts"], _frames(line), strict=True):
            reason = cut["dropped"]
            if drops and not reason and not looks.add(cut["look"]):
                reason = "duplicate"
            if reason:
                left_out.append(LeftOut(entry.key, reason, False, cut["times"][0]))
            else:
                kept.append(frames)
        clips = self._clips(entry, media, found, captions, kept) if kept else ()
        notes, size = tuple(found.get("notes", ())), (found["width"], found["height"])
        return PlannedVideo(line.data[:-1], notes, size, clips, tuple(left_out))

    def _relative(self, path: str) -> str:
        """A path from the source's root; os.path.relpath takes as long as all else of a clip."""
        below = path.removeprefix(self._root)
        plain = "//" not in below and "/." not in below and not below.startswith(("/", "."))
        if len(below) < len(path) and plain and os.sep == "/":
            return below
        return os.path.relpath(path, self._layout.root)

    def _clips(
        self,
        entry: Entry,
        media: Media,
        found: dict[str, Any],
        captions: tuple[str, ...],
        kept: list[tuple[str, str]],
    ) -> tuple[PlannedClip, ...]:
        """The clips of a file, whose `Survey` this is, with the `_frames` that are kept.

        Lines are put together from texts: to `dump` each as a whole is a quarter of a plan's time.
        """
        bucket, source = Bucket(*found["bucket"]), found["sha256"]
        width, height, decoder = found["width"], found["height"], found.get("decoder", "")
        path = media.file
        shown = dump(media.url or self._relative(path))
        hashes = tuple([caption_hash(caption) for caption in captions])
        named = '["' + '","'.join(hashes) + '"]' if hashes else "[]"
        codec, _, _ = decoder.partition(" ")
        caption = captions[:1] if self._reads_text else ()
        recipe = _text((bucket, codec, self._recipe, caption, *found.get("reading", ())))
        start = (
            f'{{"bucket":"{bucket}","captions":{named},"crop":{_text(cover(width, height, bucket))}'
            f',"decoder":{dump(decoder)},"id":'
        )
        middle = (
            f'"key":{dump(entry.key)},"label":{_text(entry.label)}'
            f',"media":[{shown},{media.offset},{_text(media.size)}],"pts":'
        )
        behind_place = (
            f',"size":[{width},{height}],"source_sha256":"{source}","split":{_text(entry.split)}'
            ',"times":'
        )
        end = f',"track":{found.get("track", 0)}}}'
        shape = (bucket.width, bucket.height, bucket.frames)
        clips = []
        for pts, times in kept:
            identity = digest_text(f'["{source}",{pts},{recipe[1:]}')
            clips.append(
                PlannedClip(
                    identity,
                    shape,
                    (path, media.offset, media.size, media.url),
                    captions,
                    hashes,
                    source,
                    entry.split,
                    entry.label,
                    f'{start}"{identity}",{middle}{pts},',
                    f"{behind_place}{times}{end}",
                )
            )
        return tuple(clips)


@lru_cache(maxsize=1024)
def _text(value: Any) -> str:
    """The JSON of what many clips have in common."""
    return dump(value)


def _frames(line: Line) -> list[tuple[str, str]]:
    """The JSON of `pts` and `times` of each clip that a survey found.

    It is taken as the survey has it: to write so many numbers anew is a seventh of a plan's time.
    """
    found = [(pts.decode(), times.decode()) for pts, times in _FRAMES.findall(line.data)]
    cuts = line.record["found"]["cuts"]
    if len(found) == len(cuts):
        return found
    return [(dump(cut["pts"]), dump(cut["times"])) for cut in cuts]  # of a line with other spaces


def _prefix(root: Path) -> str:
    """What absolute paths below a folder begin with."""
    return os.path.join(os.path.abspath(root), "")  # noqa: PTH100, PTH118 (keeps links)


def caption_hash(caption: str) -> str:
    """sha256 of a caption's JSON."""
    return digest(caption)


def _whole(entry: Entry, line: Line | None, reason: str, *, rejected: bool = True) -> PlannedVideo:
    """A file without clips."""
    data, notes = None, ()
    if line is not None:
        data, notes = line.data[:-1], line.record.get("found", {}).get("notes", ())
    return PlannedVideo(data, tuple(notes), (0, 0), (), (LeftOut(entry.key, reason, rejected),))
