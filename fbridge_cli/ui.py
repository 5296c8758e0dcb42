"""Output of the commands, by rich; progress bars are in `fbridge_cli.progress`.

Results go to stdout; progress, notes and errors to stderr. Spinners and bars appear only where
stderr is a terminal.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fbridge_cli.plain import plain

if TYPE_CHECKING:
    from fbridge_cli.progress import Bar, TrainingView


class Ui:
    """Output of one command.

    Attributes:
        machine: stdout is for JSON alone; `result` prints nothing.

    Args:
        machine: likewise.
        mute: print nothing, as in all but the first of several processes.
    """

    def __init__(self, *, machine: bool = False, mute: bool = False) -> None:
        self.machine = machine
        style: dict[str, Any] = {"highlight": False, "markup": False, "emoji": False}
        if mute:
            style |= {"quiet": True, "force_terminal": False}
        self._out = Console(soft_wrap=True, **style)
        self._err = Console(stderr=True, soft_wrap=True, **style)
        self._moving = False

    def result(self, text: str) -> None:
        """A line of the result."""
        if self.machine:
            return
        beside_bar = self._moving and self._out.is_terminal
        (self._err if beside_bar else self._out).print(plain(text))

    def note(self, text: str) -> None:
        """A remark, on stderr."""
        self._err.print(plain(text), style="dim")

    def warn(self, text: str) -> None:
        """A warning."""
        self._err.print(Text.assemble(("warning: ", "yellow"), plain(text)))

    def error(self, text: str) -> None:
        """The error that ends the command."""
        self._err.print(Text.assemble(("error: ", "bold red"), plain(text)))

    def json(self, value: Any) -> None:
        """The whole result as JSON on stdout."""
        self._out.print(json.dumps(value, indent=2))

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Rows under headings; plain and unwrapped where stdout is not a terminal."""
        if not self._out.is_terminal:
            for row in (columns, *rows):
                self._out.print(plain("  ".join(cell.replace("\n", " ") for cell in row)))
            return
        table = Table(*columns, box=None, header_style="bold", pad_edge=False)
        for row in rows:
            table.add_row(*map(plain, row))
        self._out.print(table, soft_wrap=False)

    def facts(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Names and values, one pair per line."""
        width = max(len(name) for name, _ in pairs)
        for name, value in pairs:
            self._out.print(Text.assemble((name.ljust(width), "bold"), "  ", plain(value)))

    def waiting(self, text: str) -> AbstractContextManager[object]:
        """A spinner, for as long as the context lasts."""
        return self._err.status(plain(text)) if self._err.is_terminal else nullcontext()

    @contextmanager
    def training(self, steps: int) -> Iterator[TrainingView]:
        """A live view of a training run, shown only on a terminal."""
        from rich.live import Live

        from fbridge_cli.progress import TrainingView

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
        """A bar over all the work, removed at the end; without a total it only counts."""
        from fbridge_cli.progress import Bar, build_progress

        moving = self._err.is_terminal
        with build_progress(self._err, shown=moving) as bar:
            self._moving = moving
            try:
                yield Bar(bar, total, unit)
            finally:
                self._moving = False
