"""Batches of training clips with their random numbers.

A clip's random numbers depend only on the seed, the number of the batch and the clip's position in
it, counted over all processes. So any number of processes draws what one does, and a resumed run
draws what an uninterrupted one does; no generator state is saved.
"""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from fbridge.config.tree import ConditionConfig, PriorConfig
from fbridge.data.latents import BucketBatches, Draw, LatentDataset, LatentSample
from fbridge.errors import FBridgeError
from fbridge.train.shares import BatchShare
from fbridge.types import Condition

T = TypeVar("T")

_GRACE_PERIOD = 60
"""Seconds that a worker process lives on after SIGTERM."""


class ClipIndex(NamedTuple):
    """A row of the data set, and what its random numbers are drawn from."""

    row: int
    epoch: int
    micro_step: int
    position: int


@dataclass(frozen=True)
class Augmentation:
    """Dropout of conditions and noise on the prior.

    Attributes:
        text_dropout: share of clips with the empty caption and no class.
        picture_dropout: share of clips whose picture condition is zero.
        noise: median standard deviation of the noise on the prior image; 0: none.
        noise_spread: standard deviation of its logarithm (FrameBridge: e^-3 and 0.5).
    """

    text_dropout: float = 0.0
    picture_dropout: float = 0.0
    noise: float = 0.0
    noise_spread: float = 0.5

    @classmethod
    def of(cls, condition: ConditionConfig, prior: PriorConfig) -> Augmentation:
        """From a configuration."""
        return cls(
            condition.text_dropout, condition.picture_dropout, prior.noise, prior.noise_spread
        )


@dataclass(frozen=True)
class TrainingBatch:
    """Clips of one bucket with their random numbers; the first axis of every tensor is B.

    Attributes:
        rows: of the data set, to name clips.
        clean: (B, F, C, H, W) latents, sampled from the codec's Gaussians.
        still: (B, F, C, H, W) the first frame repeated.
        condition: prompt, class and picture for the network, after dropout and noise.
        full_condition: the same without dropout and noise, for the prior: when sampling, guidance
            drops conditions of the network only.
        noise: (B, F, C, H, W) standard normal.
        uniform: (B,) float64 in [0, 1), from which times are made.
        prior_noise: (B, F, C, H, W) to be added to the prior; None for none.
    """

    rows: Tensor
    clean: Tensor
    still: Tensor
    condition: Condition
    full_condition: Condition
    noise: Tensor
    uniform: Tensor
    prior_noise: Tensor | None

    def to(self, device: torch.device) -> TrainingBatch:
        """The batch on a device; `rows` and `uniform` stay on the CPU."""
        if device.type == "cpu":
            return self
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> TrainingBatch:
        """The batch in pinned memory; called by the data loader."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> TrainingBatch:
        changed = {
            field.name: _changed(getattr(self, field.name), change)
            for field in fields(self)
            if field.name not in ("rows", "uniform")
        }
        return TrainingBatch(rows=self.rows, uniform=self.uniform, **changed)


class TrainingClips(Dataset[dict[str, Any]]):
    """A data set whose items are clips with their random numbers.

    Args:
        dataset: written by `fbridge prepare`.
        augmentation: dropout and noise.
        seed: of all random numbers.

    Attributes:
        empty_text: (L, D) the empty caption's embeddings, in place of words that are dropped.
    """

    def __init__(self, dataset: LatentDataset, augmentation: Augmentation, *, seed: int) -> None:
        self.dataset = dataset
        self.augmentation = augmentation
        self.seed = seed
        self.empty_text = dataset.empty_text().float()

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitems__(self, indices: list[ClipIndex]) -> list[dict[str, Any]]:
        """The clips of a batch, whose shards are brought here side by side."""
        self.dataset.prefetch([index.row for index in indices])
        return [self[index] for index in indices]

    def __getitem__(self, index: ClipIndex) -> dict[str, Any]:
        sample = self.dataset[Draw(index.row, index.epoch)]
        key = f"{self.seed} {index.micro_step} {index.position}".encode()
        seed = int.from_bytes(hashlib.blake2b(key, digest_size=4).digest(), "big")
        generator = torch.Generator().manual_seed(seed)  # uses 32 bits on the CPU
        uniform, text, picture = torch.rand(3, generator=generator, dtype=torch.float64).tolist()
        no_text = text < self.augmentation.text_dropout
        drawn = self._latents(sample, generator)
        no_picture = picture < self.augmentation.picture_dropout
        if no_picture:
            drawn["picture"] = torch.zeros_like(drawn["picture"])
        return {
            "row": torch.tensor(sample.row),
            "text": self.empty_text if no_text else sample.text.float(),
            "label": torch.tensor(-1 if no_text else sample.label),
            "no_picture": torch.tensor(no_picture),
            "full_text": sample.text.float(),
            "full_prompt": sample.caption,
            "full_label": torch.tensor(sample.label),
            "uniform": torch.tensor(uniform, dtype=torch.float64),
            **drawn,
        }

    def _latents(self, sample: LatentSample, generator: torch.Generator) -> dict[str, Tensor]:
        """Latents sampled from the codec's Gaussians, and all noise."""
        stored_as = {"clean": "clip", "still": "still", "picture": "condition"}
        drawn = {}
        for name, stored in stored_as.items():
            mean: Tensor = getattr(sample, stored)
            drawn[name] = mean.float()
            spread = sample.spreads.get(stored)
            if spread is not None:
                normal = torch.randn(mean.shape, generator=generator)
                drawn[name] = drawn[name] + (spread.float() / 2).exp() * normal
        shape = drawn["clean"].shape
        drawn["full_picture"] = drawn["picture"]
        drawn["still"] = drawn["still"].expand(shape)
        drawn["noise"] = torch.randn(shape, generator=generator)
        if self.augmentation.noise > 0:
            spread = self.augmentation.noise_spread * torch.randn((), generator=generator)
            std = self.augmentation.noise * spread.exp()
            drawn["prior_noise"] = std * torch.randn(shape, generator=generator)
            shape = drawn["picture"].shape
            drawn["picture"] = drawn["picture"] + std * torch.randn(shape, generator=generator)
        return drawn


