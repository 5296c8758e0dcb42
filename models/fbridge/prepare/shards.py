"""Second pass: decode and encode clips, and embed captions; `store` writes the results."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from itertools import tee
from typing import Any

import torch
from torch import Tensor

from fbridge.data.latents.format import hash_row, shard_path
from fbridge.data.video.clip import Decoded, decode_clip
from fbridge.data.video.pool import Failure, TaskPool
from fbridge.errors import CheckpointError
from fbridge.prepare.encode import Encoder, Moments, finite_rows
from fbridge.prepare.plan import PlannedClip, Unit, caption_hash
from fbridge.prepare.request import PrepareRequest
from fbridge.words.encoder import PromptEncoder

MEMORY_AHEAD = 2**30
"""Limit on decoded frames that wait for the codec, in bytes."""


@dataclass
class Timings:
    """Seconds spent: `decode` and `resize` in the workers, `encode` where the codec runs.

    With several encoders each is a sum over them, and so may exceed `total`.
    """

    decode: float = 0.0
    resize: float = 0.0
    encode: float = 0.0
    write: float = 0.0
    waiting: float = 0.0
    total: float = 0.0

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Count the seconds of the context as writing."""
        started = time.perf_counter()
        yield
        self.write += time.perf_counter() - started

    def add(self, more: Timings) -> None:
        """Add another's seconds."""
        for part in fields(self):
            setattr(self, part.name, getattr(self, part.name) + getattr(more, part.name))


@dataclass(frozen=True)
class EncodedUnit:
    """The clips of one unit that could be encoded.

    Attributes:
        unit: what was asked for.
        rows: the clips, in the order of the tensors' rows.
        tensors: to be stored, each (N, ...); empty without rows.
        failures: records of the other clips.
    """

    unit: Unit
    rows: tuple[PlannedClip, ...]
    tensors: dict[str, Tensor]
    failures: tuple[dict[str, Any], ...]

    kind = "rows"

    @property
    def path(self) -> str:
        """Of its shard in the data set."""
        return shard_path("shards", self.unit.name)

    def lines(self, sha256: str, size: int) -> list[dict[str, Any]]:
        """The journal's records; the last one is that of the shard, of this hash and size."""
        if not self.rows:
            return [*self.failures, {"unit": self.unit.name, "rows": 0}]
        rows = [
            {"id": clip.id, "shard": self.path, "row": row, "sha256": hash_row(self.tensors, row)}
            for row, clip in enumerate(self.rows)
        ]
        whole = {
            **_shard_record(self.unit.name, self.path, sha256, size, len(rows)),
            "bucket": str(self.unit.bucket),
            "latent": list(self.tensors["clip"].shape[1:]),
            "moments": Moments.of(self.tensors).to_json(),
        }
        return [*rows, *self.failures, whole]


