"""What alignment, pretraining and the prior buy in the bare `fbridge finetune` line.

    python benchmarks/alignment.py runs/alignment --jobs 2

Every arm is the bare line with one thing changed, for each seed and number of steps; each run has
its own schedule of the learning rate. A run is validated on the way, then it makes videos of
held-out scenes, which `benchmarks.scenes` judges and `fbridge eval` measures. What is there
already is not made again, so a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from fbridge.loaders.load import load_pretrained

ARMS = {
    "aligned": [],
    "unaligned": ["--no-align"],
    "scratch": [],
    "prior": [],
    "twin": ["--objective", "diffusion"],
    "lora": ["--lora", "16", "--lr", "4e-3"],
}
"""What the line has besides; "scratch" has a base of random weights, "prior" a trained prior."""
VALIDATIONS = 6
WAY = "guidance=1"
"""Without guidance, which hides what a network has learnt behind a factor."""


@dataclass(frozen=True)
class Run:
    """One training and what it is measured by.

    Attributes:
        place: folder of all of them.
        arm, steps, seed: which.
        base: the pretrained model.
        count: number of held-out scenes.
    """

    place: Path
    arm: str
    steps: int
    seed: int
    base: str
    count: int

    @property
    def folder(self) -> Path:
        """Of the run."""
        return self.place / f"{self.arm}-{self.steps}-{self.seed}"

    @property
    def videos(self) -> Path:
        """Of the held-out scenes."""
        return self.folder / "scenes" / f"{self.folder.name}-{WAY}"

    def make(self) -> None:
        """Train, sample, measure: what is not there yet."""
        if not any((self.folder / result).is_dir() for result in ("model", "lora")):
            self._train()
        if not self.videos.with_name(f"{self.videos.name}.json").is_file():
            kept = self.videos.parent
            _do([sys.executable, "-m", "benchmarks.scenes", self.folder, "--count", self.count,
                 "--ways", WAY, "--out", kept], self.folder / "scenes.log")  # fmt: skip
        if not (self.folder / "fvd.json").is_file():
            reference = self.videos.parent / "scenes"
            told = _fbridge("eval", self.videos, "--reference", reference, "--metric", "fvd",
                            "--json", log=self.folder / "eval.log")  # fmt: skip
            (self.folder / "fvd.json").write_text(told)

    def _train(self) -> None:
        common: list[Any] = [
            "--seed", self.seed, "--steps", self.steps, "--set", "validation.clips=0",
            "--set", f"validation.every={max(1, self.steps // VALIDATIONS)}",
            "--set", "validation.rows=32", "--set", "log.trackers=[]",
        ]  # fmt: skip
        base = self.place / "scratch.safetensors" if self.arm == "scratch" else self.base
        more = list(ARMS[self.arm])
        if self.arm == "prior":
            prior = self.place / f"train-prior-{self.seed}"
            if not (prior / "prior").is_dir():
                _fbridge("train-prior", "--seed", self.seed, *_resumed(prior))
            more += ["--prior", str(prior)]
        _fbridge("finetune", "--base", base, *common, *more, *_resumed(self.folder))

    def curve(self, name: str) -> list[tuple[int, float]]:
        """Steps and values of a validation's score."""
        with (self.folder / "metrics.csv").open() as file:
            return [(int(r["step"]), float(r[name])) for r in csv.DictReader(file) if r.get(name)]

    def numbers(self) -> dict[str, float]:
        """All that the run ended with."""
        seen = json.loads(self.videos.with_name(f"{self.videos.name}.json").read_text())
        found = {
            "held_out": self.curve("held_out")[-1][1],
            "clean_error": self.curve("clean_error")[-1][1],
            "kept": seen["kept"] / seen["things"],
            "moved": seen["moved"] / seen["things"],
            "rest": seen["rest"],
        }
        told = json.loads((self.folder / "fvd.json").read_text())
        return {**found, "fvd": next(s["value"] for s in told["scores"] if s["metric"] == "fvd")}


