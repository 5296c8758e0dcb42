"""Train the motion of the embedded model: first the neural prior, then the bridge on it.

    python -m examples.embedded.train_motion runs/motion --stage prior
    python -m examples.embedded.train_motion runs/motion --stage bridge

Scenes need no pixels: they are drawn anew for every batch. A run that is cut goes on from its
newest checkpoint when the same line is run again. A GPU is used where there is one.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from examples.embedded.scenes.bodies import Scene, draw_aspect, draw_scene, motions
from examples.embedded.scenes.mirror import mirrored, mirrored_description
from examples.training import fit_steps
from fbridge.backbones.space_time import SpaceTimeTransformer
from fbridge.codecs.render import CHANNELS
from fbridge.codecs.scenes.describe import DESCRIPTION, SLOTS, describe
from fbridge.config.tree import TrainConfig
from fbridge.denoiser import BridgeDenoiser
from fbridge.scheduler import FrameBridgeScheduler
from fbridge.train.events import Stepped
from fbridge.types import Condition

TOKENS = 1024
"""Frames of a batch: scenes times frames of each."""
FRAMES = (16, 24, 32, 48)
"""A video has 32 by default; 16 still hold the four periods of a shake, and cost half."""
AVERAGED = 6
"""Motions of a scene whose mean the prior is fitted to: the minimum of one, with less noise."""
UNUSED = 0.05
"""Size of a channel that no program moves."""
LEAST_ENERGY = 0.002
"""Mean square of a verb's latents below which its weight grows no more."""
TYPICAL = 0.2
"""Root of the median of the verbs' mean squares, whose weight is 1."""
MOST_OF_TIME = 16.0
NEAR_PRIOR = 1.5
"""Power above 1: more times near the prior, where it is decided which way a motion goes."""
ONE_SIDED = ("shake",)
"""Verbs whose programs always begin to one side, and so are not mirrored: the mean of a tremble and
its mirror image is stillness."""
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
DROP_PICTURE = 0.03
SCHEDULER = {
    "schedule": {"kind": "gmax", "beta_0": 0.01, "beta_1": 2.0},
    "prediction": "clean",
    "sampler": "dbim2",
    "grid": "logsnr",
    "steps": 16,
}


def draw_scenes(rng: np.random.Generator, count: int) -> list[Scene]:
    """Scenes of one aspect."""
    cells = draw_aspect(rng)
    return [draw_scene(rng, cells) for _ in range(count)]


def condition_of(scenes: list[Scene], jitter: torch.Generator | None = None) -> Condition:
    """What the networks are given; with `jitter` as imperfect masks would give it."""
    masks = torch.from_numpy(np.stack([scene.masks for scene in scenes]))
    told = describe(masks, [scene.deeds for scene in scenes])
    if jitter is not None:
        noise = torch.randn(told[:, :9].shape, generator=jitter)
        told[:, :9] += 0.03 * noise * (told[:, :9].abs() > 0)
    return condition_told(told)


def condition_told(told: Tensor) -> Condition:
    """What the networks are given of descriptions (N, 48, 3, 1), which words have become."""
    words = torch.ones(len(told), 1, dtype=torch.bool, device=told.device)
    return Condition(told.new_zeros(len(told), 1, 1), words, told)


def usual_sizes() -> list[list[float]]:
    """(26, 3) root mean square of each channel where it moves: objects together, camera apart."""
    rng = np.random.default_rng(0)
    motion = torch.cat([motions(draw_scenes(rng, 64), 16, rng) for _ in range(32)])
    sizes = torch.ones(CHANNELS, SLOTS)
    for slots in ([0, 1], [2]):
        some = motion[:, :, slots].transpose(1, 2).flatten(0, 1)
        moves = some.abs().amax(1) > 1e-6
        total = (some.square().mean(1) * moves).sum(0) / moves.sum(0).clamp_min(1)
        sizes[:, slots] = torch.where(moves.any(0), total.sqrt(), UNUSED)[:, None]
    return sizes.tolist()


def verb_weights(scale: list[list[float]]) -> dict[str | None, float]:
    """Weights of the verbs in the losses: one over the mean square of their latents.

    Latents of a shake are a tenth of a spin's. As weights depend on what a network is told alone,
    what is best for each verb by itself is best for the weighted sum as well. Slots that stand
    still weigh 1, about what the others weigh on average.
    """
    rng = np.random.default_rng(1)
    squares: dict[str, list[float]] = {}
    for _ in range(32):
        scenes = draw_scenes(rng, 64)
        latents = motions(scenes, 16, rng) / torch.tensor(scale).mT
        energies = latents.square().mean((1, 3)).tolist()
        for scene, row in zip(scenes, energies, strict=True):
            for deed, energy in zip(scene.deeds, row, strict=True):
                if deed is not None:
                    squares.setdefault(deed[0], []).append(energy)
    means = {verb: float(np.mean(found)) for verb, found in squares.items()}
    usual = float(np.median([mean for mean in means.values() if mean > 0]))
    weights: dict[str | None, float] = {
        verb: usual / max(mean, LEAST_ENERGY) if mean > 0 else 1.0 for verb, mean in means.items()
    }
    return {None: 1.0, **weights}


