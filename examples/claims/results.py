"""Results of a row as JSON: per-scene numbers of every arm, and what made them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from examples.claims.graph import Graph
from examples.claims.plan import Arm, Model, Plan, Row
from fbridge.files.atomic import write_text

FOLDER = Path(__file__).with_name("results")
"""The committed ones, of scale "full"."""
FORMAT = 1
PER_SCENE = ("energy", "spread", "kept", "moved", "decibels", "motion")
DIGITS = 4


def store(graph: Graph, row: Row, folder: Path, results: Path, jobs: int = 1) -> None:
    """Write what there is of a row: the arms of which all seeds are done. Nothing without any.

    Args:
        graph: of the plan.
        row: which one.
        folder: where all work lies.
        results: where the file is written.
        jobs: pieces of work that were made side by side, so that no seconds are told.
    """
    plan = graph.plan
    arms = {arm.name: told for arm in row.arms if (told := _of_arm(graph, arm, folder))}
    if not arms:
        return
    if jobs > 1:
        for told in arms.values():
            del told["seconds_per_draw"]
    place = graph.truth_of(row.arms[0]).place(folder)
    truth = json.loads((place / "truth.json").read_text("utf-8"))
    told = {
        "format": FORMAT,
        "row": row.number,
        "scale": plan.scale.name,
        "settings": _settings(plan, row),
        "machine": _machine(jobs),
        "commits": sorted({one for arm in arms.values() for one in arm.pop("commits")}),
        "scenes": _rounded(truth),
        "arms": arms,
    }
    results.mkdir(parents=True, exist_ok=True)
    write_text(results / f"row-{row.number}.json", as_text(told))


def read(results: Path) -> dict[int, dict[str, Any]]:
    """The stored rows by number."""
    rows = (json.loads(file.read_text("utf-8")) for file in sorted(results.glob("row-*.json")))
    return {row["row"]: row for row in rows}


def as_text(told: Mapping[str, Any]) -> str:
    """As JSON, with a line for each part and each arm, so that changes can be read."""
    lines = []
    for name, part in told.items():
        if name == "arms":
            inner = ",\n".join(
                f"  {json.dumps(arm)}: {json.dumps(one)}" for arm, one in part.items()
            )
            lines.append(f' "arms": {{\n{inner}\n }}')
        else:
            lines.append(f" {json.dumps(name)}: {json.dumps(part)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _of_arm(graph: Graph, arm: Arm, folder: Path) -> dict[str, Any] | None:
    """Seeds by scenes of each score; None unless all seeds are there."""
    nodes = [graph.sample(arm, seed) for seed in arm.seeds]
    if not all(node.is_done(folder) for node in nodes):
        return None
    found = [json.loads(node.place(folder).read_text("utf-8")) for node in nodes]
    told: dict[str, Any] = {
        "model": arm.model.name,
        "line": list(arm.model.line),
        **_of_motion(arm.model),
        "sample": dict(arm.sample),
        "seeds": list(arm.seeds),
        "keys": [node.key for node in nodes],
        "seconds_per_draw": [one["seconds_per_draw"] for one in found],
        "commits": [one["commit"] for one in found],
    }
    for name in PER_SCENE:
        if name in found[0]:
            told[name] = [one[name] for one in found]
    # A training's FVD is of its usual sampling, so of no arm that is sampled in a way of its own.
    for name in ("curve",) if arm.sample else ("curve", "fvd"):
        if all(name in one for one in found):
            told[name] = [one[name] for one in found]
    return {name: _rounded(part) for name, part in told.items()}


def _of_motion(model: Model) -> dict[str, Any]:
    """What stands in place of a line in the domain of motions."""
    if not model.network:
        return {}
    return {"network": model.network, "objective": model.objective, "prior": model.prior}


def _machine(jobs: int) -> str:
    """In words."""
    if torch.cuda.is_available():
        told = f"one {torch.cuda.get_device_name()}"
    else:
        told = f"{os.cpu_count()} CPU cores, of which {torch.get_num_threads()} worked"
    return told if jobs == 1 else f"{told}, {jobs} pieces of work side by side"


def _settings(plan: Plan, row: Row) -> dict[str, Any]:
    scale, arm = plan.scale, row.arms[0]
    size = arm.model.size(scale)
    trained = {} if arm.model.network else {"prior_steps": scale.prior_steps}
    return {
        "steps": size.steps, **trained, "seeds": list(arm.seeds),
        "scenes": arm.scenes, "draws": size.draws, "calls": size.calls,
    }  # fmt: skip


def _rounded(part: Any) -> Any:
    """Floats to four digits; the intervals are a hundred times wider than that."""
    if isinstance(part, float):
        return float(f"{part:.{DIGITS}g}")
    if isinstance(part, list):
        return [_rounded(one) for one in part]
    if isinstance(part, dict):
        return {name: _rounded(one) for name, one in part.items()}
    return part