class UnitEncoder:
    """Encodes units one after the other, while their next clips are decoded.

    Attributes:
        timings: of all units so far.

    Args:
        request: what is made.
        workers: where clips are decoded.
        encoder: of batches of clips.
        ahead: limit on decoded frames that wait for the codec, in bytes.
    """

    def __init__(
        self,
        request: PrepareRequest,
        workers: TaskPool,
        encoder: Encoder,
        *,
        ahead: int = MEMORY_AHEAD,
    ) -> None:
        self._request = request
        self._workers = workers
        self._encoder = encoder
        self._bytes_ahead = ahead
        self._failures: list[dict[str, Any]] = []
        self.timings = Timings()

    def encode(self, units: Iterator[Unit]) -> Iterator[int | EncodedUnit]:
        """Encode units; yields numbers of clips that were encoded, and each finished unit."""
        coming, wanted = tee(units)
        tasks = (
            (clip.media, clip.pts, clip.bucket, self._request.cutting.decoder)
            for unit in coming
            for clip in unit.clips
        )
        decoded = iter(self._workers.map(decode_clip, tasks, ahead=self._ahead()))
        for unit in wanted:
            yield (yield from self._encode(unit, decoded))

    def _ahead(self) -> int:
        largest = max(b.width * b.height * b.frames * 3 for b in self._request.cutting.buckets)
        most = max(self._workers.count, self._bytes_ahead // largest)
        return min(most, 2 * (self._workers.count + self._request.batch_size))

    def _encode(
        self, unit: Unit, decoded: Iterator[Decoded | Failure]
    ) -> Generator[int, None, EncodedUnit]:
        """One unit; yields as `encode` does."""
        self._failures = []
        rows: list[PlannedClip] = []
        parts: list[dict[str, Tensor]] = []
        clips = iter(unit.clips)
        while batch := self._decode(clips, decoded):
            started = time.perf_counter()
            captions = [clip.captions[0] if clip.captions else "" for clip, _ in batch]
            tensors = self._encoder([frames.frames for _, frames in batch], captions)
            finite = finite_rows(tensors)
            for (clip, _), is_finite in zip(batch, finite.tolist(), strict=True):
                if is_finite:
                    rows.append(clip)
                else:
                    self._fail(clip, "encodes to numbers that are not finite; use --dtype float32")
            parts.append({name: tensor[finite] for name, tensor in tensors.items()})
            self.timings.encode += time.perf_counter() - started
            yield len(batch)
        names = parts[0] if rows else ()
        whole = {name: torch.cat([part[name] for part in parts]) for name in names}
        return EncodedUnit(unit, tuple(rows), whole, tuple(self._failures))

    def _decode(
        self, clips: Iterator[PlannedClip], decoded: Iterator[Decoded | Failure]
    ) -> list[tuple[PlannedClip, Decoded]]:
        """The next clips that can be decoded, as many as are encoded at a time."""
        batch: list[tuple[PlannedClip, Decoded]] = []
        for clip in clips:
            started = time.perf_counter()
            frames = next(decoded)
            self.timings.waiting += time.perf_counter() - started
            if isinstance(frames, Failure):
                self._fail(clip, frames.reason)
                continue
            self.timings.decode += frames.seconds_decode
            self.timings.resize += frames.seconds_resize
            batch.append((clip, frames))
            if len(batch) == self._request.batch_size:
                break
        return batch

    def _fail(self, clip: PlannedClip, reason: str) -> None:
        self._failures.append({"id": clip.id, "reason": reason})


@dataclass(frozen=True)
class EncodedCaptions:
    """Text embeddings of some captions, in one shard.

    Attributes:
        name: of the shard.
        captions: with their hashes, the rows.
        tensors: `tokens` (T, D) of all of them, `start` (N + 1,).
        truncated: whether the encoder read only the beginning of each.
    """

    name: str
    captions: tuple[str, ...]
    tensors: dict[str, Tensor]
    truncated: tuple[bool, ...]

    kind = "captions"

    @property
    def path(self) -> str:
        """Of its shard in the data set."""
        return shard_path("text", self.name)

    def lines(self, sha256: str, size: int) -> list[dict[str, Any]]:
        """As those of `EncodedUnit`."""
        tokens = self.tensors["start"].diff().tolist()
        lines = [
            {"caption": caption_hash(caption), "text": caption, "shard": self.path, "row": row,
             "tokens": tokens[row], "truncated": self.truncated[row]}
            for row, caption in enumerate(self.captions)
        ]  # fmt: skip
        return [*lines, _shard_record(self.name, self.path, sha256, size, len(lines))]


def encode_captions(
    text: PromptEncoder, name: str, captions: Sequence[str], dtype: torch.dtype
) -> EncodedCaptions:
    """Embed these captions, for the shard `name`.

    Raises:
        CheckpointError: an embedding is not finite in this dtype.
    """
    text.forget()  # the same bits whatever this process embedded before
    embedded, mask = text(captions)
    rows = [row[real].to(dtype).cpu() for row, real in zip(embedded, mask, strict=True)]
    for caption, row, own in zip(captions, rows, embedded, strict=True):
        if not bool(row.isfinite().all()):
            overflow = bool(own.isfinite().all())
            raise CheckpointError(
                f"text encoder {text.name}: what it makes of the caption {caption!r} holds NaN or "
                "infinity; "
                + ("use --dtype float32" if overflow else "its file is damaged, get it again")
            )
    start = torch.tensor([0, *(len(row) for row in rows)]).cumsum(0)
    unread = tuple(bool(part) for part in text.unread(captions))
    tensors = {"tokens": torch.cat(rows), "start": start}
    return EncodedCaptions(name, tuple(captions), tensors, unread)


def _shard_record(unit: str, path: str, sha256: str, size: int, rows: int) -> dict[str, Any]:
    """The journal's record of a shard that is complete."""
    return {"unit": unit, "path": path, "sha256": sha256, "bytes": size, "rows": rows}