class MotionBatches:
    """Batches of motions; seed and step alone decide each.

    Args:
        scale: (3, 26) of a slot's channels, by which motions are divided.
        seed: of all batches.
        averaged: motions of a scene whose mean is the clean one.
    """

    def __init__(self, scale: list[list[float]], seed: int = 0, averaged: int = 1) -> None:
        self.unit, self.seed, self.averaged = torch.tensor(scale)[..., None], seed, averaged
        self.weights = verb_weights(scale)

    def __call__(self, step: int) -> tuple[Tensor, Condition, Tensor]:
        """Clean latents, condition, some without a description, and weights (B, 1, 1, 3, 1).

        The second half of a batch mirrors the first, so that no direction is ever learnt as the
        likelier one: near the prior a bias decides which way a whole motion goes.
        """
        rng = np.random.default_rng([self.seed, step])
        draw = torch.Generator().manual_seed(int(rng.integers(2**62)))
        frames = FRAMES[int(rng.integers(len(FRAMES)))]
        scenes = draw_scenes(rng, TOKENS // frames // 2)
        drawn = [motions(scenes, frames, rng) for _ in range(self.averaged)]
        motion = torch.stack(drawn).mean(0)
        verbs = [[deed and deed[0] for deed in scene.deeds] for scene in scenes]
        flips = ~torch.tensor([[verb in ONE_SIDED for verb in row] for row in verbs])
        flipped = torch.where(flips[:, None, :, None], mirrored(motion), motion)
        clean = torch.cat([motion, flipped]).mT[..., None] / self.unit
        told = condition_of(scenes, draw).image_latents
        told = told * (torch.rand(len(told), 1, 1, 1, generator=draw) >= DROP_PICTURE)
        weights = torch.tensor([[self.weights[verb] for verb in row] for row in verbs * 2])
        condition = condition_told(torch.cat([told, mirrored_description(told)]).to(DEVICE))
        return clean.to(DEVICE), condition, weights[:, None, None, :, None].to(DEVICE)


class MotionLoss:
    """Of each motion of a step's batch; without a prior to start from, regression."""

    def __init__(self, scale: list[list[float]], prior: nn.Module | None, seed: int = 0) -> None:
        self.prior = prior
        self.batch = MotionBatches(scale, seed, 1 if prior else AVERAGED)
        self.scheduler = FrameBridgeScheduler(**SCHEDULER)

    def __call__(self, net: nn.Module, step: int) -> Tensor:
        """Loss of each motion of one batch."""
        clean, condition, weights = self.batch(step)
        still = torch.zeros_like(clean)
        if self.prior is None:
            guess = net(still, None, condition)
        else:
            with torch.no_grad():
                start = self.prior(still, None, condition).float()
            t = 0.999 - 0.998 * torch.rand(len(clean) // 2, dtype=torch.float64) ** NEAR_PRIOR
            t = torch.cat([t, t])
            noise = torch.randn_like(clean[::2])
            noise = torch.cat([noise, mirrored(noise[..., 0].mT).mT[..., None]])
            noisy = self.scheduler.process.sample(clean, start, t, noise)
            denoiser = BridgeDenoiser(net, self.scheduler.parameterization)
            guess = denoiser(noisy, t, start, condition)
            weights = weights + self._time_weights(t).to(clean)[:, None, None, None, None]
        return (weights * (guess.float() - clean).square()).flatten(1).mean(1)

    def _time_weights(self, t: Tensor) -> Tensor:
        """(B,) what to add to a verb's weight: of a Gaussian, the inverse variance is the sum."""
        clear = TYPICAL * self.scheduler.process.signal_to_noise(t)
        return clear.square().clamp_max(MOST_OF_TIME)


def train_config(
    steps: int, *, lr: float = 1e-3, precision: Literal["fp32", "bf16", "fp16"] = "fp32"
) -> TrainConfig:
    """How a network of motions is trained."""
    return TrainConfig(
        steps=steps,
        lr=lr,
        warmup=50,
        lr_schedule="cosine",
        betas=(0.9, 0.99),
        weight_decay=0.01,
        precision=precision,
        checkpoint_every=250,
        spike=100,  # a batch with one rare motion costs 30 times the usual, and does no harm
    )


def network(*, timed: bool) -> SpaceTimeTransformer:
    """Bridge backbone or, untimed, neural prior."""
    return SpaceTimeTransformer(
        CHANNELS, SLOTS, 1, DESCRIPTION, dim=128, depth=4, heads=4, text_width=0, timed=timed
    )


def main() -> None:
    """Train one stage and keep its averaged weights."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("--stage", choices=("prior", "bridge"), required=True)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--begin", type=Path, help="folder of trained weights to go on from")
    args = parser.parse_args()
    scale = usual_sizes()
    numbers = {"scale": scale, "scheduler": SCHEDULER, "frames": [32, 2, 96, 1], "fps": 16.0}
    args.run.mkdir(parents=True, exist_ok=True)
    (args.run / "numbers.json").write_text(json.dumps(numbers, indent=1), encoding="utf-8")
    prior = None
    if args.stage == "bridge":
        prior = SpaceTimeTransformer.from_pretrained(args.run / "prior").eval().to(DEVICE)
    torch.manual_seed(args.seed)
    net = network(timed=prior is not None)
    if args.begin is not None:
        net = SpaceTimeTransformer.from_pretrained(args.begin)
    config = train_config(args.steps, lr=args.lr, precision=args.precision)
    loss = MotionLoss(scale, prior, args.seed)
    folder = args.run / f"run-{args.stage}"
    for event in fit_steps(
        net, loss, config, folder, decay=0.995, device="auto" if DEVICE == "cuda" else "cpu"
    ):
        if isinstance(event, Stepped):
            print(f"{event.step} {event.loss:.4f} {event.seconds:.2f} s/step", flush=True)
    net.save_pretrained(args.run / ("transformer" if prior is not None else "prior"))


if __name__ == "__main__":
    main()
