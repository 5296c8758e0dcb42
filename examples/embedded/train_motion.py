"""Train the motion of the embedded model: first the neural prior, then the bridge on it.

    python -m examples.embedded.train_motion runs/motion --stage prior
    python -m examples.embedded.train_motion runs/motion --stage bridge

Scenes need no pixels: they are drawn anew for every batch. A run that is cut goes on from its
newest checkpoint when the same line is run again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from examples.embedded.scenes.bodies import Scene, draw_aspect, draw_scene, motions
from examples.training import fit_steps
from fbridge.backbones.space_time import SpaceTimeTransformer
from fbridge.codecs.render import CHANNELS
from fbridge.codecs.scenes.describe import DESCRIPTION, SLOTS, describe
from fbridge.config.tree import TrainConfig
from fbridge.denoiser import BridgeDenoiser
from fbridge.objective import bridge_loss, prior_loss
from fbridge.scheduler import FrameBridgeScheduler
from fbridge.train.events import Stepped
from fbridge.types import Condition

BATCH = 64
FRAMES = (12, 16, 16, 24)
UNUSED = 0.05
"""Size of a channel that no program moves."""
DROP_PICTURE = 0.03
SCHEDULER = {
    "schedule": {"kind": "gmax", "beta_0": 0.01, "beta_1": 2.0},
    "prediction": "clean",
    "sampler": "sde",
    "grid": "uniform",
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
    nothing = told.new_zeros(len(scenes), 1, 1)
    return Condition(nothing, torch.ones(len(scenes), 1, dtype=torch.bool), told)


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


class MotionLoss:
    """Draws the batch of a step by the step alone; without a prior to start from, regression."""

    def __init__(self, scale: list[list[float]], prior: nn.Module | None) -> None:
        self.unit, self.prior = torch.tensor(scale)[..., None], prior
        self.scheduler = FrameBridgeScheduler(**SCHEDULER)

    def batch(self, step: int) -> tuple[Tensor, Condition]:
        """Clean latents and condition, some without a description."""
        rng, draw = np.random.default_rng(step), torch.Generator().manual_seed(step)
        scenes = draw_scenes(rng, BATCH)
        frames = FRAMES[int(rng.integers(len(FRAMES)))]
        clean = motions(scenes, frames, rng).mT[..., None] / self.unit
        condition = condition_of(scenes, draw)
        without = torch.rand(BATCH, generator=draw) < DROP_PICTURE
        return clean, Condition(
            condition.prompt_embeds,
            condition.prompt_mask,
            condition.image_latents * ~without[:, None, None, None],
        )

    def __call__(self, net: nn.Module, step: int) -> Tensor:
        """Loss of each motion of one batch."""
        clean, condition = self.batch(step)
        still = torch.zeros_like(clean)
        if self.prior is None:
            return prior_loss(net(still, None, condition), clean)
        with torch.no_grad():
            start = self.prior(still, None, condition).float()
        t = 0.001 + 0.998 * torch.rand(len(clean), dtype=torch.float64)
        return bridge_loss(
            BridgeDenoiser(net, self.scheduler.parameterization),
            self.scheduler.process,
            clean,
            start,
            t,
            torch.randn_like(clean),
            condition,
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
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    scale = usual_sizes()
    numbers = {"scale": scale, "scheduler": SCHEDULER, "frames": [32, 2, 96, 1], "fps": 16.0}
    args.run.mkdir(parents=True, exist_ok=True)
    (args.run / "numbers.json").write_text(json.dumps(numbers, indent=1), encoding="utf-8")
    prior = None
    if args.stage == "bridge":
        prior = SpaceTimeTransformer.from_pretrained(args.run / "prior").eval()
    torch.manual_seed(args.seed)
    net = network(timed=prior is not None)
    config = TrainConfig(
        steps=args.steps,
        lr=1e-3,
        warmup=100,
        lr_schedule="cosine",
        betas=(0.9, 0.99),
        weight_decay=0.01,
        precision=args.precision,
        checkpoint_every=250,
    )
    loss = MotionLoss(scale, prior)
    folder = args.run / f"run-{args.stage}"
    for event in fit_steps(net, loss, config, folder, decay=0.998, device="cpu"):
        if isinstance(event, Stepped):
            print(f"{event.step} {event.loss:.4f} {event.seconds:.2f} s/step", flush=True)
    net.save_pretrained(args.run / ("transformer" if prior is not None else "prior"))


if __name__ == "__main__":
    main()
