"""Progress bars, and the live view of a training run."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column, Table
from rich.text import Text

from fbridge_cli.plain import plain

if TYPE_CHECKING:
    from fbridge.train.events import Stepped, Validated


def build_progress(console: Console, *, shown: bool) -> Progress:
    """A bar with a count and the time left, removed at the end."""
    what = Column(max_width=48, no_wrap=True, overflow="ellipsis")
    columns = (
        TextColumn("{task.description}", markup=False, table_column=what),
        BarColumn(),
        TextColumn("{task.fields[count]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    return Progress(
        *columns,
        console=console,
        transient=True,
        disable=not shown,
        redirect_stdout=False,
        redirect_stderr=False,
    )


class TrainingView:
    """A bar over the steps, and the latest loss, learning rate, speed and memory.

    Attributes:
        moving: whether a terminal shows it.
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
        """Start at a step, of a resumed run."""
        self._bar.update(self._task, completed=step)

    def step(self, event: Stepped) -> None:
        """Show a finished step."""
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
            table.add_row(Text(name, "bold"), plain(value))
        return Group(self._bar, table)


def _sparkline(values: Sequence[float], width: int = 40) -> str:
    """A row of at most `width` blocks, each as high as the mean of its share of the values."""
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
    """A running progress bar."""

    def __init__(self, progress: Progress, total: int | None, unit: str) -> None:
        self._progress = progress
        self._total = total
        self._unit = self._shown_unit = unit
        self._task = progress.add_task("", total=total, count="")

    def show(
        self, text: str, completed: int, total: int | None = None, unit: str | None = None
    ) -> None:
        """Show what is being done and how many are done; `total` and `unit` replace the old."""
        self._total = self._total if total is None else total
        unit = self._unit if unit is None else unit
        if unit != self._shown_unit:  # the speed so far was of other units
            self._progress.reset(self._task)
            self._shown_unit = unit
        of = "" if self._total is None else f"/{self._total}"
        self._progress.update(
            self._task,
            description=plain(text).plain,
            completed=completed,
            total=self._total,
            count=f"{completed}{of} {unit}" if unit else "",
        )
