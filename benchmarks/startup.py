"""Time and memory of `fbridge generate` from command to mp4, beside those of an older commit.

    python benchmarks/startup.py --base c74d782 --runs 5

The given commit and the present checkout are installed without extras into virtual environments of
their own (kept in --work for the next time), then run in turns as whole processes. Peak memory is
that of the process, its children included. Needs the network, or a mirror that pip knows.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import psutil

ROOT = Path(__file__).parents[1]
GENERATE = ("generate", str(ROOT / "examples/cat.jpg"), "-p", "cat jumping", "--overwrite")


class Ran(NamedTuple):
    """Wall time, and processor time of a process and its children, in seconds; peak in MB."""

    seconds: float
    cpu: float
    megabytes: float


def installed(work: Path, name: str, checkout: Path, torch: str) -> Path:
    """The scripts of a virtual environment with a checkout, made if it is not there."""
    scripts = work / name / ("Scripts" if os.name == "nt" else "bin")
    if not (scripts / "installed").exists():
        python = str(scripts / "python")
        subprocess.run([sys.executable, "-m", "venv", str(work / name)], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", torch], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "-e", str(checkout)], check=True)
        (scripts / "installed").touch()
    return scripts


def checked_out(work: Path, commit: str) -> Path:
    """A worktree of a commit."""
    place = work / f"checkout-{commit}"
    if not place.exists():
        line = ["git", "-C", str(ROOT), "worktree", "add", "--detach", str(place), commit]
        subprocess.run(line, check=True)
    return place


def run(line: Sequence[str | Path], where: Path) -> Ran:
    """One process from its start to its end, its memory read every 10 ms."""
    started = time.perf_counter()
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = psutil.Popen([str(word) for word in line], cwd=where, env=env, **quiet)
    peak, cpu = 0.0, 0.0
    while process.poll() is None:
        try:
            family = [process, *process.children(recursive=True)]
            peak = max(peak, sum(one.memory_info().rss for one in family) / 1e6)
            cpu = sum(sum(one.cpu_times()[:2]) for one in family)
        except psutil.Error:
            pass  # it has just ended
        time.sleep(0.01)
    if process.returncode:
        raise SystemExit(f"{' '.join(map(str, line))}: exit code {process.returncode}")
    return Ran(time.perf_counter() - started, cpu, peak)


def medians(runs: Sequence[Ran]) -> Ran:
    """The median of each measure."""
    return Ran(*(statistics.median(column) for column in zip(*runs, strict=True)))


def main() -> None:
    """Install, run in turns, print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default="c74d782", help="commit to compare with")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--torch", default="torch", help="its requirement, such as torch==2.13.0")
    parser.add_argument("--work", type=Path, default=Path.home() / ".cache/fbridge-startup")
    args = parser.parse_args()
    work = args.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    base = installed(work, f"venv-{args.base}", checked_out(work, args.base), args.torch)
    now = installed(work, "venv-now", ROOT, args.torch)
    lines: dict[str, list[str | Path]] = {
        args.base: [base / "fbridge", *GENERATE, "-o", "base.mp4"],
        "now": [now / "fbridge", *GENERATE, "-o", "now.mp4"],
        "import torch": [now / "python", "-c", "import torch"],
        "fbridge --help": [now / "fbridge", "--help"],
    }
    for line in lines.values():
        run(line, work)  # files come from the disk only the first time
    found: dict[str, list[Ran]] = {name: [] for name in lines}
    for _ in range(args.runs):
        for name, line in lines.items():
            found[name].append(run(line, work))
    for name, runs in found.items():
        seconds, cpu, megabytes = medians(runs)
        print(f"{name:16} {seconds:6.2f} s  {cpu:6.2f} s of processor  {megabytes:6.0f} MB")
    was, is_now = medians(found[args.base]), medians(found["now"])
    ratios = [f"{new / old:.2f}" for new, old in zip(is_now, was, strict=True)]
    print(f"now / {args.base}: time {ratios[0]}, processor {ratios[1]}, peak memory {ratios[2]}")


if __name__ == "__main__":
    main()
