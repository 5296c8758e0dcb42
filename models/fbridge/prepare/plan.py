"""The plan: a pure function of source, findings and request that every process computes alike.

Nothing of it is held or written. It is walked again whenever it is needed, file by file.
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
        id: sha256 of all that decides its latents; clips with one id are one.
        media, pts, bucket: where its frames are, and the size they get.
        captions: what is told of it, with the prefix.
        facts: its row of the manifest but for where the latents lie.
    """

    id: str
    media: Media
    pts: tuple[int, ...]
    bucket: Bucket
    captions: tuple[str, ...]
    facts: dict[str, Any]


@dataclass(frozen=True)
class PlannedVideo:
    """One file of the source as planned."""

    entry: Entry
    found: dict[str, Any] | None
    clips: tuple[PlannedClip, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True)
class Unit:
    """Clips of one bucket that become one shard, named by what it will hold."""

    name: str
    bucket: Bucket
    clips: tuple[PlannedClip, ...]


class NotScanned(Exception):
    """A file has not been looked at yet, by this or another process."""


class Planner:
    """Walks the plan.

    Args:
        request: what is wanted.
        layout: the source.
        surveys: findings by key.
        recipe: hash of what decides latents beside the pixels (codec, dtype).
        reads_text: whether the codec's latents depend on the words.
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
        self._recipe = recipe
        self._cutting = cutting_digest(request)
        self._reads_text = reads_text

    def walk(self) -> Iterator[PlannedVideo]:
        """Every file of the source, in its order.

        Raises:
            NotScanned: the survey is not complete.
        """
        keys, looks = KeyNumbers(), KeyNumbers()
        for entry in self._layout.entries():
            if not keys.add(entry.key):
                yield _whole(entry, None, "is named twice by the source; name it once")
            elif entry.media is None:
                yield _whole(entry, None, entry.refused)
            else:
                yield self._item(entry, entry.media, looks)

    def units(self, finished: Container[str], tally: Tally | None = None) -> Iterator[Unit]:
        """Shards to be made of the clips that are not `finished`; counts all into `tally`."""
        seen = KeyNumbers()
        open_units: dict[Bucket, list[PlannedClip]] = {}
        for item in self.walk():
            if tally is not None:
                tally.add(item.left_out)
                if item.clips:
                    _keep(tally, item.clips)
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
        """Captions not yet embedded, each once, in groups; the empty one is the very first."""
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
        """The empty caption, then those of all clips, as often as they occur."""
        yield ""
        for item in self.walk():
            for clip in item.clips:
                yield from clip.captions

    def _item(self, entry: Entry, media: Media, looks: KeyNumbers) -> PlannedVideo:
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
            if self._request.cutting.drop_duplicates and not reason and not looks.add(cut.look):
                reason = "duplicate"
            if reason:
                left_out.append(LeftOut(entry.key, reason, False, cut.times[0]))
            else:
                clips.append(self._clip(entry, media, found, cut, captions))
        return PlannedVideo(entry, record, tuple(clips), tuple(left_out))

    def _clip(
        self, entry: Entry, media: Media, found: Survey, cut: ClipSpan, captions: tuple[str, ...]
    ) -> PlannedClip:
        bucket = found.bucket
        assert bucket is not None
        words = captions[:1] if self._reads_text else ()
        decoder = found.decoder.split(" ")[0]
        identity = digest([found.sha256, cut.pts, bucket, decoder, self._recipe, words])
        facts = {
            "id": identity,
            "key": entry.key,
            "media": place_of(media, self._layout.root),
            "source_sha256": found.sha256,
            "decoder": found.decoder,
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


def place_of(media: Media, root: Path) -> list[Any]:
    """A media's path below the source's root, with its window."""
    return [os.path.relpath(media.path, root), media.offset, media.size]


def caption_hash(caption: str) -> str:
    """sha256 of a caption, by its JSON."""
    return digest(caption)


def _keep(tally: Tally, clips: tuple[PlannedClip, ...]) -> None:
    width, height = clips[0].facts["size"]
    captionless = not clips[0].captions
    tally.keep(clips[0].bucket, len(clips), (width, height), captionless=captionless)


def _whole(
    entry: Entry, found: dict[str, Any] | None, reason: str, *, rejected: bool = True
) -> PlannedVideo:
    return PlannedVideo(entry, found, (), (LeftOut(entry.key, reason, rejected),))


def _unit(bucket: Bucket, clips: list[PlannedClip]) -> Unit:
    return Unit(digest([clip.id for clip in clips])[:20], bucket, tuple(clips))
