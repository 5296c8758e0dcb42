"""Making the result of a node."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.alignment import write_scratch
from examples.claims.graph import BASE
from examples.claims.nodes import Node
from fbridge.files.atomic import replacing, write_text

Run = Callable[[Sequence[str]], None]


def make(node: Node, folder: Path, run: Run | None = None) -> float:
    """Make a node's result, whose inputs are there, and return the seconds that it took.

    Args:
        node: what is made.
        folder: where all results lie.
        run: runs a line of fbridge's; a test's own.

    Raises:
        RuntimeError: a command failed.
    """
    began = time.perf_counter()
    _MAKERS[node.kind](node, folder, run or fbridge)
    return time.perf_counter() - began


def fbridge(args: Sequence[str]) -> None:
    """Run fbridge; an error says what it said."""
    line = [sys.executable, "-m", "fbridge_cli", *args]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(
            f"fbridge {' '.join(args)}: exit {done.returncode}\n{done.stderr[-2000:]}"
        )


def _clips(node: Node, folder: Path, run: Run) -> None:
    """Draw and encode the demo's clips; the cache keeps them."""
    run(["finetune", "--base", BASE, "--dry-run"])
    write_text(node.place(folder), json.dumps(node.settings) + "\n")


def _random(node: Node, folder: Path, run: Run) -> None:
    del run
    with replacing(node.place(folder)) as hidden:
        write_scratch(BASE, hidden)


def _train_prior(node: Node, folder: Path, run: Run) -> None:
    own = node.settings
    args = ["--seed", f"{own['seed']}", "--steps", f"{own['steps']}", "--set", "validation.clips=0"]
    run(["train-prior", *args, *_resumed(node.place(folder))])


def _finetune(node: Node, folder: Path, run: Run) -> None:
    begin, more = ["--base", BASE], list[str]()
    for need in node.needs:
        if need.kind == "random":
            begin = ["--base", str(need.place(folder))]
        if need.kind == "finetune":
            begin = ["--objective", "distill", "--teacher", str(need.place(folder))]
        if need.kind == "train-prior":
            more = ["--prior", str(need.place(folder))]
    args = [*begin, "--seed", f"{node.settings['seed']}", *more, *node.settings["line"]]
    run(["finetune", *args, *_resumed(node.place(folder))])


def _truth(node: Node, folder: Path, run: Run) -> None:
    del run
    from examples.claims.truth import write_truth

    write_truth(node.settings, node.place(folder))


def _sample(node: Node, folder: Path, run: Run) -> None:
    del run
    from examples.claims.sample import scored_draws

    trained = [need for need in node.needs if need.kind == "finetune"]
    model = str(trained[0].place(folder)) if trained else BASE
    told: dict[str, Any] = scored_draws(model, node.settings, node.needed("truth").place(folder))
    write_text(node.place(folder), json.dumps(told) + "\n")


def _motion_truth(node: Node, folder: Path, run: Run) -> None:
    del run
    from examples.claims.motion.held_out import write_truth

    write_truth(node.settings, node.place(folder))


def _motion(node: Node, folder: Path, run: Run) -> None:
    del run
    from examples.claims.motion.train import train

    train(node.settings, node.place(folder))


def _motion_sample(node: Node, folder: Path, run: Run) -> None:
    del run
    from examples.claims.motion.sample import scored_draws

    network, truth = node.needed("motion"), node.needed("motion-truth")
    told = scored_draws(network.settings, network.place(folder), node.settings, truth.place(folder))
    write_text(node.place(folder), json.dumps(told) + "\n")


def _resumed(run: Path) -> list[str]:
    """Where a training writes; it goes on where it was killed, or begins anew without a mark."""
    if any(run.glob("checkpoint-*")):
        return ["-o", str(run), "--resume"]
    if run.is_dir() and not run.is_symlink():
        shutil.rmtree(run)
    return ["-o", str(run)]


_MAKERS: dict[str, Callable[[Node, Path, Run], None]] = {
    "clips": _clips,
    "random": _random,
    "train-prior": _train_prior,
    "finetune": _finetune,
    "truth": _truth,
    "sample": _sample,
    "motion-truth": _motion_truth,
    "motion": _motion,
    "motion-sample": _motion_sample,
}
