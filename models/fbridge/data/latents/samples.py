"""What a data set gives: a clip, a batch of clips, and where shards come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor


class ShardSource(Protocol):
    """Brings shards of a data set in a store to this machine.

    Attributes:
        most_open: maximum number of shards that a worker keeps mapped.
    """

    most_open: int

    def fetch(self, records: Sequence[dict[str, Any]]) -> None:
        """Bring several shards, side by side."""

    def open(self, record: dict[str, Any]) -> Any:
        """The open shard of a record of path, size and sha256."""


class Draw(NamedTuple):
    """A row in an epoch; the epoch decides which of a clip's captions is used."""

    row: int
    epoch: int = 0


@dataclass(frozen=True)
class LatentSample:
    """One clip.

    Attributes:
        row: its index in the data set.
        clip: (F, C, H, W) normalised latents.
        still: (1 or F, C, H, W) latents of its first frame repeated; one frame if all are equal.
        condition: (C', H, W) latent of its first frame alone.
        text: (L, D) prompt embeddings of the drawn caption, or of the empty one if it has none.
        caption: the same as text.
        spreads: log-variances of "clip", "still", "condition"; empty of a deterministic codec.
        picture: (3, height, width) uint8, its first frame, if the codec needs pixels to decode.
        label: class number, -1 without.
    """

    row: int
    clip: Tensor
    still: Tensor
    condition: Tensor
    text: Tensor
    caption: str
    spreads: dict[str, Tensor]
    picture: Tensor | None
    label: int


@dataclass(frozen=True)
class LatentBatch:
    """Samples of one bucket; each tensor has a first axis B, text is padded to (B, L, D)."""

    rows: Tensor
    clip: Tensor
    still: Tensor
    condition: Tensor
    text: Tensor
    prompt_mask: Tensor
    spreads: dict[str, Tensor]
    picture: Tensor | None
    labels: Tensor


def collate(samples: Sequence[LatentSample]) -> LatentBatch:
    """Batch samples of one bucket."""
    lengths = torch.tensor([len(sample.text) for sample in samples])
    text = torch.nn.utils.rnn.pad_sequence([sample.text for sample in samples], batch_first=True)
    pictures = [sample.picture for sample in samples if sample.picture is not None]
    return LatentBatch(
        rows=torch.tensor([sample.row for sample in samples]),
        clip=torch.stack([sample.clip for sample in samples]),
        still=torch.stack([sample.still for sample in samples]),
        condition=torch.stack([sample.condition for sample in samples]),
        text=text,
        prompt_mask=torch.arange(text.shape[1])[None] < lengths[:, None],
        spreads={
            name: torch.stack([sample.spreads[name] for sample in samples])
            for name in samples[0].spreads
        },
        picture=torch.stack(pictures) if pictures else None,
        labels=torch.tensor([sample.label for sample in samples]),
    )
