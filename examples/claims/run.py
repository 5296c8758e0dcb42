"""Making what is not there yet, in order, with the time that is left."""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext
from multiprocessing import get_context
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
    jobs: int = 1,
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
        jobs: pieces of work that are made side by side, each in a process of its own.
        maker: makes a node and returns its seconds.
        tell: says what is done.

    Raises:
        RuntimeError: after everything else was made, if something could not be.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = [(row, graph.row(row, arms)) for row in graph.plan.rows if row.number in numbers]
    todo = {
        node.key: node for _, nodes in rows for node in in_order(nodes) if not node.is_done(folder)
    }
    failed: list[Node] = []
    with _pool(jobs) as pool:
        for node, seconds in _made(todo, folder, pool, jobs, maker, tell):
            if isinstance(seconds, RuntimeError):  # such as a training that diverges
                tell(f"{node.label} failed: {seconds}")
                failed.append(node)
                continue
            _keep_pace(node, seconds, folder)
            for row, nodes in rows:
                if any(node.key == sample.key for sample in nodes):
                    store(graph, row, folder, results, jobs)
    for row, _ in rows:
        store(graph, row, folder, results, jobs)
        tell(f"row {row.number} is done")
    if failed:
        raise RuntimeError(f"{len(failed)} pieces of work could not be made; see above")


def _made(
    todo: dict[str, Node],
    folder: Path,
    pool: Executor | None,
    jobs: int,
    maker: Callable[[Node, Path], float],
    tell: Callable[[str], None],
) -> Iterator[tuple[Node, float | RuntimeError]]:
    """Each node with its seconds or its error, as soon as it is made, inputs first.

    What needs a node that failed is not made, and counts as failed.
    """
    waiting, running = dict(todo), dict[Future[float], Node]()
    lost: set[str] = set()
    while waiting or running:
        for key, node in [*waiting.items()]:
            needs = {need.key for need in node.needs}
            if needs & lost:
                lost.add(key)
                yield waiting.pop(key), RuntimeError("what it needs failed")
            elif not needs & ({*waiting} | {one.key for one in running.values()}):
                if len(running) == jobs:
                    break
                tell(f"{node.label}; {_left(waiting.values(), folder, jobs)}")
                running[_begun(pool, maker, waiting.pop(key), folder)] = node
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            node = running.pop(future)
            try:
                yield node, future.result()
            except RuntimeError as error:
                lost.add(node.key)
                yield node, error


def _pool(jobs: int) -> AbstractContextManager[Executor | None]:
    """Processes that are begun anew, as an accelerator needs; none for one piece at a time."""
    if jobs == 1:
        return nullcontext()
    return ProcessPoolExecutor(jobs, mp_context=get_context("spawn"))


def _begun(
    pool: Executor | None, maker: Callable[[Node, Path], float], node: Node, folder: Path
) -> Future[float]:
    """The making of a node, which without a pool is at its end."""
    if pool is not None:
        return pool.submit(maker, node, folder)
    made: Future[float] = Future()
    try:
        made.set_result(maker(node, folder))
    except RuntimeError as error:
        made.set_exception(error)
    return made


def _left(wanted: Iterable[Node], folder: Path, jobs: int) -> str:
    """How many nodes are to be made, and how long that takes at the pace of those before."""
    todo = [*wanted]
    pace = _pace(folder)
    known = [node.units * pace[node.kind] for node in todo if node.kind in pace]
    unknown = "" if len(known) == len(todo) else f", and {len(todo) - len(known)} of unknown length"
    minutes = sum(known) / 60 / jobs
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
