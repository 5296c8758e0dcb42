"""Second pass: encode clips and captions, and write them in shards."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import tee
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fbridge.data.latents.format import JOURNAL, hash_file, hash_row, save_tensors, shard_path
from fbridge.data.video.clip import Decoded, decode_clip
from fbridge.data.video.pool import Failure, TaskPool
from fbridge.prepare.encode import Encoder, Moments, finite_rows
from fbridge.prepare.journal import Journal, Lookup
from fbridge.prepare.plan import PlannedClip, Unit, caption_hash
from fbridge.prepare.request import PrepareRequest
from fbridge.words.encoder import PromptEncoder

MEMORY_AHEAD = 2**30
"""Limit on decoded frames that wait for the codec, in bytes."""


@dataclass
class Timings:
    """Seconds spent: `decode` and `resize` in the workers, the rest in the main process."""

    decode: float = 0.0
    resize: float = 0.0
    encode: float = 0.0
    write: float = 0.0
    waiting: float = 0.0
    total: float = 0.0


class ShardWriter:
    """Writes shards of latents; each is entered in the journal once it is complete."""

    def __init__(self, request: PrepareRequest, workers: TaskPool, encoder: Encoder) -> None:
        self._request = request
        self._workers = workers
        self._encoder = encoder
        self._journal = Journal(request.out / JOURNAL / f"rows-{request.rank.number:05d}.jsonl")
        self.timings = Timings()

    def write(self, units: Iterator[Unit]) -> Iterator[int]:
        """Write the shards of these units; yields numbers of clips that were encoded."""
        coming, wanted = tee(units)
        tasks = (
            (clip.media, clip.pts, clip.bucket, self._request.cutting.decoder)
            for unit in coming
            for clip in unit.clips
        )
        decoded = iter(self._workers.map(decode_clip, tasks, ahead=self._ahead()))
        for unit in wanted:
            yield from self._write(unit, decoded)

    def _ahead(self) -> int:
        largest = max(b.width * b.height * b.frames * 3 for b in self._request.cutting.buckets)
        most = max(self._request.workers, MEMORY_AHEAD // largest)
        return min(most, 2 * (self._request.workers + self._request.batch_size))

    def _write(self, unit: Unit, decoded: Iterator[Decoded | Failure]) -> Iterator[int]:
        rows, tensors = yield from self._encode(unit, decoded)
        if not rows:
            self._journal.append([*self._failures, {"unit": unit.name, "rows": 0}])
            return
        started = time.perf_counter()
        name = shard_path("shards", unit.name)
        save_tensors(self._request.out / name, tensors)
        lines = [
            {"id": clip.id, "shard": name, "row": row, "sha256": hash_row(tensors, row)}
            for row, clip in enumerate(rows)
        ]
        whole = {
            **_shard_record(self._request.out, unit.name, name, len(rows)),
            "bucket": str(unit.bucket),
            "latent": list(tensors["clip"].shape[1:]),
            "moments": Moments.of(tensors).to_json(),
        }
        self._journal.append([*lines, *self._failures, whole])
        self.timings.write += time.perf_counter() - started

    def _encode(
        self, unit: Unit, decoded: Iterator[Decoded | Failure]
    ) -> Generator[int, None, tuple[list[PlannedClip], dict[str, Tensor]]]:
        """The clips that could be encoded, with their tensors; yields as `write` does."""
        self._failures: list[dict[str, Any]] = []
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
        names = parts[0] if parts else ()
        return rows, {name: torch.cat([part[name] for part in parts]) for name in names}

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


def is_complete(unit: Unit, rows: Lookup, request: PrepareRequest) -> bool:
    """Whether the shard of a unit exists with the size in its record."""
    record = rows.get(unit.name)
    if record is None:
        return False
    path = request.out / shard_path("shards", unit.name)
    return record["rows"] == 0 or (path.is_file() and path.stat().st_size == record["bytes"])


class CaptionWriter:
    """Writes shards of text embeddings."""

    def __init__(
        self,
        request: PrepareRequest,
        text: PromptEncoder,
        dtype: torch.dtype,
        note: Callable[[str], None],
    ) -> None:
        self._request = request
        self._text = text
        self._dtype = dtype
        self._note = note
        self._journal = Journal(request.out / JOURNAL / f"captions-{request.rank.number:05d}.jsonl")

    def write(self, name: str, captions: Sequence[str]) -> None:
        """Embed these captions and write them as one shard."""
        text, mask = self._text(captions)
        rows = [row[real].to(self._dtype) for row, real in zip(text, mask, strict=True)]
        start = torch.tensor([0, *(len(row) for row in rows)]).cumsum(0)
        path = shard_path("text", name)
        save_tensors(self._request.out / path, {"tokens": torch.cat(rows), "start": start})
        unread = self._text.unread(captions)
        lines = [
            {"caption": caption_hash(caption), "text": caption, "shard": path, "row": row,
             "tokens": len(rows[row]), "truncated": bool(unread[row])}
            for row, caption in enumerate(captions)
        ]  # fmt: skip
        if told := self._text.describe_unread(captions):
            self._note(f"captions: {told}")
        self._journal.append([*lines, _shard_record(self._request.out, name, path, len(rows))])


def _shard_record(out: Path, unit: str, name: str, rows: int) -> dict[str, Any]:
    """The journal's record of a shard that is complete."""
    path = out / name
    size = path.stat().st_size
    return {"unit": unit, "path": name, "sha256": hash_file(path), "bytes": size, "rows": rows}
