"""What a run learns from: the clips, the codec that made them, and what a network must fit."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fbridge.loaders.load import PretrainedModel
from fbridge.loaders.codec import LoadedCodec
from fbridge.data.video.buckets import parse_buckets
from fbridge.files.atomic import shown
from fbridge.data.latents import LatentDataset, Split, hold_out
from fbridge.errors import CheckpointError, DataError
from fbridge.loaders.text_encoder import MINILM, load_text_encoder, hash_text_encoder

_SAME = 1e-2  # embeddings may be stored in half precision


@dataclass(frozen=True)
class Shape:
    """What a network and a pipeline must fit: a data set's clips in numbers.

    Attributes:
        channels, height, width: of latents of the most frequent bucket.
        condition_channels, condition_height, condition_width: of the codec's picture.
        text_width: features of a token.
        classes: names by label; none of a data set without labels.
        frames: video frames of a clip of that bucket.
        step: video frames a latent frame, of a codec that compresses time.
        fps: frames a second of the clips, on average over the first one.
        sizes: (width, height) in pixels of all buckets, the most frequent first.
        text_encoder: name of what read the captions.
    """

    channels: int
    height: int
    width: int
    condition_channels: int
    condition_height: int
    condition_width: int
    text_width: int
    classes: tuple[str, ...]
    frames: int
    step: int
    fps: float
    sizes: tuple[tuple[int, int], ...]
    text_encoder: str = MINILM

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, tree: dict[str, Any]) -> Shape:
        """The inverse of `to_json`."""
        sizes = tuple((int(width), int(height)) for width, height in tree["sizes"])
        return cls(**{**tree, "classes": tuple(tree["classes"]), "sizes": sizes})


@dataclass(frozen=True)
class TrainingData:
    """A data set, split, with its codec.

    Attributes:
        dataset: all of it.
        parts: clips to train on and held-out ones.
        codec: that made the latents.
        shape: of its clips.
    """

    dataset: LatentDataset
    parts: Split
    codec: LoadedCodec
    shape: Shape

    def keys(self, rows: Tensor) -> list[str]:
        """Names of clips to train on: the video's key, and the second at which the clip begins."""
        named = []
        for row in rows.tolist():
            record = self.parts.training.record(row)
            named.append(f"{record['key']} at {record['times'][0]:.2f} s")
        return named


def read_data(folder: Path, *, split: str | None, share: float) -> tuple[LatentDataset, Split]:
    """A data set and its division.

    Raises:
        DataError: it is none, it is empty, or nothing is left to train on.
    """
    dataset = LatentDataset(folder)
    if split is not None and not bool(dataset.tagged(split).any()):
        known = ", ".join(dataset.index["splits"]) or "none"
        raise DataError(f"{shown(folder)}: has no split {split!r}; it has {known}")
    if not len(dataset):
        raise DataError(f"{shown(folder)}: holds no clip; prepare some videos")
    parts = hold_out(dataset, share, split=split)
    if not len(parts.training):
        raise DataError(
            f"{shown(folder)}: no clip is left to train on ({parts.told}); name a split of "
            f"{', '.join(dataset.index['splits'])}"
        )
    return dataset, parts


def measure(dataset: LatentDataset, codec: LoadedCodec) -> Shape:
    """The shape of a data set's clips."""
    numbers, counts = dataset.bucket.unique(return_counts=True)
    order = [int(numbers[i]) for i in counts.argsort(descending=True, stable=True).tolist()]
    first = int((dataset.bucket == order[0]).nonzero()[0, 0])
    sample = dataset[first]
    buckets = [parse_buckets(dataset.index["buckets"][number]["bucket"])[0] for number in order]
    times = dataset.record(first)["times"]
    seconds = times[-1] - times[0]
    _, channels, height, width = sample.clip.shape
    condition = sample.condition.shape
    return Shape(
        channels=channels,
        height=height,
        width=width,
        condition_channels=condition[0],
        condition_height=condition[1],
        condition_width=condition[2],
        text_width=sample.text.shape[1],
        classes=class_names(dataset),
        frames=buckets[0].frames,
        step=getattr(codec.codec, "temporal", None) or 1,
        fps=round((len(times) - 1) / seconds, 3) if seconds > 0 else 8.0,
        sizes=tuple(dict.fromkeys((bucket.width, bucket.height) for bucket in buckets)),
        text_encoder=dataset.index["text_encoder"]["name"],
    )


def class_names(dataset: LatentDataset) -> tuple[str, ...]:
    """What the classes of a data set are called: the first caption of each, else its number."""
    labels = dataset.labels
    count = int(labels.max()) + 1 if len(labels) else 0
    names = [str(label) for label in range(count)]
    for label in labels.unique().tolist():
        if label >= 0:
            row = int((labels == label).nonzero()[0, 0])
            names[label] = (dataset.captions(row) or [str(label)])[0]
    return tuple(names)


def frame_limits(shape: Shape) -> list[int]:
    """Default, minimum, maximum and step of a pipeline's number of frames."""
    least = 1 if shape.step > 1 else 2
    most = (4 * shape.frames - least) // shape.step * shape.step + least
    return [shape.frames, least, most, shape.step]


def check_words(base: PretrainedModel, dataset: LatentDataset) -> None:
    """Raise CheckpointError unless a base reads words as the captions of a data set were read.

    By the encoder's name or its files; where both differ, by what it makes of the empty caption.
    """
    told = dataset.index["text_encoder"]
    if base.transformer is None or base.text_encoder == told["name"]:
        return
    if hash_text_encoder(base.text_encoder) == told["hash"]:
        return
    stored = dataset.empty_text().float()
    own = load_text_encoder(base.text_encoder)([""])[0][0]
    if own.shape != stored.shape or not torch.allclose(own, stored, atol=_SAME, rtol=_SAME):
        raise CheckpointError(
            f"base {base.name}: reads words with {base.text_encoder}, the data set's captions were "
            f"read with {told['name']}; prepare the videos again with --text-encoder "
            f"{base.text_encoder}"
        )
