"""Compare the embedded model's bridge with its prior, on scenes that training never drew.

    python -m benchmarks.embedded --scenes 256

The truth of a scene is one motion, drawn from those that its deeds allow. Errors are root mean
squares over all motion channels, in normalised latents. With a calibrated sampler the spread
between samples is as large as the prior's own error, and a sample's error is sqrt(2) times that.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict

import numpy as np
import torch
from torch import Tensor

from examples.embedded.scenes.bodies import Scene, draw_aspect, draw_scene, motions
from examples.embedded.train_motion import condition_of
from fbridge.codecs.render import ANGLE
from fbridge.denoiser import BridgeDenoiser
from fbridge.loaders.locate import locate_model
from fbridge.pipeline.plain import PlainPipeline
from fbridge.sampling import build_sampler, seeded_noise, time_grid
from fbridge.types import Condition

FRAMES, BEST_OF, BATCH = 16, 8, 32
UNSEEN_SEED = 1_000_000
SPUN = 0.5
"""Least turn in radians that is a spin."""


def samples(pipe: PlainPipeline, prior: Tensor, condition: Condition, seed: int) -> Tensor:
    """One bridge sample for each row."""
    process, config = pipe.scheduler.process, pipe.scheduler.config
    with torch.no_grad():
        return build_sampler(config.sampler).sample(
            BridgeDenoiser(pipe.backbone, pipe.scheduler.parameterization),
            process,
            prior,
            time_grid(config.steps, kind=config.grid, process=process),
            condition,
            noise=seeded_noise([seed * 100_003 + row for row in range(len(prior))]),
            start=config.start,
        )


def rms(x: Tensor) -> Tensor:
    """(B,) root mean square of (B, ...)."""
    return x.square().flatten(1).mean(1).sqrt()


def measure(
    pipe: PlainPipeline, scenes: list[Scene], seed: int, found: dict[str, list[Tensor]]
) -> None:
    """Add the errors and the spins of some scenes of one aspect."""
    condition, unit = condition_of(scenes), pipe.components["codec"].unit
    truth, other = (
        motions(scenes, FRAMES, np.random.default_rng([seed, k])).mT[..., None] / unit
        for k in range(2)
    )
    with torch.no_grad():
        prior = pipe.components["prior"](torch.zeros_like(truth), None, condition)
    drawn = torch.stack([samples(pipe, prior, condition, number) for number in range(BEST_OF)])
    each = torch.stack([rms(sample - truth) for sample in drawn])
    found["still"].append(rms(truth))
    found["prior"].append(rms(prior - truth))
    found["bridge, one sample"].append(each[0])
    found["another true motion"].append(rms(other - truth))
    found[f"bridge, best of {BEST_OF}"].append(each.min(0).values)
    found["bridge, mean of samples"].append(rms(drawn.mean(0) - truth))
    found["bridge, spread"].append(drawn.std(0).square().flatten(1).mean(1).sqrt())
    turns = (drawn * unit)[:, :, :, ANGLE, :, 0]  # (S, B, F, 3)
    for row, scene in enumerate(scenes):
        for slot, deed in enumerate(scene.deeds):
            if deed == ("spin", 1.0):
                found["turns"].append(turns[:, row, -1, slot])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--scenes", type=int, default=256)
    args = parser.parse_args()
    pipe = PlainPipeline(locate_model(args.model))
    found: dict[str, list[Tensor]] = defaultdict(list)
    for seed in range(UNSEEN_SEED, UNSEEN_SEED + math.ceil(args.scenes / BATCH)):
        rng = np.random.default_rng(seed)
        cells = draw_aspect(rng)
        measure(pipe, [draw_scene(rng, cells) for _ in range(BATCH)], seed, found)
    turns = torch.stack(found.pop("turns"))
    errors = {name: torch.cat(rows).square().mean().sqrt() for name, rows in found.items()}
    for name, error in errors.items():
        print(f"{name:24} {error:.4f}")
    print(f"spread / prior's error   {errors['bridge, spread'] / errors['prior']:.2f}")
    spun = turns.abs() >= SPUN
    both = (turns >= SPUN).any(1) & (turns <= -SPUN).any(1)
    print(f"spins that turn          {spun.float().mean():.2f} of {turns.numel()} samples")
    print(f"spins both ways          {both.float().mean():.2f} of {len(turns)} scenes")


if __name__ == "__main__":
    main()
