"""Making what is not there yet, in order, with the time that is left."""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterable, Sequence
from pathlib import Path

from examples.claims.graph import Graph
from examples.claims.nodes import Node, in_order
from examples.claims.results import store
from examples.claims.work import make
from fbridge.files.atomic import write_text

PACE = "pace.json"
"""Seconds a unit of each kind of work, as measured here; it decides nothing but what is shown."""


def run(
    graph: Graph,
    numbers: Sequence[int],
    folder: Path,
    results: Path,
    *,
    arms: Container[str] | None = None,
    maker: Callable[[Node, Path], float] = make,
    tell: Callable[[str], None] = print,
) -> None:
    """Make the rows, one after the other, and store what there is of a row after each sample.

    Args:
        graph: of the plan.
        numbers: of the rows, in the plan's order.
        folder: where all work lies.
        results: where the rows' results lie.
        arms: names of those that are made; None: all.
        maker: makes a node and returns its seconds.
        tell: says what is done.

    Raises:
        RuntimeError: after everything else was made, if something could not be.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = [row for row in graph.plan.rows if row.number in numbers]
    wanted = [node for row in rows for node in graph.row(row, arms)]
    failed: set[str] = set()
    for row in rows:
        for node in in_order(graph.row(row, arms)):
            if node.is_done(folder):
                continue
            if node.key in failed or any(need.key in failed for need in node.needs):
                failed.add(node.key)
                continue
            tell(f"row {row.number}: {node.label}; {_left(wanted, folder)}")
            try:
                _keep_pace(node, maker(node, folder), folder)
            except RuntimeError as error:  # a training that diverges leaves the others to be made
                tell(f"row {row.number}: {node.label} failed: {error}")
                failed.add(node.key)
                continue
            if node.kind == "sample":
                store(graph, row, folder, results)
        store(graph, row, folder, results)
        tell(f"row {row.number} is done")
    if failed:
        raise RuntimeError(f"{len(failed)} pieces of work could not be made; see above")


def _left(wanted: Iterable[Node], folder: Path) -> str:
    """How many nodes are to be made, and how long that takes at the pace of those before."""
    todo = [node for node in in_order(wanted) if not node.is_done(folder)]
    pace = _pace(folder)
    known = [node.units * pace[node.kind] for node in todo if node.kind in pace]
    unknown = "" if len(known) == len(todo) else f", and {len(todo) - len(known)} of unknown length"
    minutes = sum(known) / 60
    return f"{len(todo)} to make, about {minutes:.0f} min{unknown}"


def _pace(folder: Path) -> dict[str, float]:
    file = folder / PACE
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def _keep_pace(node: Node, seconds: float, folder: Path) -> None:
    """The mean of what was known and the newest, so that one slow hour is soon forgotten."""
    pace = _pace(folder)
    new = seconds / node.units
    pace[node.kind] = (pace.get(node.kind, new) + new) / 2
    write_text(folder / PACE, json.dumps(pace) + "\n")
