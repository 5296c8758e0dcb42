"""Where text goes and how it looks, by rich; what moves is in `fbridge_cli.progress`.

Results go to stdout; progress, notes and errors to stderr. Nothing moves unless stderr is a
terminal.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from fbridge_cli.progress import Bar, TrainingView

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
        (self._err if beside_bar else self._out).print(plain(text))

    def note(self, text: str) -> None:
        """A line worth knowing."""
        self._err.print(plain(text), style="dim")

    def warn(self, text: str) -> None:
        """Something that may not be as the user thinks."""
        self._err.print(Text.assemble(("warning: ", "yellow"), plain(text)))

    def error(self, text: str) -> None:
        """Why the command stops."""
        self._err.print(Text.assemble(("error: ", "bold red"), plain(text)))

    def json(self, value: Any) -> None:
        """The whole result for a program to read."""
        self._out.print(json.dumps(value, indent=2))

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Rows under headings; plain and unwrapped where stdout is no terminal."""
        if not self._out.is_terminal:
            for row in (columns, *rows):
                self._out.print(plain("  ".join(cell.replace("\n", " ") for cell in row)))
            return
        table = Table(*columns, box=None, header_style="bold", pad_edge=False)
        for row in rows:
            table.add_row(*map(plain, row))
        self._out.print(table, soft_wrap=False)

    def facts(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Names and what they stand for, one a line."""
        width = max(len(name) for name, _ in pairs)
        for name, value in pairs:
            self._out.print(Text.assemble((name.ljust(width), "bold"), "  ", plain(value)))

    def waiting(self, text: str) -> AbstractContextManager[object]:
        """A spinner while something slow is fetched."""
        return self._err.status(plain(text)) if self._err.is_terminal else nullcontext()

    @contextmanager
    def training(self, steps: int) -> Iterator[TrainingView]:
        """A live view of a training run; without a terminal it shows nothing."""
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
        """One bar over all the work, with the time left; gone when done.

        Without a total it only counts.
        """
        from fbridge_cli.progress import Bar, build_progress

        moving = self._err.is_terminal
        with build_progress(self._err, shown=moving) as bar:
            self._moving = moving
            try:
                yield Bar(bar, total, unit)
            finally:
                self._moving = False


def plain(text: str) -> Text:
    """Text whose control characters cannot move the cursor or change colours."""
    return Text(_CONTROL.sub("\N{REPLACEMENT CHARACTER}", text))
