"""The only file that knows rich: where text goes, how it looks, and the progress bar.

Results go to stdout; progress, notes and errors to stderr. Nothing moves unless stderr is a
terminal.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column, Table
from rich.text import Text

if TYPE_CHECKING:
    from fbridge.train.events import Stepped, Validated

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Ui:
    """One command's voice.

    Attributes:
        machine: stdout is for JSON alone, so results are told on stderr or not at all.

    Args:
        machine: likewise.
        mute: say nothing at all, as one of several processes that another speaks for.
    """

    def __init__(self, *, machine: bool = False, mute: bool = False) -> None:
        self.machine = machine
        plain: dict[str, Any] = {"highlight": False, "markup": False, "emoji": False}
        if mute:
            plain |= {"quiet": True, "force_terminal": False}
        self._out = Console(soft_wrap=True, **plain)
        self._err = Console(stderr=True, soft_wrap=True, **plain)
        self._moving = False

    def result(self, text: str) -> None:
        """A line that the user came for."""
        if self.machine:
            return
        beside_bar = self._moving and self._out.is_terminal
        (self._err if beside_bar else self._out).print(_plain(text))

    def note(self, text: str) -> None:
        """A line worth knowing."""
        self._err.print(_plain(text), style="dim")

    def warn(self, text: str) -> None:
        """Something that may not be as the user thinks."""
        self._err.print(Text.assemble(("warning: ", "yellow"), _plain(text)))

    def error(self, text: str) -> None:
        """Why the command stops."""
        self._err.print(Text.assemble(("error: ", "bold red"), _plain(text)))

    def json(self, value: Any) -> None:
        """The whole result for a program to read."""
        self._out.print(json.dumps(value, indent=2))

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Rows under headings; plain and unwrapped where stdout is no terminal."""
        if not self._out.is_terminal:
            for row in (columns, *rows):
                self._out.print(_plain("  ".join(cell.replace("\n", " ") for cell in row)))
            return
        table = Table(*columns, box=None, header_style="bold", pad_edge=False)
        for row in rows:
            table.add_row(*map(_plain, row))
        self._out.print(table, soft_wrap=False)

    def facts(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Names and what they stand for, one a line."""
        width = max(len(name) for name, _ in pairs)
        for name, value in pairs:
            self._out.print(Text.assemble((name.ljust(width), "bold"), "  ", _plain(value)))

    def waiting(self, text: str) -> AbstractContextManager[object]:
        """A spinner while something slow is fetched."""
        return self._err.status(_plain(text)) if self._err.is_terminal else nullcontext()

    @contextmanager
    def training(self, steps: int) -> Iterator[TrainingView]:
        """A live view of a training run; without a terminal it shows nothing."""
        moving = self._err.is_terminal
        view = TrainingView(steps, moving)
        if not moving:
            yield view
            return
        self._moving = True
        try:
            with Live(
                get_renderable=view.draw,
                console=self._err,
                transient=True,
                refresh_per_second=4,
                redirect_stdout=False,
                redirect_stderr=False,
            ):
                yield view
        finally:
            self._moving = False

    @contextmanager
    def progress(self, total: int | None, unit: str = "steps") -> Iterator[Bar]:
        """One bar over all the work, with the time left; gone when done.

        Without a total it only counts.
        """
        what = Column(max_width=48, no_wrap=True, overflow="ellipsis")
        columns = (
            TextColumn("{task.description}", markup=False, table_column=what),
            BarColumn(),
            TextColumn("{task.fields[count]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        moving = self._err.is_terminal
        with Progress(
            *columns,
            console=self._err,
            transient=True,
            disable=not moving,
            redirect_stdout=False,
            redirect_stderr=False,
        ) as bar:
            self._moving = moving
            try:
                yield Bar(bar, total, unit)
            finally:
                self._moving = False


class TrainingView:
    """What a run looks like while it runs: a bar, and the numbers that matter.

    Attributes:
        moving: whether there is a terminal to show it on.
    """

    def __init__(self, steps: int, moving: bool) -> None:
        self.moving = moving
        self._steps = steps
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.completed}/{task.total} steps", markup=False),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}", markup=False),
        )
        self._task = self._bar.add_task("training", total=steps, left="")
        self._losses: list[float] = []
        self._numbers: dict[str, str] = {}

    def begin(self, step: int) -> None:
        """Steps that are behind."""
        self._bar.update(self._task, completed=step)

    def step(self, event: Stepped) -> None:
        """Show a report."""
        left = (self._steps - event.step) * event.seconds
        minutes, seconds = divmod(round(left), 60)
        self._bar.update(
            self._task,
            completed=event.step,
            left=f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d} left",
        )
        self._losses.append(event.loss)
        self._numbers |= {
            "loss": f"{event.loss:.4f}  {_sparkline(self._losses)}",
            "learning rate": f"{event.lr:.3g}",
            "clips/s": f"{event.clips:.1f}   data waiting {100 * event.waited:.1f} %",
            "memory": f"{event.memory / 2**30:.2f} GiB",
        }

    def validated(self, event: Validated) -> None:
        """Show held-out scores."""
        self._numbers["held-out loss"] = f"{event.scores['held_out']:.4f} at step {event.step}"

    def saved(self, step: int) -> None:
        """Show the newest checkpoint."""
        self._numbers["checkpoint"] = f"step {step}"

    def draw(self) -> Group:
        """The view as it is now."""
        table = Table.grid(padding=(0, 2))
        for name, value in self._numbers.items():
            table.add_row(Text(name, "bold"), _plain(value))
        return Group(self._bar, table)


def _sparkline(values: Sequence[float], width: int = 40) -> str:
    """The course of some numbers as a row of blocks, each the mean of its share of them."""
    count = min(width, len(values))
    edges = [len(values) * place // count for place in range(count + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
    low, high = min(means), max(means)
    blocks = "\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"
    return "".join(
        blocks[round(7 * (mean - low) / (high - low))] if high > low else blocks[0]
        for mean in means
    )


class Bar:
    """The handle of a running progress bar."""

    def __init__(self, progress: Progress, total: int | None, unit: str) -> None:
        self._progress = progress
        self._total = total
        self._unit = unit
        self._task = progress.add_task("", total=total, count="")

    def show(self, text: str, completed: int, total: int | None = None) -> None:
        """What is being done, how many units of work are behind, and of how many if that is new."""
        self._total = self._total if total is None else total
        of = "" if self._total is None else f"/{self._total}"
        self._progress.update(
            self._task,
            description=_plain(text).plain,
            completed=completed,
            total=self._total,
            count=f"{completed}{of} {self._unit}" if self._unit else "",
        )


def _plain(text: str) -> Text:
    """Text whose control characters cannot move the cursor or change colours."""
    return Text(_CONTROL.sub("\N{REPLACEMENT CHARACTER}", text))
