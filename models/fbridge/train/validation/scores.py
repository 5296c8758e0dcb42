"""Held-out scores: always of the same clips, times and noise, so that they can be compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from fbridge.data.latents import LatentDataset
from fbridge.train.batches import (
    Augmentation,
    ClipIndex,
    TrainingBatch,
    TrainingClips,
    collate_training,
)
from fbridge.train.distillation import DistillTraining
from fbridge.train.losses import BridgeTraining, PriorTraining
from fbridge.train.timesteps import time_limits

_SEED = 20_241_015
"""Seed of all random numbers of validation, in every run."""


@dataclass(frozen=True)
class HeldOut:
    """Held-out clips in batches.

    Attributes:
        clips: without dropout and noise on the prior.
        batches: rows, of one bucket each.
        pause: called before each batch of `read`.
    """

    clips: TrainingClips
    batches: tuple[tuple[int, ...], ...]
    pause: Callable[[], None] = lambda: None

    @classmethod
    def choose(cls, dataset: LatentDataset, rows: int, batch_size: int) -> HeldOut:
        """At most `rows` clips, evenly spaced in the data set."""
        clips = TrainingClips(dataset, Augmentation(), seed=_SEED)
        number = min(rows, len(dataset))
        chosen = torch.linspace(0, len(dataset) - 1, number).round().long().unique()
        bucket = dataset.bucket[chosen]
        batches = [
            tuple(part.tolist())
            for which in bucket.unique().tolist()
            for part in _parts(chosen[bucket == which], batch_size)
        ]
        return cls(clips, tuple(batches))

    def __len__(self) -> int:
        return sum(map(len, self.batches))

    def read(self, band: int, device: torch.device) -> Iterator[TrainingBatch]:
        """All batches, with the noise of an interval of time."""
        for rows in self.batches:
            self.pause()
            yield self.batch(rows, band, device)

    def batch(self, rows: tuple[int, ...], band: int, device: torch.device) -> TrainingBatch:
        """The clips of some rows, with the noise of an interval of time."""
        clips = [self.clips[ClipIndex(row, 0, band, row)] for row in rows]
        return collate_training(clips).to(device)


@torch.no_grad()
def score_generation(
    task: BridgeTraining, network: nn.Module, held_out: HeldOut, bands: int, device: torch.device
) -> dict[str, float]:
    """Mean loss over held-out clips: over the trained times, and each of `bands` equal intervals.

    "another_picture" is the loss when the network is given another clip's picture and prior: if it
    is above "held_out", the network uses them; before training they are equal. Clips that are alone
    in their bucket do not count in it. "clean_error" is the squared error, in latents, of the clean
    video that the outputs mean: it compares runs of other parameterizations on the same process,
    whose losses are of other things.
    """
    scores: dict[str, float] = {}
    own, other, clean = [], [], []
    begin, end = task.times.min or 0.0, 1.0 if task.times.max is None else task.times.max
    first, last = time_limits(task.times)
    for band in range(bands):
        low, high = band / bands, (band + 1) / bands
        losses = []
        for batch in held_out.read(band, device):
            t = first + (last - first) * (low + batch.uniform / bands)
            error = task.error(network, batch, t).float().cpu()
            losses.append(error)
            clean.append(error * task.parameterization.scalings(t).out.square())
            if len(batch.rows) > 1:
                swapped = task.error(network, batch, t, replace_inputs=_of_another_clip)
                other.append(swapped.float().cpu())
        band_losses = torch.cat(losses)
        own.append(band_losses)
        low, high = (begin + (end - begin) * share for share in (low, high))
        scores[f"held_out_{low:.2f}_{high:.2f}"] = float(band_losses.mean())
    return {
        "held_out": float(torch.cat(own).mean()),
        **_mean_of("another_picture", other),
        **_mean_of("clean_error", clean),
        **scores,
    }


@torch.no_grad()
def score_distillation(
    task: DistillTraining, network: nn.Module, held_out: HeldOut, device: torch.device
) -> dict[str, float]:
    """Mean loss of a student over held-out clips.

    "first_state" is that of its answer where the path starts, which is all that one step makes.
    """
    errors = [task.errors(network, batch).cpu() for batch in held_out.read(0, device)]
    both = torch.cat(errors, 1)
    return {"held_out": float(both.mean()), "first_state": float(both[0].mean())}


@torch.no_grad()
def score_regression(
    task: PriorTraining, network: nn.Module, held_out: HeldOut, device: torch.device
) -> dict[str, float]:
    """Distance to held-out clips of the prediction and of the repeated picture.

    "gain" is 1 - (squared error of the prediction) / (squared error of the repeated picture), in
    latents; "another_picture" is as in `score_generation`.
    """
    parts: dict[str, list[Tensor]] = {name: [] for name in ("held_out", "another", "mse", "still")}
    for batch in held_out.read(0, device):
        predicted = network(batch.still, None, batch.condition).float()
        parts["held_out"].append(task.distance(predicted, batch.clean))
        if len(batch.rows) > 1:
            picture = _of_another_clip(batch.condition.image_latents)
            condition = replace(batch.condition, image_latents=picture)
            other = network(_of_another_clip(batch.still), None, condition).float()
            parts["another"].append(task.distance(other, batch.clean))
        parts["mse"].append(_squared(predicted, batch.clean))
        parts["still"].append(_squared(batch.still, batch.clean))
    another = _mean_of("another_picture", parts.pop("another"))
    means = {name: float(torch.cat(values).mean()) for name, values in parts.items()}
    return {
        "held_out": means["held_out"],
        **another,
        "latent_mse": means["mse"],
        "repeated_mse": means["still"],
        "gain": 1 - means["mse"] / max(1e-12, means["still"]),
    }


def _parts(rows: Tensor, batch_size: int) -> tuple[Tensor, ...]:
    """Rows (N,) in batches of at most `batch_size`, or one more where one row would be left."""
    wanted = -(-len(rows) // batch_size)
    return rows.tensor_split(max(1, min(wanted, len(rows) // 2)))


def _mean_of(name: str, losses: list[Tensor]) -> dict[str, float]:
    """The mean under its name, if there is any loss."""
    return {name: float(torch.cat(losses).mean())} if losses else {}


def _of_another_clip(shown: Tensor) -> Tensor:
    """Those of another clip, half a batch away: neighbours are often of the same video."""
    return shown.roll(len(shown) // 2, 0)


def _squared(guess: Tensor, truth: Tensor) -> Tensor:
    return (guess.float() - truth.float()).square().flatten(1).mean(1).cpu()
