"""A data set opened for training: its division, and its clips in numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fbridge.choices import MINILM
from fbridge.data.latents.dataset import LatentDataset
from fbridge.data.latents.split import Split, hold_out
from fbridge.data.video.buckets import parse_buckets
from fbridge.errors import DataError
from fbridge.files.atomic import shown


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


def read_data(
    folder: Path | str,
    *,
    split: str | None,
    share: float,
    open_dataset: Callable[[Path | str], LatentDataset] = LatentDataset,
) -> tuple[LatentDataset, Split]:
    """A data set and its division.

    Args:
        folder: of the data set, or what `open_dataset` takes.
        split: see `fbridge.data.latents.split.hold_out`.
        share: likewise.
        open_dataset: opens it.

    Raises:
        DataError: it is none, it is empty, or nothing is left to train on.
    """
    dataset = open_dataset(folder)
    if split is not None and not bool(dataset.tagged(split).any()):
        known = ", ".join(dataset.index["splits"]) or "none"
        raise DataError(f"{shown(folder)}: has no split {split!r}; it has {known}")
    if not len(dataset):
        raise DataError(f"{shown(folder)}: holds no clip; prepare some videos")
    parts = hold_out(dataset, share, split=split)
    if not len(parts.training):
        raise DataError(
            f"{shown(folder)}: no clip is left to train on ({parts.summary}); name a split of "
            f"{', '.join(dataset.index['splits'])}"
        )
    return dataset, parts


def measure_clips(dataset: LatentDataset, step: int) -> Shape:
    """The shape of a data set's clips.

    Args:
        dataset: all of it.
        step: video frames a latent frame, of the codec.
    """
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
        step=step,
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