class TrainingSampler(Sampler[list[ClipIndex]]):
    """A process's pieces of the batches of `BucketBatches`, as indices of `TrainingClips`.

    A piece without clips is the batch's first clip, whose weight is 0: all processes compute
    gradients equally often, since they add them up together.
    """

    def __init__(self, batches: BucketBatches, share: BatchShare) -> None:
        self.batches = batches
        self.share = share

    def __iter__(self) -> Iterator[list[ClipIndex]]:
        for micro_step, draws in enumerate(self.batches, self.batches.step):
            for part in range(self.share.parts):
                yield [
                    ClipIndex(draws[position].row, draws[position].epoch, micro_step, position)
                    for position in self.share.positions(part) or (0,)
                ]


def collate_training(samples: Sequence[dict[str, Any]]) -> TrainingBatch:
    """Stack clips of one bucket; prompt embeddings are padded to the longest."""
    stacked: dict[str, Any] = {
        name: torch.stack([sample[name] for sample in samples])
        for name in samples[0]
        if not name.endswith(("text", "prompt"))
    }
    text, full = (_padded([sample[name] for sample in samples]) for name in ("text", "full_text"))
    return TrainingBatch(
        rows=stacked["row"],
        clean=stacked["clean"],
        still=stacked["still"],
        condition=Condition(
            *text, stacked["picture"], stacked["label"], image_dropped=stacked["no_picture"]
        ),
        full_condition=Condition(
            *full,
            stacked["full_picture"],
            stacked["full_label"],
            prompts=tuple(sample["full_prompt"] for sample in samples),
        ),
        noise=stacked["noise"],
        uniform=stacked["uniform"],
        prior_noise=stacked.get("prior_noise"),
    )


def _padded(texts: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Texts (L, D) as one (B, L, D), and the mask (B, L) of real tokens."""
    lengths = torch.tensor([len(text) for text in texts])
    text = torch.nn.utils.rnn.pad_sequence(texts, batch_first=True)
    return text, torch.arange(text.shape[1])[None] < lengths[:, None]


def training_loader(
    clips: TrainingClips,
    share: BatchShare,
    *,
    first: int = 0,
    workers: int = 0,
) -> DataLoader[TrainingBatch]:
    """Endless pieces of batches, from batch `first` on.

    Args:
        clips: the data.
        share: this process's part of every batch.
        first: number of batches already done.
        workers: data loading processes; 0 loads in this one.
    """
    batches = BucketBatches(clips.dataset, share.clips, seed=clips.seed)
    batches.step = first
    return DataLoader(
        clips,  # type: ignore[arg-type]
        batch_sampler=TrainingSampler(batches, share),
        collate_fn=collate_training,
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        prefetch_factor=4 if workers else None,
        worker_init_fn=_ignore_signals,
    )


def plain_errors(batches: Iterable[T]) -> Iterator[T]:
    """The same batches; an error of a worker process has its own message alone.

    torch puts that process's traceback in front of the message.
    """
    try:
        yield from batches
    except FBridgeError as error:
        _, mark, text = str(error).rpartition(f"{type(error).__module__}.{type(error).__name__}: ")
        if not mark:
            raise
        raise type(error)(text.strip()) from error


def _ignore_signals(_worker: int) -> None:
    """Let a worker process outlive Ctrl-C and SIGTERM, which often reach all processes of a run.

    The training process handles them, and needs its workers to finish its step.
    """
    if not hasattr(signal, "SIGALRM"):
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(_GRACE_PERIOD))


def _changed(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Condition):
        return Condition(
            *(_changed(getattr(value, field.name), change) for field in fields(Condition))
        )
    return value
