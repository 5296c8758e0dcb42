"""Train the estimator of the motion codec on composed clips, where the truth is known.

python examples/embedded/train_estimator.py scenes/ runs/motion runs/estimator --steps 1200
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from fbridge.codecs.estimator import SIDE
from fbridge.codecs.matting import resize
from fbridge.codecs.motion import MotionCodec, describe
from fbridge.codecs.render import build_stack, render
from fbridge.data.synthetic.shards import Shard
from fbridge.train.loop import FitConfig, Losses, fit

BATCH = 16
FRAMES = (8, 12, 16)


def clips(shard: Shard, rows: Tensor, motions: Tensor) -> Tensor:
    """(N, F, 3, SIDE, SIDE) the clips that true layers make under motions (N, F, 3, 26)."""
    height, width = shard.pixels("picture", rows[:1]).shape[2:]
    size = (height // 2, width // 2)
    parts = [resize(shard.pixels(name, rows), size) for name in ("picture", "masks", "background")]
    videos = [
        render(build_stack(picture, masks, fill), motion)
        for picture, masks, fill, motion in zip(*parts, motions, strict=True)
    ]
    return torch.stack([resize(video, (SIDE, SIDE)) for video in videos])


class EstimatorLoss:
    """Error of the estimated latents on the clips of a step."""

    def __init__(self, shards: list[Shard], codec: MotionCodec) -> None:
        self.shards, self.codec = shards, codec

    def __call__(self, net: nn.Module, step: int) -> Losses:
        """Mean squared and absolute error, in usual sizes."""
        draw = torch.Generator().manual_seed(step)
        shard = self.shards[int(torch.randint(len(self.shards), (1,), generator=draw))]
        rows = torch.randperm(len(shard), generator=draw)[:BATCH]
        frames = FRAMES[int(torch.randint(len(FRAMES), (1,), generator=draw))]
        motions = shard.motions(rows, frames, np.random.default_rng(step))
        picture, masks = shard.pixels("picture", rows), shard.pixels("masks", rows)
        with torch.no_grad():
            video = clips(shard, rows, motions)
        square = (SIDE, SIDE)
        guess = net(video, resize(picture, square), resize(masks, square), describe(masks, picture))
        error = guess.float() - self.codec.latents(motions)
        still = self.codec.latents(motions).square().mean()
        square_error, absolute = error.square().mean(), error.abs().mean()
        return {"total": square_error + absolute, "mse": square_error, "still": still}


def main() -> None:
    """Train and keep the averaged weights."""
    parser = argparse.ArgumentParser()
    parser.add_argument("scenes", type=Path)
    parser.add_argument("motion", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--steps", type=int, default=1200)
    args = parser.parse_args()
    numbers = json.loads((args.motion / "numbers.json").read_text(encoding="utf-8"))
    torch.manual_seed(0)
    codec = MotionCodec(scale=numbers["scale"])
    shards = [Shard(path) for path in sorted(args.scenes.glob("train-*.safetensors"))]
    config = FitConfig(steps=args.steps, lr=1e-3, ema=0.998, checkpoint_every=250)
    for report in fit(codec.estimator, EstimatorLoss(shards, codec), config, args.run):
        losses = " ".join(f"{name} {value:.4f}" for name, value in report.losses.items())
        print(f"{report.step} {losses} {report.seconds_per_step:.2f} s/step", flush=True)
    save_file(codec.estimator.state_dict(), args.run / "estimator.safetensors")


if __name__ == "__main__":
    main()
