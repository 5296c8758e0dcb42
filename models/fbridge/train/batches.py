"""What chance decides for each clip of a batch: drawn per clip, whatever the batch it lies in.

A clip's draws depend on the seed, on the micro-step and on the clip's place in it, all processes
counted together. So two processes see what one with the double batch sees, and a run that resumes
sees what it would have seen; no generator's state is ever kept.
"""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from fbridge.config.tree import ConditionConfig, PriorConfig
from fbridge.data.latents import BucketBatches, Draw, LatentDataset, LatentSample
from fbridge.types import Condition

_PATIENCE = 60
"""Seconds that a reading process outlives a request to end."""


class Place(NamedTuple):
    """A row where and when it is shown: enough to draw all that is random about it."""

    row: int
    epoch: int
    micro_step: int
    place: int


@dataclass(frozen=True)
class Chances:
    """How often and how strongly chance interferes.

    Attributes:
        text: share of clips that are told the empty caption, and no class.
        picture: share whose picture is blanked in what the network is told.
        noise: median standard deviation of the noise on the prior image; 0 is none.
        noise_spread: standard deviation of its logarithm (FrameBridge: e^-3 and 0.5).
    """

    text: float = 0.0
    picture: float = 0.0
    noise: float = 0.0
    noise_spread: float = 0.5

    @classmethod
    def of(cls, condition: ConditionConfig, prior: PriorConfig) -> Chances:
        """Those of a configuration."""
        return cls(
            condition.text_dropout, condition.picture_dropout, prior.noise, prior.noise_spread
        )


@dataclass(frozen=True)
class TrainingBatch:
    """Clips of one bucket with their draws; every tensor has a first axis B.

    Attributes:
        rows: of the data set, to name clips.
        clean: (B, F, C, H, W) latents, drawn from what the codec told.
        still: (B, F, C, H, W) the first frame standing still.
        condition: words, class and picture as the network is told them.
        whole: the same before chance interfered, as the prior is told them: when a video is made,
            guidance hides words and picture from the network and never from the prior.
        noise: (B, F, C, H, W) standard normal.
        uniform: (B,) float64 in [0, 1), to become times.
        prior_noise: (B, F, C, H, W) to be added to the prior; None without noise on it.
    """

    rows: Tensor
    clean: Tensor
    still: Tensor
    condition: Condition
    whole: Condition
    noise: Tensor
    uniform: Tensor
    prior_noise: Tensor | None

    def to(self, device: torch.device) -> TrainingBatch:
        """The same on a device, but for rows and times, which stay on the CPU."""
        if device.type == "cpu":
            return self
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> TrainingBatch:
        """The same where a device can fetch it by itself; the data loader calls this."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> TrainingBatch:
        changed = {
            field.name: _changed(getattr(self, field.name), change)
            for field in fields(self)
            if field.name not in ("rows", "uniform")
        }
        return TrainingBatch(rows=self.rows, uniform=self.uniform, **changed)


class TrainingClips(Dataset[dict[str, Tensor]]):
    """A data set whose items are clips with their draws.

    Args:
        dataset: what `fbridge prepare` wrote.
        chances: what may happen to a clip.
        seed: of all draws.
    """

    def __init__(self, dataset: LatentDataset, chances: Chances, *, seed: int) -> None:
        self.dataset = dataset
        self.chances = chances
        self.seed = seed
        self._empty = dataset.empty_text()

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, place: Place) -> dict[str, Tensor]:
        sample = self.dataset[Draw(place.row, place.epoch)]
        named = f"{self.seed} {place.micro_step} {place.place}".encode()
        number = int.from_bytes(hashlib.blake2b(named, digest_size=4).digest(), "big")
        generator = torch.Generator().manual_seed(number)  # a CPU's takes 32 bits
        uniform, told, shown = torch.rand(3, generator=generator, dtype=torch.float64).tolist()
        wordless = told < self.chances.text
        drawn = self._latents(sample, generator)
        if shown < self.chances.picture:
            drawn["picture"] = torch.zeros_like(drawn["picture"])
        return {
            "row": torch.tensor(sample.row),
            "text": (self._empty if wordless else sample.text).float(),
            "label": torch.tensor(-1 if wordless else sample.label),
            "whole_text": sample.text.float(),
            "whole_label": torch.tensor(sample.label),
            "uniform": torch.tensor(uniform, dtype=torch.float64),
            **drawn,
        }

    def _latents(self, sample: LatentSample, generator: torch.Generator) -> dict[str, Tensor]:
        """Latents drawn from the codec's Gaussians, and all noise."""
        known = {"clean": "clip", "still": "still", "picture": "condition"}
        drawn = {}
        for name, stored in known.items():
            mean: Tensor = getattr(sample, stored)
            drawn[name] = mean.float()
            spread = sample.spreads.get(stored)
            if spread is not None:
                normal = torch.randn(mean.shape, generator=generator)
                drawn[name] = drawn[name] + (spread.float() / 2).exp() * normal
        shape = drawn["clean"].shape
        drawn["whole_picture"] = drawn["picture"]
        drawn["still"] = drawn["still"].expand(shape)
        drawn["noise"] = torch.randn(shape, generator=generator)
        if self.chances.noise > 0:
            spread = self.chances.noise_spread * torch.randn((), generator=generator)
            size = self.chances.noise * spread.exp()
            drawn["prior_noise"] = size * torch.randn(shape, generator=generator)
            blank = drawn["picture"].shape
            drawn["picture"] = drawn["picture"] + size * torch.randn(blank, generator=generator)
        return drawn