def _resumed(run: Path) -> list[Any]:
    return ["-o", run, *(["--resume"] if any(run.glob("checkpoint-*")) else [])]


def _fbridge(*args: Any, log: Path | None = None) -> str:
    return _do([sys.executable, "-m", "fbridge_cli", *args], log)


def _do(line: list[Any], log: Path | None = None) -> str:
    """What a command prints; an error says what it said."""
    words = [str(word) for word in line]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if log is not None:
        log.write_text(done.stdout + done.stderr)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: exit {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout


def write_scratch(base: str, target: Path) -> None:
    """The base's file with random weights in its transformer."""
    known = load_pretrained(base)
    assert known.codec_path is not None, "a file that holds both"
    torch.manual_seed(0)
    network = type(known.transformer).from_config(known.transformer.config)
    with safe_open(known.codec_path, "pt") as file:
        held = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        about = file.metadata()
    for name, drawn in network.state_dict().items():
        held[f"transformer.{name}"] = drawn.to(held[f"transformer.{name}"])
    save_file(held, target, about)


def first_below(curve: list[tuple[int, float]], level: float) -> float | None:
    """The step at which a falling curve reaches a level, between its points; None: never."""
    for (step, value), (then, later) in pairwise(curve):
        if value <= level:
            return float(step)
        if later <= level:
            return step + (then - step) * (value - level) / (value - later)
    return None


def tell(runs: Iterable[Run]) -> None:
    """Print a row for each arm and number of steps: mean and spread over the seeds."""
    groups: dict[tuple[str, int], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.arm, run.steps), []).append(run)
    names = ("held_out", "clean_error", "kept", "moved", "rest", "fvd")
    print("arm", "steps", "seeds", *names, sep="\t")
    for (arm, steps), several in groups.items():
        every = [run.numbers() for run in several]
        cells = []
        for name in names:
            values = [one[name] for one in every]
            spread = np.std(values, ddof=1) if len(values) > 1 else 0
            cells.append(f"{np.mean(values):.4g} ± {spread:.2g}")
        print(arm, steps, len(several), *cells, sep="\t")
    for arm, steps in groups:
        for run in groups[arm, steps]:
            curve = " ".join(f"{step}:{value:.4f}" for step, value in run.curve("clean_error"))
            print(f"clean error of {run.folder.name}  {curve}")
    for steps in {steps for _, steps in groups}:
        unaligned = {run.seed: run for run in groups.get(("unaligned", steps), [])}
        for one in groups.get(("aligned", steps), []):
            if (other := unaligned.get(one.seed)) is None:
                continue
            end = other.curve("clean_error")[-1][1]
            reached = first_below(one.curve("clean_error"), end)
            when = "never" if reached is None else f"after {reached:.0f}"
            print(f"seed {one.seed}: aligned reaches the end of {steps} unaligned steps {when}")


def main() -> None:
    """Make all runs, then tell."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("place", type=Path)
    parser.add_argument("--base", default="t2v.safetensors")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", nargs="+", type=int, default=[90])
    parser.add_argument("--count", type=int, default=96, help="held-out scenes")
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side")
    args = parser.parse_args()
    args.place.mkdir(parents=True, exist_ok=True)
    scratch = args.place / "scratch.safetensors"
    if "scratch" in args.arms and not scratch.is_file():
        write_scratch(args.base, scratch)
    runs = [
        Run(args.place, arm, steps, seed, args.base, args.count)
        for seed in args.seeds
        for steps in args.steps
        for arm in args.arms
    ]
    _fbridge("finetune", "--base", args.base, "--dry-run")  # draws and prepares the demo's clips
    with ThreadPoolExecutor(args.jobs) as pool:
        for run, _ in zip(runs, pool.map(Run.make, runs), strict=True):
            print(run.folder.name, "is done", flush=True)
    tell(runs)


if __name__ == "__main__":
    main()
