"""The plan: a pure function of source, surveys and request, so that all processes compute it alike.

It is never stored, but computed again, file by file, whenever it is needed.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fbridge.data.latents.format import digest
from fbridge.data.sources import Layout
from fbridge.data.sources.entry import Entry, Media
from fbridge.data.video.buckets import Bucket, cover
from fbridge.data.video.survey import ClipSpan, Survey
from fbridge.prepare.journal import KeyNumbers, Lookup
from fbridge.prepare.request import PrepareRequest
from fbridge.prepare.scan import cutting_digest
from fbridge.prepare.summary import LeftOut, Tally


@dataclass(frozen=True)
class PlannedClip:
    """A clip to be encoded.

    Attributes:
        id: sha256 of all that decides its latents; clips with equal ids are encoded once.
        media, pts, bucket: source of its frames, and the shape they are resized to.
        captions: with the prefix.
        facts: its row of the manifest, without the place of its latents.
    """

    id: str
    media: Media
    pts: tuple[int, ...]
    bucket: Bucket
    captions: tuple[str, ...]
    facts: dict[str, Any]


@dataclass(frozen=True)
class PlannedVideo:
    """One file of the source, with its survey record, its clips and what is left out of it."""

    entry: Entry
    found: dict[str, Any] | None
    clips: tuple[PlannedClip, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True)
class Unit:
    """Clips of one bucket that are stored in one shard; `name` is a hash of their ids."""

    name: str
    bucket: Bucket
    clips: tuple[PlannedClip, ...]


class NotScanned(Exception):
    """A file was not surveyed yet, by this or another process."""


class Planner:
    """Computes the plan.

    Args:
        request: which clips are cut, and how many a shard holds.
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
        keys, hashes = KeyNumbers(), KeyNumbers()
        for entry in self._layout.entries():
            if not keys.add(entry.key):
                yield _whole(entry, None, "is named twice by the source; name it once")
            elif entry.media is None:
                yield _whole(entry, None, entry.refused, rejected=not entry.missing)
            else:
                yield self._plan(entry, entry.media, hashes)

    def units(self, finished: Container[str], tally: Tally | None = None) -> Iterator[Unit]:
        """Shards to make of the clips that are not `finished`; all are counted in `tally`."""
        seen = KeyNumbers()
        open_units: dict[Bucket, list[PlannedClip]] = {}
        for item in self.walk():
            if tally is not None:
                tally.add(item.left_out, (item.found or {}).get("found", {}).get("notes", ()))
                if item.clips:
                    first, number = item.clips[0], len(item.clips)
                    width, height = first.facts["size"]
                    captionless = not first.captions
                    tally.keep(first.bucket, number, (width, height), captionless=captionless)
            for clip in item.clips:
                if clip.id in finished or not seen.add(clip.id):
                    continue
                if tally is not None:
                    tally.buckets[clip.bucket].new += 1
                pending = open_units.setdefault(clip.bucket, [])
                pending.append(clip)
                if len(pending) == self._request.shard_rows:
                    yield _unit(clip.bucket, open_units.pop(clip.bucket))
        for bucket, pending in sorted(open_units.items()):
            yield _unit(bucket, pending)

    def captions(self, finished: Container[str]) -> Iterator[list[str]]:
        """Captions that are not `finished`, each once, in groups; the empty one comes first."""
        seen = KeyNumbers()
        group: list[str] = []
        for caption in self.all_captions():
            if caption_hash(caption) in finished or not seen.add(caption):
                continue
            group.append(caption)
            if len(group) == 256:
                yield group
                group = []
        if group:
            yield group

    def all_captions(self) -> Iterator[str]:
        """The empty caption, then the captions of all clips, with repetitions."""
        yield ""
        for item in self.walk():
            for clip in item.clips:
                yield from clip.captions

    def _plan(self, entry: Entry, media: Media, hashes: KeyNumbers) -> PlannedVideo:
        record = self._surveys.get(entry.key)
        if record is None or record["cutting"] != self._cutting:
            raise NotScanned(entry.key)
        if "found" not in record:
            return _whole(entry, record, record["reason"])
        found = Survey.from_json(record["found"])
        captions = tuple(self._request.prefix + caption for caption in entry.captions)
        reason = found.dropped
        if not captions and self._request.captionless == "drop":
            reason = "no caption"
        if reason or found.bucket is None:
            return _whole(entry, record, reason or "fits no bucket", rejected=False)
        clips, left_out = [], []
        for cut in found.cuts:
            reason = cut.dropped
            if self._request.cutting.drop_duplicates and not reason and not hashes.add(cut.look):
                reason = "duplicate"
            if reason:
                left_out.append(LeftOut(entry.key, reason, False, cut.times[0]))
            else:
                clips.append(self._clip(entry, media, found, cut, captions))
        return PlannedVideo(entry, record, tuple(clips), tuple(left_out))

    def _relative(self, path: str) -> str:
        """A path from the source's root; os.path.relpath takes as long as all else of a clip."""
        below = path.removeprefix(self._root)
        if len(below) < len(path) and os.path.normpath(below) == below:
            return below
        return os.path.relpath(path, self._layout.root)

    def _clip(
        self, entry: Entry, media: Media, found: Survey, cut: ClipSpan, captions: tuple[str, ...]
    ) -> PlannedClip:
        bucket = found.bucket
        assert bucket is not None
        caption = captions[:1] if self._reads_text else ()
        decoder = found.decoder.split(" ")[0]
        identity = digest(
            [found.sha256, cut.pts, bucket, decoder, self._recipe, caption, *found.reading]
        )
        path = media.url or self._relative(str(media.path))
        facts = {
            "id": identity,
            "key": entry.key,
            "media": [path, media.offset, media.size],
            "source_sha256": found.sha256,
            "decoder": found.decoder,
            "track": found.track,
            "pts": cut.pts,
            "times": cut.times,
            "size": [found.width, found.height],
            "crop": cover(found.width, found.height, bucket),
            "bucket": str(bucket),
            "captions": [caption_hash(caption) for caption in captions],
            "split": list(entry.split),
            "label": entry.label,
        }
        return PlannedClip(identity, media, cut.pts, bucket, captions, facts)


def _prefix(root: Path) -> str:
    """What absolute paths below a folder begin with."""
    return os.path.join(os.path.abspath(root), "")  # noqa: PTH100, PTH118 (keeps links)


def caption_hash(caption: str) -> str:
    """sha256 of a caption's JSON."""
    return digest(caption)


def _whole(
    entry: Entry, found: dict[str, Any] | None, reason: str, *, rejected: bool = True
) -> PlannedVideo:
    return PlannedVideo(entry, found, (), (LeftOut(entry.key, reason, rejected),))


def _unit(bucket: Bucket, clips: list[PlannedClip]) -> Unit:
    return Unit(digest([clip.id for clip in clips])[:20], bucket, tuple(clips))