class Places(Sampler[list[Place]]):
    """The batches of `BucketBatches` with the numbers that their draws are made from."""

    def __init__(self, batches: BucketBatches) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[list[Place]]:
        rank, world = self.batches.rank, self.batches.world
        first = self.batches.step
        for number, draws in enumerate(self.batches, first):
            yield [
                Place(draw.row, draw.epoch, number, place * world + rank)
                for place, draw in enumerate(draws)
            ]


def collate_training(samples: Sequence[dict[str, Tensor]]) -> TrainingBatch:
    """Stack clips of one bucket; texts are padded to the longest."""
    stacked: dict[str, Any] = {
        name: torch.stack([sample[name] for sample in samples])
        for name in samples[0]
        if not name.endswith("text")
    }
    told, whole = (_padded([sample[name] for sample in samples]) for name in ("text", "whole_text"))
    return TrainingBatch(
        rows=stacked["row"],
        clean=stacked["clean"],
        still=stacked["still"],
        condition=Condition(*told, stacked["picture"], stacked["label"]),
        whole=Condition(*whole, stacked["whole_picture"], stacked["whole_label"]),
        noise=stacked["noise"],
        uniform=stacked["uniform"],
        prior_noise=stacked.get("prior_noise"),
    )


def _padded(texts: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Texts (L, D) as one (B, L, D), and the mask (B, L) of what is theirs."""
    lengths = torch.tensor([len(text) for text in texts])
    text = torch.nn.utils.rnn.pad_sequence(texts, batch_first=True)
    return text, torch.arange(text.shape[1])[None] < lengths[:, None]


def training_loader(
    clips: TrainingClips,
    batch_size: int,
    *,
    first: int = 0,
    rank: int = 0,
    world: int = 1,
    workers: int = 0,
) -> DataLoader[TrainingBatch]:
    """Batches without end, from micro-step `first` on.

    Args:
        clips: what is read.
        batch_size: clips of this process a micro-step.
        first: micro-steps that are behind.
        rank: number of this process.
        world: how many there are.
        workers: reading processes; 0 reads in this one.
    """
    batches = BucketBatches(
        clips.dataset, batch_size * world, seed=clips.seed, rank=rank, world=world
    )
    batches.step = first
    return DataLoader(
        clips,  # type: ignore[arg-type]
        batch_sampler=Places(batches),
        collate_fn=collate_training,
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        prefetch_factor=4 if workers else None,
        worker_init_fn=_outlive_requests,
    )


def _outlive_requests(number: int) -> None:
    """In a reading process: leave it to the training one what Ctrl-C and requests to end mean.

    They often reach all processes of a run, and without its readers it could not end its step.
    """
    del number
    if not hasattr(signal, "SIGALRM"):
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(_PATIENCE))


def _changed(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Condition):
        return Condition(
            *(_changed(getattr(value, field.name), change) for field in fields(Condition))
        )
    return value
