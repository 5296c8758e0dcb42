"""Exit codes, --debug, and interrupts by Ctrl-C or a signal."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType

from fbridge.errors import CheckpointError, ConfigError, DataError, DependencyError, FBridgeError

INTERNAL = 1
USAGE = 2
INTERRUPTED = 130

VARIABLE = "FBRIDGE_DEBUG"
"""Environment variable that, when set, shows tracebacks and libraries' warnings."""

DEBUG: ContextVar[bool] = ContextVar("debug", default=False)
"""Whether --debug was given."""

_CODES: dict[type[FBridgeError], int] = {
    ConfigError: USAGE,
    DataError: 3,
    CheckpointError: 4,
    DependencyError: 4,
}


class Stopped(Exception):
    """The user or the system stopped the command; the message, if any, says what is finished."""

    def __init__(self, message: str, code: int = INTERRUPTED) -> None:
        super().__init__(message)
        self.code = code


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP, handled like Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.code = 128 + number


def debugging() -> bool:
    """Whether to show tracebacks and libraries' warnings."""
    return DEBUG.get() or bool(os.environ.get(VARIABLE))


def exit_code(error: FBridgeError) -> int:
    """The exit code of an error that the user can correct."""
    return next((code for kind, code in _CODES.items() if isinstance(error, kind)), INTERNAL)


def interrupt_code(error: KeyboardInterrupt) -> int:
    """130 for Ctrl-C, 128 plus the signal's number for a signal."""
    return error.code if isinstance(error, Terminated) else INTERRUPTED


@contextmanager
def signals_as_interrupts() -> Iterator[list[int]]:
    """Raise `Terminated` on SIGTERM and SIGHUP, so that half-written files are removed.

    Yields the numbers of the signals that came, since Typer turns any interrupt into code 130.
    """
    came: list[int] = []

    def terminate(number: int, _: FrameType | None) -> None:
        came.append(number)
        raise Terminated(number)

    numbers = [getattr(signal, name, None) for name in ("SIGTERM", "SIGHUP")]
    ours = [number for number in numbers if number and signal.getsignal(number) == signal.SIG_DFL]
    for number in ours:
        signal.signal(number, terminate)
    try:
        yield came
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
