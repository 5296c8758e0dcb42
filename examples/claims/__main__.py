"""`python -m examples.claims`: run the rows of the table, or write its page from what is stored."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from examples.claims import page, results
from examples.claims.graph import Graph
from examples.claims.nodes import in_order
from examples.claims.plan import read_plan
from examples.claims.run import run

SCALES = ("smoke", "full", "gpu")


def main() -> None:
    """Read the command line and do it."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.claims", description="What the bridge buys, measured."
    )
    commands = parser.add_subparsers(required=True, dest="command")
    made = commands.add_parser("run", help="train, sample and score what is not there yet")
    listed = commands.add_parser("list", help="print the pieces of work and which are done")
    for one in (made, listed):
        one.add_argument("--scale", choices=SCALES, required=True)
        one.add_argument("--row", type=int, action="append", help="repeatable; by default all")
        one.add_argument("--arm", action="append", help="of those rows; repeatable, all by default")
        one.add_argument("--out", type=Path, help="by default runs/claims-SCALE")
    made.add_argument("--jobs", type=int, default=1, help="pieces of work made side by side")
    made.add_argument("--results", type=Path, help="by default OUT/results")
    written = commands.add_parser("page", help="write docs/claims.md from the stored results")
    written.add_argument("--results", type=Path, default=results.FOLDER)
    written.add_argument("--docs", type=Path, default=page.DOCS)
    args = parser.parse_args()
    if args.command == "page":
        page.write(args.results, args.docs)
        return
    plan = read_plan(args.scale)
    numbers = args.row or [row.number for row in plan.rows]
    if unknown := set(numbers) - {row.number for row in plan.rows}:
        parser.error(f"--row {min(unknown)}: the rows are {[row.number for row in plan.rows]}")
    known = {arm.name for row in plan.rows if row.number in numbers for arm in row.arms}
    if unknown_arms := sorted(set(args.arm or ()) - known):
        parser.error(f"--arm {unknown_arms[0]}: the arms are {sorted(known)}")
    # A training's record keeps the place of its prior, which must mean the same when it goes on.
    folder = (args.out or Path("runs") / f"claims-{args.scale}").absolute()
    graph = Graph(plan)
    if args.command == "list":
        for row in (row for row in plan.rows if row.number in numbers):
            for node in in_order(graph.row(row, args.arm)):
                mark = "done" if node.is_done(folder) else "    "
                print(f"row {row.number} {mark} {node.place(folder).relative_to(folder)}")
        return
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    where = args.results or folder / "results"
    run(graph, numbers, folder, where, arms=args.arm, jobs=args.jobs)


if __name__ == "__main__":
    main()
