"""From two sources to the clips that are compared: read, joined, drawn, and nothing left unsaid."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fbridge.data.pictures import SUFFIXES
from fbridge.data.provenance import Provenance, read_provenance
from fbridge.errors import ConfigError, DataError
from fbridge.evaluation.clips import EvalClip, FailedClip, FrameSampling, Listing, sample_clips
from fbridge.evaluation.protocol import Protocol
from fbridge.evaluation.result import Side
from fbridge.files.atomic import shown

_NAMED = 3  # bad files that a message names


@dataclass(frozen=True)
class SamplingProgress:
    """How far looking into the files of a side is."""

    what: str
    done: int
    total: int


@dataclass
class ClipSet:
    """One side's clips by key, in the order of the keys.

    Attributes:
        name: of the source.
        clips: the usable ones.
        failed: the others.
    """

    name: str
    clips: dict[str, EvalClip] = field(default_factory=dict)
    failed: list[FailedClip] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)

    def keep(self, keys: Sequence[str]) -> None:
        """These alone."""
        self.clips = {key: self.clips[key] for key in sorted(keys)}

    def summary(self) -> Side:
        """What the result says of it."""
        clips = list(self.clips.values())
        whole = hashlib.sha256("\n".join(sorted(clip.hash for clip in clips)).encode())
        return Side(
            name=self.name,
            clips=len(clips),
            hash=whole.hexdigest(),
            dropped=dict(self.dropped),
            sizes=dict(Counter(f"{clip.width}x{clip.height}" for clip in clips)),
            codecs=dict(Counter(clip.codec for clip in clips)),
            rates=dict(Counter(f"{clip.fps:.4g}" for clip in clips if clip.media is not None)),
        )


@dataclass(frozen=True)
class Selection:
    """What is evaluated.

    Attributes:
        generated, reference: the sides; the reference is None where there is none.
        paired: whether every generated clip has a real one with its key.
        size: (width, height) at which frames are kept.
        captions, pictures: of generated clips by key, where they are known.
        notes: what the reader should know.
    """

    generated: ClipSet
    reference: ClipSet | None
    paired: bool
    size: tuple[int, int]
    captions: dict[str, str]
    pictures: dict[str, Path]
    notes: tuple[str, ...]


def collect_clips(
    listing: Listing, cut: FrameSampling, *, what: str, workers: int
) -> Iterator[SamplingProgress | ClipSet]:
    """Cut every clip of a side; ends with the `ClipSet`."""
    side = ClipSet(shown(listing.source))
    for number, clip in enumerate(sample_clips(listing.found, cut, workers=workers), start=1):
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
    """Join the sides and draw what the protocol asks for.

    Args:
        generated: as `collect_clips` gave it.
        reference: likewise; None without one.
        protocol: says how many, and at which size.
        needs_pairs: a metric that needs a real clip with the same key; empty for none.
        skip_bad: leave out what cannot be used, instead of stopping.
        pictures: folder of the pictures that clips were made from, by key.

    Raises:
        DataError: clips cannot be used, come twice, have no counterpart, or are too few.
        ConfigError: the size is not told and cannot be chosen.
    """
    for side in (generated, reference):
        if side is not None:
            _settle_failures(side, skip_bad)
            _refuse_tiling(side, skip_bad)
    paired = reference is not None and _join(generated, reference, needs_pairs, skip_bad)
    _draw(generated, reference if not paired else None, protocol)
    if paired:
        assert reference is not None
        reference.keep(list(generated.clips))
    records = {
        key: record for key in generated.clips if (record := record_of(generated.clips[key]))
    }
    return Selection(
        generated,
        reference,
        paired,
        protocol.size or _common_size(generated),
        captions_of(generated, reference if paired else None, records, protocol.seed),
        pictures_of(generated, records, pictures),
        tuple(_differences(generated, reference)),
    )


def _settle_failures(side: ClipSet, skip_bad: bool) -> None:
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


def _refuse_tiling(side: ClipSet, skip_bad: bool) -> None:
    """The same frames twice make any distance between sets look better than it is."""
    first: dict[str, str] = {}
    twice = []
    for key, clip in side.clips.items():
        if clip.hash in first:
            twice.append(key)
        first.setdefault(clip.hash, key)
    if not twice:
        return
    if not skip_bad:
        key = twice[0]
        raise DataError(
            f"{side.name}: {len(twice)} clips are copies of others, such as {key!r} of "
            f"{first[side.clips[key].hash]!r}; a set must not be tiled: --skip-bad counts each once"
        )
    side.dropped["copies"] += len(twice)
    side.keep([key for key in side.clips if key not in set(twice)])


def _join(generated: ClipSet, reference: ClipSet, needs_pairs: str, skip_bad: bool) -> bool:
    """Whether the sides are pairs; then only those that have a counterpart are kept."""
    lonely = sorted(set(generated.clips) - set(reference.clips))
    if not lonely:
        return bool(generated.clips)
    if not needs_pairs:
        return False
    if len(lonely) == len(generated.clips):
        raise DataError(
            f"{needs_pairs}: no video of {generated.name} has the name of one of "
            f"{reference.name}, such as {lonely[0]!r} or {next(iter(reference.clips), '')!r}; "
            "name each generated video as its real one"
        )
    if not skip_bad:
        raise DataError(
            f"{needs_pairs}: {len(lonely)} of {len(generated.clips)} videos of {generated.name} "
            f"have no namesake in {reference.name}, such as {lonely[0]!r}; --skip-bad leaves "
            "them out"
        )
    generated.dropped["without a real namesake"] += len(lonely)
    generated.keep([key for key in generated.clips if key not in set(lonely)])
    return True


def _draw(generated: ClipSet, reference: ClipSet | None, protocol: Protocol) -> None:
    for side in (generated, reference):
        if side is None or len(side.clips) <= protocol.most:
            continue

        def lot(key: str) -> bytes:
            return hashlib.sha256(f"{protocol.seed} {key}".encode()).digest()

        chosen = sorted(side.clips, key=lot)[: protocol.most]
        side.dropped["not drawn"] += len(side.clips) - len(chosen)
        side.keep(chosen)
    for side in (generated, reference):
        if side is not None and not side.clips:
            raise DataError(f"{side.name}: holds no clip that can be used")


def _common_size(side: ClipSet) -> tuple[int, int]:
    sizes = Counter((clip.width, clip.height) for clip in side.clips.values())
    if len(sizes) > 1:
        told = ", ".join(f"{w}x{h}" for (w, h), _ in sizes.most_common(_NAMED))
        raise ConfigError(
            f"{side.name}: its videos have {len(sizes)} sizes ({told}); say with --size at which "
            "one frames are compared"
        )
    return next(iter(sizes))


def record_of(clip: EvalClip) -> Provenance | None:
    """What a clip's file says it was made from; None where it says nothing."""
    try:
        return read_provenance(clip.path)
    except DataError:
        return None


