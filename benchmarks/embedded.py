"""Compare the embedded model's bridge with its prior, on scenes that training never drew.

    python -m benchmarks.embedded --scenes 256

The truth of a scene is one motion, drawn from those that its deeds allow. Errors are root mean
squares over all motion channels, in normalised latents. With a calibrated sampler the spread
between samples is as large as the prior's own error, and a sample's error is sqrt(2) times that.

The Fréchet distances are between the motions of all scenes, by the ends and the extents of their
main channels. The table of verbs gives the extent of what prior and bridge do, as a share of the
truth's, and how often the channel that moves most turns back: a verb that is lost is near zero.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from benchmarks.judge.verdicts import reversals
from examples.embedded.scenes.bodies import Scene, draw_aspect, draw_scene, motions
from examples.embedded.scenes.motions import OBJECT_PROGRAMS
from examples.embedded.train_motion import condition_of
from fbridge.codecs.render import ANGLE
from fbridge.codecs.scenes.describe import OBJECTS, VERBS
from fbridge.denoiser import BridgeDenoiser
from fbridge.evaluation.distances.frechet import frechet_distance
from fbridge.evaluation.intervals import jackknife_interval
from fbridge.loaders.locate import locate_model
from fbridge.pipeline.plain import PlainPipeline
from fbridge.sampling import build_sampler, default_times, seeded_noise
from fbridge.types import Condition

BEST_OF, BATCH = 8, 32
OF_EACH_VERB = 12
MAIN = 8
"""Channels but the bends."""
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
            default_times(config, process),
            condition,
            noise=seeded_noise([seed * 100_003 + row for row in range(len(prior))]),
            start=config.start,
        )


def rms(x: Tensor) -> Tensor:
    """(B,) root mean square of (B, ...)."""
    return x.square().flatten(1).mean(1).sqrt()


def features(latents: Tensor) -> Tensor:
    """(B, 48) ends and extents of the main channels of latents (B, F, 26, 3, 1)."""
    main = latents[:, :, :MAIN, :, 0].flatten(2)
    return torch.cat([main[:, -1], main.amax(1) - main.amin(1)], 1)


def print_frechet(found: dict[str, list[Tensor]]) -> None:
    """The distances of prior and bridge to the truth, and their difference with its interval."""
    truth, prior, bridge = (torch.cat(found[f"{k} features"]) for k in ("truth", "prior", "bridge"))
    width = truth.shape[1]

    def gain(first: Tensor, both: Tensor) -> float:
        near, far = (frechet_distance(first, part) for part in both.split(width, 1)[::-1])
        return far - near

    both = torch.cat([prior, bridge], 1)
    print(f"Fréchet distance, prior  {frechet_distance(truth, prior):.3f}")
    print(f"Fréchet distance, bridge {frechet_distance(truth, bridge):.3f}")
    print(
        f"  less than the prior's  {gain(truth, both):.3f} {jackknife_interval(gain, truth, both)}"
    )


def scenes_of(verb: str, rng: np.random.Generator) -> list[Scene]:
    """Scenes of one aspect with that verb of the first object or of the camera."""
    cells, slot = draw_aspect(rng), slot_of(verb)
    scenes: list[Scene] = []
    while len(scenes) < OF_EACH_VERB:
        scene = draw_scene(rng, cells)
        if slot == OBJECTS or scene.bodies[0] is not None:
            deeds = [*scene.deeds]
            deeds[slot] = (verb, 1.0)
            scenes.append(replace(scene, deeds=tuple(deeds)))
    return scenes


def slot_of(verb: str) -> int:
    """The first object's or the camera's."""
    return 0 if verb in OBJECT_PROGRAMS else OBJECTS


def print_verbs(pipe: PlainPipeline, frames: int) -> None:
    """For each verb the share of the true extent, and the turns back of its main channel."""
    print("verb                     extent: prior bridge   turns back: truth prior bridge")
    for number, verb in enumerate(VERBS):
        if verb in ("stay", "static"):
            continue
        rng = np.random.default_rng([UNSEEN_SEED, number])
        scenes = scenes_of(verb, rng)
        condition, unit = condition_of(scenes), pipe.components["codec"].unit
        truth = motions(scenes, frames, rng).mT[..., None] / unit
        with torch.no_grad():
            prior = pipe.components["prior"](torch.zeros_like(truth), None, condition)
        three = (truth, prior, samples(pipe, prior, condition, 0))
        rows = [x[:, :, :, slot_of(verb), 0] for x in three]
        extents = [(x.amax(1) - x.amin(1)).square().mean(0).sqrt() for x in rows]
        moves, main = extents[0] > 1e-3, int(extents[0].argmax())
        share = [float(extent[moves].norm() / extents[0][moves].norm()) for extent in extents]
        least = float(extents[0][main]) / 4
        turns = [np.mean([reversals(one.numpy(), least) for one in x[:, :, main]]) for x in rows]
        print(
            f"{verb:24} {share[1]:13.2f} {share[2]:6.2f}"
            f" {turns[0]:19.1f} {turns[1]:5.1f} {turns[2]:6.1f}"
        )


def measure(
    pipe: PlainPipeline, scenes: list[Scene], frames: int, seed: int, found: dict[str, list[Tensor]]
) -> None:
    """Add the errors and the spins of some scenes of one aspect."""
    condition, unit = condition_of(scenes), pipe.components["codec"].unit
    truth, other = (
        motions(scenes, frames, np.random.default_rng([seed, k])).mT[..., None] / unit
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
    for name, latents in (("truth", other), ("prior", prior), ("bridge", drawn[0])):
        found[f"{name} features"].append(features(latents))
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
    parser.add_argument("--frames", type=int, default=32)
    args = parser.parse_args()
    pipe = PlainPipeline(locate_model(args.model))
    found: dict[str, list[Tensor]] = defaultdict(list)
    for seed in range(UNSEEN_SEED, UNSEEN_SEED + math.ceil(args.scenes / BATCH)):
        rng = np.random.default_rng(seed)
        cells = draw_aspect(rng)
        measure(pipe, [draw_scene(rng, cells) for _ in range(BATCH)], args.frames, seed, found)
    turns = torch.stack(found.pop("turns"))
    errors = {
        name: torch.cat(rows).square().mean().sqrt()
        for name, rows in found.items()
        if "features" not in name
    }
    for name, error in errors.items():
        print(f"{name:24} {error:.4f}")
    print(f"spread / prior's error   {errors['bridge, spread'] / errors['prior']:.2f}")
    spun = turns.abs() >= SPUN
    both = (turns >= SPUN).any(1) & (turns <= -SPUN).any(1)
    print(f"spins that turn          {spun.float().mean():.2f} of {turns.numel()} samples")
    print(f"spins both ways          {both.float().mean():.2f} of {len(turns)} scenes")
    print_frechet(found)
    print_verbs(pipe, args.frames)


if __name__ == "__main__":
    main()
