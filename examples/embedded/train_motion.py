"""Train the motion of the embedded model: first the neural prior, then the bridge on it.

    python -m examples.embedded.train_motion scenes/ runs/motion --stage prior
    python -m examples.embedded.train_motion scenes/ runs/motion --stage bridge

Motions are drawn anew for every batch. The description of the picture is computed from the
true masks, blurred and jittered, so that estimated masks stay within the training distribution.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from examples.embedded.scenes.shards import Shard
from examples.training import fit_steps
from fbridge.backbones.space_time import SpaceTimeTransformer
from fbridge.codecs.motion import CHANNELS, DESCRIPTION, SLOTS, MotionCodec, describe
from fbridge.config.tree import TrainConfig
from fbridge.denoiser import BridgeDenoiser
from fbridge.loaders.text_encoder import load_text_encoder
from fbridge.objective import bridge_loss, prior_loss
from fbridge.scheduler import FrameBridgeScheduler
from fbridge.train.events import Stepped
from fbridge.types import Condition

BATCH = 64
FRAMES = (12, 16, 16, 24)
UNUSED = 0.05
"""Size of a channel that no composed clip moves."""
DROP_TEXT, DROP_PICTURE = 0.1, 0.03
SCHEDULER = {
    "schedule": {"kind": "gmax", "beta_0": 0.01, "beta_1": 2.0},
    "prediction": "clean",
    "sampler": "sde",
    "grid": "uniform",
    "steps": 16,
}


def describe_loosely(shard: Shard, rows: Tensor, draw: torch.Generator) -> Tensor:
    """(N, 20, 3, 1) descriptions as imperfect masks would give them."""
    masks = shard.pixels("masks", rows)
    unnamed = ~shard.supervise(rows) & (torch.rand(len(rows), generator=draw) < 0.5)
    masks = avg_pool2d(masks, 5, 1, 2) * ~unnamed[:, None, None, None]
    out = describe(masks, shard.pixels("picture", rows))
    jitter = torch.randn(out.shape, generator=draw)
    jitter[:, 11:14] = 0
    return out + 0.03 * jitter * (out.abs() > 0)


def usual_sizes(shards: list[Shard]) -> list[list[float]]:
    """(26, 3) root mean square of each channel where it moves: objects together, camera apart."""
    rng = np.random.default_rng(0)
    motion = torch.cat([s.motions(torch.arange(len(s)), 16, rng) for s in shards])
    sizes = torch.ones(CHANNELS, SLOTS)
    for slots in ([0, 1], [2]):
        some = motion[:, :, slots].transpose(1, 2).flatten(0, 1)
        moves = some.abs().amax(1) > 1e-6
        total = (some.square().mean(1) * moves).sum(0) / moves.sum(0).clamp_min(1)
        sizes[:, slots] = torch.where(moves.any(0), total.sqrt(), UNUSED)[:, None]
    return sizes.tolist()


class MotionLoss:
    """Draws the batch of a step by the step alone; without a prior to start from, regression."""

    def __init__(self, shards: list[Shard], codec: MotionCodec, prior: nn.Module | None) -> None:
        self.shards, self.codec, self.prior = shards, codec, prior
        self.scheduler = FrameBridgeScheduler(**SCHEDULER)
        self.empty = load_text_encoder()([""])

    def batch(self, step: int) -> tuple[Tensor, Condition]:
        """Clean latents and condition, some without prompt or picture."""
        draw = torch.Generator().manual_seed(step)
        shard = self.shards[int(torch.randint(len(self.shards), (1,), generator=draw))]
        rows = torch.randperm(len(shard), generator=draw)[:BATCH]
        frames = FRAMES[int(torch.randint(len(FRAMES), (1,), generator=draw))]
        clean = self.codec.latents(shard.motions(rows, frames, np.random.default_rng(step)))
        text, mask = (part.clone() for part in shard.text(rows))
        empty = torch.rand(len(rows), generator=draw) < DROP_TEXT
        length = self.empty[0].shape[1]
        text[empty, :length] = self.empty[0]
        mask[empty] = torch.arange(mask.shape[1]) < length
        without = torch.rand(len(rows), generator=draw) < DROP_PICTURE
        picture = describe_loosely(shard, rows, draw) * ~without[:, None, None, None]
        return clean, Condition(text, mask, picture)

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
        CHANNELS, SLOTS, 1, DESCRIPTION, dim=192, depth=4, heads=4, timed=timed
    )


def main() -> None:
    """Train one stage and keep its averaged weights."""
    parser = argparse.ArgumentParser()
    parser.add_argument("scenes", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--stage", choices=("prior", "bridge"), required=True)
    parser.add_argument("--steps", type=int, default=1500)
    args = parser.parse_args()
    shards = [Shard(path) for path in sorted(args.scenes.glob("train-*.safetensors"))]
    scale = usual_sizes(shards[:8])
    numbers = {"scale": scale, "scheduler": SCHEDULER, "frames": [32, 2, 96, 1], "fps": 16.0}
    args.run.mkdir(parents=True, exist_ok=True)
    (args.run / "numbers.json").write_text(json.dumps(numbers, indent=1), encoding="utf-8")
    codec = MotionCodec(scale=scale)
    prior = None
    if args.stage == "bridge":
        prior = SpaceTimeTransformer.from_pretrained(args.run / "prior").eval()
    torch.manual_seed(0)
    net = network(timed=prior is not None)
    config = TrainConfig(
        steps=args.steps,
        lr=8e-4,
        warmup=200,
        lr_schedule="cosine",
        betas=(0.9, 0.99),
        weight_decay=0.01,
        precision="bf16",
        checkpoint_every=250,
    )
    loss = MotionLoss(shards, codec, prior)
    folder = args.run / f"run-{args.stage}"
    for event in fit_steps(net, loss, config, folder, decay=0.998, device="cpu"):
        if isinstance(event, Stepped):
            print(f"{event.step} {event.loss:.4f} {event.seconds:.2f} s/step", flush=True)
    net.save_pretrained(args.run / ("transformer" if prior is not None else "prior"))


if __name__ == "__main__":
    main()
