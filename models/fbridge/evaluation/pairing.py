"""Select the clips of an evaluation: sample both sides, join them by key, draw a subset."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from fbridge.errors import ConfigError, DataError
from fbridge.evaluation.clips import EvalClip, FailedClip, FrameSampling, Listing, sample_clips
from fbridge.evaluation.origins import captions_of, hash_key, pictures_of, record_of
from fbridge.evaluation.protocol import Protocol
from fbridge.evaluation.result import Side
from fbridge.files.atomic import shown

_NAMED = 3  # examples in a message


@dataclass(frozen=True)
class SamplingProgress:
    """How many files of a side have been opened; `what` names the side."""

    what: str
    done: int
    total: int


@dataclass
class ClipSet:
    """The clips of one side, ordered by key.

    Attributes:
        name: the source as the user gave it.
        clips: usable clips by key.
        failed: the other videos.
        dropped: reasons for leaving clips out, and how many clips each.
    """

    name: str
    clips: dict[str, EvalClip] = field(default_factory=dict)
    failed: list[FailedClip] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)

    def keep(self, keys: Sequence[str]) -> None:
        """Remove all clips but those with these keys."""
        self.clips = {key: self.clips[key] for key in sorted(keys)}

    def summary(self) -> Side:
        """The entry of this side in the result."""
        clips = list(self.clips.values())
        hashes = "\n".join(sorted(clip.hash for clip in clips))
        return Side(
            name=self.name,
            clips=len(clips),
            hash=hashlib.sha256(hashes.encode()).hexdigest(),
            dropped=dict(self.dropped),
            sizes=dict(Counter(f"{clip.width}x{clip.height}" for clip in clips)),
            codecs=dict(Counter(clip.codec for clip in clips)),
            rates=dict(Counter(f"{clip.fps:.4g}" for clip in clips if clip.media is not None)),
        )


@dataclass(frozen=True)
class Selection:
    """The clips that are evaluated.

    Attributes:
        generated, reference: the sides; the reference is None where there is none.
        paired: whether every generated clip has a real one with its key.
        size: (width, height) that frames are resized to.
        captions, pictures: of generated clips by key, where they are known.
        notes: lines for the result, on differences between the sides.
    """

    generated: ClipSet
    reference: ClipSet | None
    paired: bool
    size: tuple[int, int]
    captions: dict[str, str]
    pictures: dict[str, Path]
    notes: tuple[str, ...]


def without_tars(generated: Listing, reference: Listing) -> tuple[Listing, Listing]:
    """Both sides as given, or with keys that leave the names of tars out.

    That is so where it makes more pairs, as of `takes.tar` and `real.tar`, and where names of
    members tell the videos of each side apart.
    """
    sides = generated, reference
    keys = [{video.key for video in side.found} for side in sides]
    named = [{video.name or video.key: video for video in side.found} for side in sides]
    unlike = all(len(videos) == len(side.found) for videos, side in zip(named, sides, strict=True))
    if not unlike or len(named[0].keys() & named[1].keys()) <= len(keys[0] & keys[1]):
        return sides
    one, other = (
        replace(side, found=tuple(replace(videos[name], key=name) for name in sorted(videos)))
        for videos, side in zip(named, sides, strict=True)
    )
    return one, other


def collect_clips(
    listing: Listing, sampling: FrameSampling, *, what: str, workers: int
) -> Iterator[SamplingProgress | ClipSet]:
    """Sample a clip from every video of a side; the last item is the `ClipSet`."""
    side = ClipSet(shown(listing.source))
    for number, clip in enumerate(sample_clips(listing.found, sampling, workers=workers), start=1):
        if isinstance(clip, FailedClip):
            side.failed.append(clip)
        else:
            side.clips[clip.key] = clip
        yield SamplingProgress(what, number, len(listing.found))
    yield side


def select(
    generated: ClipSet,
    reference: ClipSet | None,
    protocol: Protocol,
    *,
    needs_pairs: str,
    skip_bad: bool,
    pictures: Path | None,
) -> Selection:
    """Join the sides and draw as many clips as the protocol allows.

    Args:
        generated: from `collect_clips`; changed in place.
        reference: likewise; None without one.
        protocol: number of clips, frame size and seed.
        needs_pairs: name of a metric that needs a real clip with the same key; empty for none.
        skip_bad: leave out clips that cannot be used, instead of raising.
        pictures: folder of the pictures that clips were made from, by key.

    Raises:
        DataError: clips cannot be used, are copies, have no counterpart, or none is left.
        ConfigError: the frame size is not given and the clips differ in it.
    """
    for side in filter(None, (generated, reference)):
        _drop_failures(side, skip_bad)
        _drop_copies(side, skip_bad)
    paired = reference is not None and _join(generated, reference, needs_pairs, skip_bad)
    _draw(generated, protocol)
    if reference is not None:
        if paired:
            reference.keep(list(generated.clips))
        else:
            _draw(reference, protocol)
    records = {key: record for key, clip in generated.clips.items() if (record := record_of(clip))}
    return Selection(
        generated,
        reference,
        paired,
        protocol.size or _common_size(generated),
        captions_of(
            generated.clips, reference.clips if paired and reference else {}, records, protocol.seed
        ),
        pictures_of(generated.clips, records, pictures),
        tuple(_differences(generated, reference)),
    )


def _drop_failures(side: ClipSet, skip_bad: bool) -> None:
    for failed in side.failed:
        side.dropped["too short" if failed.short else "unreadable"] += 1
    if side.failed and not skip_bad:
        named = "; ".join(f"{shown(one.path)}: {one.reason}" for one in side.failed[:_NAMED])
        more = len(side.failed) - _NAMED
        rest = f"; and {more} more" if more > 0 else ""
        of = f"{len(side.failed)} of {len(side.failed) + len(side.clips)}"
        raise DataError(
            f"{side.name}: {of} videos cannot be used: {named}{rest}; --skip-bad leaves them out"
        )


def _drop_copies(side: ClipSet, skip_bad: bool) -> None:
    """Clips with equal frames make any distance between sets look better than it is."""
    first: dict[str, str] = {}
    copies = [key for key, clip in side.clips.items() if first.setdefault(clip.hash, key) != key]
    if not copies:
        return
    if not skip_bad:
        key = copies[0]
        raise DataError(
            f"{side.name}: {len(copies)} clips are copies of others, such as {key!r} of "
            f"{first[side.clips[key].hash]!r}; a set must not be tiled: --skip-bad counts each once"
        )
    side.dropped["copies"] += len(copies)
    side.keep(list(first.values()))


def _join(generated: ClipSet, reference: ClipSet, needs_pairs: str, skip_bad: bool) -> bool:
    """Whether the sides are pairs; if so, generated clips without a counterpart are dropped."""
    unpaired = sorted(set(generated.clips) - set(reference.clips))
    if not unpaired:
        return bool(generated.clips)
    if not needs_pairs:
        return False
    if len(unpaired) == len(generated.clips):
        raise DataError(
            f"{needs_pairs}: no video of {generated.name} has the name of one of "
            f"{reference.name}, such as {unpaired[0]!r} or {next(iter(reference.clips), '')!r}; "
            "name each generated video as its real one"
        )
    if not skip_bad:
        raise DataError(
            f"{needs_pairs}: {len(unpaired)} of {len(generated.clips)} videos of {generated.name} "
            f"have no namesake in {reference.name}, such as {unpaired[0]!r}; --skip-bad leaves "
            "them out"
        )
    generated.dropped["without a real namesake"] += len(unpaired)
    generated.keep([key for key in generated.clips if key in reference.clips])
    return True


def _draw(side: ClipSet, protocol: Protocol) -> None:
    """Keep at most `protocol.most` clips, chosen by a hash of seed and key."""
    if len(side.clips) > protocol.most:
        side.dropped["not drawn"] += len(side.clips) - protocol.most
        order = sorted(side.clips, key=lambda key: hash_key(protocol.seed, key))
        side.keep(order[: protocol.most])
    if not side.clips:
        raise DataError(f"{side.name}: holds no clip that can be used")


def _common_size(side: ClipSet) -> tuple[int, int]:
    sizes = Counter((clip.width, clip.height) for clip in side.clips.values())
    if len(sizes) > 1:
        named = ", ".join(f"{w}x{h}" for (w, h), _ in sizes.most_common(_NAMED))
        raise ConfigError(
            f"{side.name}: its videos have {len(sizes)} sizes ({named}); choose with --size the "
            "one at which frames are compared"
        )
    return next(iter(sizes))


def _differences(generated: ClipSet, reference: ClipSet | None) -> Iterator[str]:
    """Differences between the sides in size, codec and frame rate, as lines for the result."""
    if reference is None:
        return
    one, other = generated.summary(), reference.summary()
    for what, a, b in (
        ("sizes", one.sizes, other.sizes),
        ("codecs", one.codecs, other.codecs),
        ("frame rates", one.rates, other.rates),
    ):
        # Folders of frames have no rate.
        if a and b and (set(a) != set(b) or len(a) > 1 or len(b) > 1):
            yield f"{what}: generated {_counted(a)}; reference {_counted(b)}"


def _counted(counts: Mapping[str, int]) -> str:
    most = sorted(counts.items(), key=lambda item: -item[1])
    named = ", ".join(f"{name} ({number})" for name, number in most[:_NAMED])
    return f"{named}, {len(most) - _NAMED} more" if len(most) > _NAMED else named
