"""Share of the sampling time outside the network, and wall time of the whole command.

    python benchmarks/generate.py [--model embedded] [--steps 16] [--repeats 5]

The share is that of the time in `sample_*` that is not spent in forward passes of the backbone; the
median of the repeats is printed. Run nothing else at the same time.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from fbridge.denoiser import BridgeDenoiser
from fbridge.pipeline import FrameBridgePipeline
from fbridge.sampling import SAMPLERS, build_sampler, seeded_noise, time_grid

PICTURE = Path(__file__).parents[1] / "examples" / "cat.jpg"


class Timed:
    """Any callable, with the seconds spent in it."""

    def __init__(self, call: Any) -> None:
        self.call, self.seconds, self.times = call, 0.0, 0

    def __call__(self, *args: Any) -> Any:
        """Call and count."""
        started = time.perf_counter()
        out = self.call(*args)
        self.seconds += time.perf_counter() - started
        self.times += 1
        return out


def outside_share(pipe: FrameBridgePipeline, sampler: str, steps: int) -> tuple[float, float]:
    """Share of the sampling time outside the network, and milliseconds of one network call."""
    view, condition = pipe.encode_inputs([Image.open(PICTURE).convert("RGB")], ["cat jumping"])
    prior = pipe.start(pipe.codec.still(view, pipe.frame_limits.default).mean, condition, view)
    network = Timed(pipe.transformer)
    denoiser = BridgeDenoiser(network, pipe.scheduler.parameterization)
    process = pipe.scheduler.process
    times = time_grid(steps, kind=pipe.scheduler.config.grid, process=process)
    started = time.perf_counter()
    with torch.no_grad():
        build_sampler(sampler).sample(
            denoiser, process, prior, times, condition, noise=seeded_noise([0])
        )
    whole = time.perf_counter() - started
    return (whole - network.seconds) / whole, 1000 * network.seconds / network.times


def command_seconds(model: str) -> float:
    """Wall time of `fbridge generate cat.jpg -p "cat jumping"` in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "fbridge_cli", "generate", str(PICTURE.resolve())]
        command += ["-p", "cat jumping", "--model", model]
        started = time.perf_counter()
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        return time.perf_counter() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    pipe = FrameBridgePipeline.from_pretrained(args.model)
    outside_share(pipe, "sde", 2)
    print(f"{'sampler':8} {'outside the network':>20} {'network call':>14}")
    for name in SAMPLERS:
        rows = [outside_share(pipe, name, args.steps) for _ in range(args.repeats)]
        share, call = (statistics.median(column) for column in zip(*rows, strict=True))
        print(f"{name:8} {share:20.1%} {call:11.1f} ms")
    seconds = statistics.median(command_seconds(args.model) for _ in range(args.repeats))
    print(f"command to mp4: {seconds:.1f} s (median of {args.repeats})")


if __name__ == "__main__":
    main()