def captions_of(
    generated: ClipSet, reference: ClipSet | None, records: dict[str, Provenance], seed: int
) -> dict[str, str]:
    """The words of each clip: those it was made from, else one that its real one has, drawn."""
    found = {}
    for key, clip in generated.clips.items():
        real = reference.clips[key].captions if reference is not None else ()
        several = clip.captions or real
        if key in records and records[key].prompt:
            found[key] = records[key].prompt
        elif several:
            drawn = hashlib.sha256(f"{seed} {key}".encode()).digest()
            found[key] = several[int.from_bytes(drawn[:8], "big") % len(several)]
    return found


def pictures_of(
    generated: ClipSet, records: dict[str, Provenance], folder: Path | None
) -> dict[str, Path]:
    """The picture each clip was made from: by name in `folder`, else as its record says."""
    if folder is not None:
        if not folder.is_dir():
            raise ConfigError(
                f"--pictures {shown(folder)}: is no folder; name that of the pictures"
            )
        files = (path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES)
        by_stem = {path.stem: path for path in files}
        lost = [key for key in generated.clips if Path(key).name not in by_stem]
        if lost:
            raise DataError(
                f"--pictures {shown(folder)}: holds no picture for {len(lost)} of "
                f"{len(generated.clips)} videos, such as {lost[0]!r}"
            )
        return {key: by_stem[Path(key).name] for key in generated.clips}
    found = {}
    for key, record in records.items():
        if record.picture.path is None:
            continue
        path = (generated.clips[key].path.parent / record.picture.path).resolve()
        if (
            path.is_file()
            and hashlib.sha256(path.read_bytes()).hexdigest() == record.picture.sha256
        ):
            found[key] = path
    return found


def _differences(generated: ClipSet, reference: ClipSet | None) -> Iterator[str]:
    """Where the sides differ in more than what they show."""
    if reference is None:
        return
    one, other = generated.summary(), reference.summary()
    for what, a, b in (
        ("sizes", one.sizes, other.sizes),
        ("codecs", one.codecs, other.codecs),
        ("frame rates", one.rates, other.rates),
    ):
        if not (a and b):  # folders of frames have no rate
            continue
        if set(a) != set(b) or len(a) > 1 or len(b) > 1:
            yield f"{what}: generated {_counted(a)}; reference {_counted(b)}"


def _counted(counts: object) -> str:
    assert isinstance(counts, dict)
    most = sorted(counts.items(), key=lambda item: -item[1])
    told = ", ".join(f"{name} ({number})" for name, number in most[:_NAMED])
    return f"{told}, {len(most) - _NAMED} more" if len(most) > _NAMED else told
