"""What step caches leave out and what they change, per sampler, on a model of your choice.

    python benchmarks/step_cache.py --model t2v.safetensors --steps 30

For each cache: the share of calls of the last block that were computed, and the relative error of
the latents against the same sampler without a cache. Beside it the error of that sampler with as
few steps as were computed: what a cache must beat to be worth anything. Samplers that draw noise
in their steps (heun, sde, sde2m) draw other noise then, which that error includes.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from fbridge.data.shapes import draw_clip
from fbridge.memory.apply import apply_memory_options
from fbridge.memory.options import MemoryOptions
from fbridge.pipeline import FrameBridgePipeline

SEED = 1
CACHES = ("first-block:0.05", "first-block:0.1", "first-block:0.2", "taylorseer:2", "taylorseer:3",
          "taylorseer:5", "magcache:0.03", "magcache:0.06", "magcache:0.12")  # fmt: skip
SAMPLERS = ("ode", "heun", "dbim2", "dbim3", "sde", "sde2m")


def make(pipe: Any, clips: int, **options: Any) -> Tensor:
    """Latents of drawn pictures and captions."""
    drawn = [draw_clip(SEED, number) for number in range(clips)]
    pictures = [Image.fromarray(clip.frames[0]) for clip in drawn]
    captions = [clip.caption for clip in drawn]
    seeds = list(range(clips))
    return torch.cat(
        [
            pipe(picture, caption, seed=seed, **options).latents
            for picture, caption, seed in zip(pictures, captions, seeds, strict=True)
        ]
    )


class Counted:
    """How often a network's last block was computed."""

    def __init__(self, transformer: Any) -> None:
        self.number = 0
        lists = [
            child for child in transformer.children() if isinstance(child, torch.nn.ModuleList)
        ]
        for layer in lists[-1][-1].children():
            layer.register_forward_hook(self._count)
            break

    def _count(self, *_: object) -> None:
        self.number += 1

    def of(self, pipe: Any, clips: int, **options: Any) -> tuple[Tensor, int]:
        """Latents, and the calls that they took."""
        self.number = 0
        return make(pipe, clips, **options), self.number


def error(made: Tensor, wanted: Tensor) -> float:
    """Relative, over all."""
    return float((made - wanted).norm() / wanted.norm())


def measure(
    model: str,
    clips: int,
    steps: int,
    samplers: Sequence[str],
    caches: Sequence[str],
    strength: float,
) -> None:
    """Print a table."""
    how: dict[str, Any] = {"strength": strength}
    plain = FrameBridgePipeline.from_pretrained(model)
    plain.set_progress_bar_config(disable=True)
    counter = Counted(plain.transformer)
    usual = {
        sampler: counter.of(plain, clips, sampler=sampler, num_inference_steps=steps, **how)
        for sampler in samplers
    }
    print("| cache | " + " | ".join(samplers) + " |")
    print("|---" * (len(samplers) + 1) + "|")
    for cache in caches:
        pipe = FrameBridgePipeline.from_pretrained(model)
        pipe.set_progress_bar_config(disable=True)
        apply_memory_options(pipe, "cpu", MemoryOptions(cache=cache))
        counts = Counted(pipe.transformer)
        cells = []
        for sampler in samplers:
            options = {"sampler": sampler, **how}
            if cache.startswith("magcache"):  # measures its ratios, once for each sampler
                make(pipe, 1, num_inference_steps=steps, **options)
            wanted, calls = usual[sampler]
            made, done = counts.of(pipe, clips, num_inference_steps=steps, **options)
            few = round(steps * done / calls)
            fewer = make(plain, clips, num_inference_steps=few, **options)
            share, errors = 100 * done / calls, (error(made, wanted), error(fewer, wanted))
            cells.append(f"{share:.0f} %: {errors[0]:.3f} ({errors[1]:.3f})")
        print(f"| {' | '.join([f'`{cache}`', *cells])} |", flush=True)


def main() -> None:
    """Parse, measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="t2v.safetensors")
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--strength", type=float, default=0.7)
    parser.add_argument("--samplers", nargs="+", default=SAMPLERS)
    parser.add_argument("--caches", nargs="+", default=CACHES)
    args = parser.parse_args()
    measure(args.model, args.clips, args.steps, args.samplers, args.caches, args.strength)


if __name__ == "__main__":
    main()
