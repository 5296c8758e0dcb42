"""Compare the embedded model's bridge with its prior, on composed scenes of held-out pictures.

    python -m benchmarks.embedded scenes/ --scenes 256 [--fvd]

`scenes/` holds shards written by `examples/embedded/compose.py --held-out`. The truth of a scene is
one motion, drawn from those that its caption allows. Errors are root mean squares over all motion
channels, in normalised latents. With a calibrated sampler the spread between samples is as large as
the prior's own error, and a sample's error is sqrt(2) times the prior's. FVD compares clips of 16
frames at 128 pixels, rendered from the same layers.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from examples.embedded.scenes.shards import Shard
from fbridge.codecs import View
from fbridge.codecs.motion import MotionScene, describe
from fbridge.denoiser import BridgeDenoiser
from fbridge.evaluation.distances.frechet import frechet_distance
from fbridge.evaluation.networks.i3d.network import load_i3d
from fbridge.pipeline import FrameBridgePipeline
from fbridge.sampling import build_sampler, seeded_noise, time_grid
from fbridge.types import Condition

FRAMES, BEST_OF = 16, 8


def samples(pipe: FrameBridgePipeline, prior: Tensor, condition: Condition, seed: int) -> Tensor:
    """One bridge sample for each row."""
    process, config = pipe.scheduler.process, pipe.scheduler.config
    with torch.no_grad():
        return build_sampler(config.sampler).sample(
            BridgeDenoiser(pipe.transformer, pipe.scheduler.parameterization),
            process,
            prior,
            time_grid(config.steps, kind=config.grid, process=process),
            condition,
            noise=seeded_noise([seed * 100_003 + row for row in range(len(prior))]),
        )


def rms(x: Tensor) -> Tensor:
    """(B,) root mean square of (B, ...)."""
    return x.square().flatten(1).mean(1).sqrt()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("scenes", type=Path)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--scenes", dest="count", type=int, default=256)
    parser.add_argument("--fvd", action="store_true")
    args = parser.parse_args()
    pipe = FrameBridgePipeline.from_pretrained(args.model)
    net = load_i3d() if args.fvd else None
    errors: dict[str, list[Tensor]] = defaultdict(list)
    features: dict[str, list[Tensor]] = defaultdict(list)
    left = args.count
    for path in sorted(args.scenes.glob("held-*.safetensors")):
        if left <= 0:
            break
        shard = Shard(path)
        rows = torch.arange(min(len(shard), left))
        left -= len(rows)
        for part in rows.split(32):
            measure(pipe, shard, part, errors, features, net)
    print(f"{len(torch.cat(errors['still']))} scenes with held-out objects and backgrounds")
    for name, values in errors.items():
        print(f"{name:24} {torch.cat(values).square().mean().sqrt():.4f}")
    for name in features:
        if name != "truth":
            distance = frechet_distance(torch.cat(features["truth"]), torch.cat(features[name]))
            print(f"FVD {name:20} {distance:.1f}")


def measure(
    pipe: FrameBridgePipeline,
    shard: Shard,
    rows: Tensor,
    errors: dict[str, list[Tensor]],
    features: dict[str, list[Tensor]],
    net: torch.nn.Module | None,
) -> None:
    """Add some scenes' errors and features."""
    picture = shard.pixels("picture", rows)
    masks = shard.pixels("masks", rows)
    condition = Condition(*shard.text(rows), describe(masks, picture))
    draw = [np.random.default_rng(int(rows[0]) + k) for k in range(2)]
    truth, other = (pipe.codec.latents(shard.motions(rows, FRAMES, rng)) for rng in draw)
    with torch.no_grad():
        prior = pipe.prior(torch.zeros_like(truth), None, condition)
    drawn = torch.stack([samples(pipe, prior, condition, seed) for seed in range(BEST_OF)])
    each = torch.stack([rms(sample - truth) for sample in drawn])
    errors["still"].append(rms(truth))
    errors["prior"].append(rms(prior - truth))
    errors["bridge, one sample"].append(each[0])
    errors["ideal, one sample"].append(rms(other - truth))
    errors[f"bridge, best of {BEST_OF}"].append(each.min(0).values)
    errors["bridge, mean of samples"].append(rms(drawn.mean(0) - truth))
    errors["bridge, spread"].append(drawn.std(0).square().flatten(1).mean(1).sqrt())
    if net is None:
        return
    scenes = tuple(map(MotionScene, picture, masks))
    view = View(condition.image_latents, None, scenes)
    kinds = {"truth": truth, "ideal": other, "bridge": drawn[0], "prior": prior,
             "still picture": torch.zeros_like(truth)}  # fmt: skip
    for name, latents in kinds.items():
        for video in pipe.codec.decode(latents, view):
            frames = (video * 255).round().to(torch.uint8).permute(0, 2, 3, 1)[None]
            features[name].append(net.features(frames))  # type: ignore[operator]


if __name__ == "__main__":
    main()
