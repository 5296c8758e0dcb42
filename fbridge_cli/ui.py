"""The only file that knows rich: where text goes, how it looks, and the progress bar.

Results go to stdout; progress, notes and errors to stderr. Nothing moves unless stderr is a
terminal.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column, Table
from rich.text import Text

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Ui:
    """One command's voice.

    Attributes:
        machine: stdout is for JSON alone, so results are told on stderr or not at all.
    """

    def __init__(self, *, machine: bool = False) -> None:
        self.machine = machine
        self._out = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
        self._err = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
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


class Bar:
    """The handle of a running progress bar."""

    def __init__(self, progress: Progress, total: int | None, unit: str) -> None:
        self._progress = progress
        self._total = total
        self._unit = unit
        self._task = progress.add_task("", total=total, count="")

    def show(self, text: str, completed: int) -> None:
        """What is being done, and how many units of work are behind."""
        of = "" if self._total is None else f"/{self._total}"
        self._progress.update(
            self._task,
            description=_plain(text).plain,
            completed=completed,
            count=f"{completed}{of} {self._unit}" if self._unit else "",
        )


def _plain(text: str) -> Text:
    """Text whose control characters cannot move the cursor or change colours."""
    return Text(_CONTROL.sub("\N{REPLACEMENT CHARACTER}", text))
