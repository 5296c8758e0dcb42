"""Time of a training step, compared with the bare step of its network.

    python benchmarks/train.py [--steps 12] [--rounds 5] [--batch-size 16] [--width 192]

Our step is that of `fbridge.train.loop.fit`, set up by `fbridge finetune --base scratch:...`: the
data set is read from the disk through the loader, noise and times are drawn, the bridge starts at
the repeated picture, the loss is weighted, gradients are clipped, loss and norm are checked, the
weights are averaged and every tenth step is reported; validation and saving are not counted. The
bare step is forward, mean squared error, backward and fused AdamW with the same network and the
clips of one batch. Both alternate in one process, and the medians over the rounds are printed.

The data are drawn here: 128 clips of 8 frames of 64x64, made latents (8, 8, 8, 8) by `fbridge
prepare` with a small random `AutoencoderTiny`. The network, from scratch, has 4 blocks; 3.9 M
parameters at width 192. Run nothing else at the same time.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from diffusers import AutoencoderTiny
from torch.nn import functional as F

from fbridge.backbones import scratch
from fbridge.config.tree import Config
from fbridge.data.shapes import FRAMES, SIZE, write_clips
from fbridge.data.video.buckets import Bucket
from fbridge.data.video.clip_sampling import ClipSampling
from fbridge.prepare import PrepareRequest, prepare
from fbridge.train.events import Stepped
from fbridge.train.loop import fit
from fbridge.train.setup.session import Session, build_session
from fbridge.train.training import Training

CLIPS = 128
LIMIT, WAITING = 1.05, 0.02
"""Upper limits of the ratio of both steps, and of the share of waiting for data."""


class Round(NamedTuple):
    """Seconds a step, ours and bare, and the share of ours spent waiting for data."""

    ours: float
    bare: float
    waited: float


def make_data(folder: Path) -> Path:
    """Draw clips and prepare them."""
    torch.manual_seed(0)
    channels = (16, 16, 16, 16)
    vae = AutoencoderTiny(
        encoder_block_out_channels=channels,
        decoder_block_out_channels=channels,
        num_encoder_blocks=(1, 1, 1, 1),
        num_decoder_blocks=(1, 1, 1, 1),
        latent_channels=8,
    )
    vae.save_pretrained(folder / "codec")
    write_clips(folder / "clips", CLIPS, seed=0)
    cutting = ClipSampling((Bucket(SIZE, SIZE, FRAMES),))
    options = PrepareRequest(
        folder / "clips", folder / "latents", cutting, codec=str(folder / "codec"), batch_size=16
    )
    for _ in prepare(options):
        pass
    return folder / "latents"


def build(folder: Path, args: argparse.Namespace) -> Session:
    """The session that is timed."""
    scratch.PRESETS["timed"] = scratch.Preset(args.width, 4, 4, 2)
    config = Config.model_validate(
        {
            "base": "scratch:timed",
            "data": str(make_data(folder)),
            "train": {"steps": args.steps, "batch_size": args.batch_size, "workers": args.workers},
            "validation": {"rows": 0},
            "log": {"trackers": []},
        }
    )
    return build_session("finetune", config, folder / "run", device="cpu")


class Clocked:
    """Batches, with the times of the requests and the seconds until each arrived."""

    def __init__(self, batches: Iterator[Any]) -> None:
        self._batches = batches
        self.asked: list[float] = []
        self.waits: list[float] = []

    def __iter__(self) -> Clocked:
        return self

    def __next__(self) -> Any:
        """The next batch, with its times recorded."""
        self.asked.append(time.perf_counter())
        batch = next(self._batches)
        self.waits.append(time.perf_counter() - self.asked[-1])
        return batch


def our_seconds(training: Training) -> tuple[float, float]:
    """Seconds a step of the loop, and of those the ones spent waiting for data.

    The first step, in which the reading process starts, is left out.
    """
    batches = Clocked(iter(training.loader(0)))
    steps = training.config.steps
    events = fit(replace(training, loader=lambda _: batches))
    for event in events:
        if isinstance(event, Stepped) and event.step == steps:
            break
    spent = time.perf_counter() - batches.asked[1]
    events.close()  # type: ignore[attr-defined]
    return spent / (steps - 1), sum(batches.waits[1:]) / (steps - 1)


def bare_seconds(session: Session, optimizer: torch.optim.Optimizer, batch: Any) -> float:
    """Seconds a step of the network alone."""
    network, steps = session.training.network, session.training.config.steps
    times = torch.full((len(batch.rows),), 0.5)
    began = 0.0
    for step in range(steps):
        if step == 1:
            began = time.perf_counter()
        output = network(batch.noise, times, batch.condition, batch.still)
        F.mse_loss(output, batch.clean).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return (time.perf_counter() - began) / (steps - 1)


def measure(session: Session, rounds: int) -> list[Round]:
    """Time both in alternation."""
    training = session.training
    optimizer = torch.optim.AdamW(training.network.parameters(), lr=1e-6, fused=True)
    batch = next(iter(training.loader(0)))
    bare_seconds(session, optimizer, batch)
    found = []
    for _ in range(rounds):
        before = bare_seconds(session, optimizer, batch)
        ours, waited = our_seconds(training)
        after = bare_seconds(session, optimizer, batch)
        found.append(Round(ours, (before + after) / 2, waited / ours))
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--workers", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        session = build(Path(folder), args)
        rounds = measure(session, args.rounds)
    size = sum(p.numel() for p in session.training.network.parameters())
    ours, bare, waited = (statistics.median(column) for column in zip(*rounds, strict=True))
    ratios = [own.ours / own.bare for own in rounds]
    print(
        f"network of {size / 1e6:.1f} M parameters, batch {args.batch_size}, "
        f"{torch.get_num_threads()} threads"
    )
    print(f"our step {1000 * ours:.1f} ms, bare step {1000 * bare:.1f} ms")
    print(
        f"ratio {statistics.median(ratios):.3f} (at most {LIMIT}), "
        f"rounds {min(ratios):.3f} to {max(ratios):.3f}"
    )
    print(f"waiting for data {waited:.2%} (under {WAITING:.0%})")


if __name__ == "__main__":
    main()
