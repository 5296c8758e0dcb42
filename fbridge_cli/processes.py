"""This process among several, as torchrun and accelerate launch them, and its signals."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from fbridge.errors import ConfigError, FBridgeError, LostProcessError
from fbridge_cli.exit_codes import Stopped, Terminated

ECHO = 2.0
"""Seconds within which a second signal is the first one, passed on by a launcher."""
_MOST_WORKERS = 8


@dataclass(frozen=True)
class Process:
    """One process of a launch.

    Attributes:
        number, world: which one of how many.
        local, neighbours: which one of how many on this machine.
    """

    number: int = 0
    world: int = 1
    local: int = 0
    neighbours: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that prints."""
        return self.number == 0

    @property
    def name(self) -> str:
        """Prefix of its lines; empty for a single process."""
        return "" if self.world == 1 else f"process {self.number}: "

    def workers(self) -> int:
        """Default number of decoding processes: its share of the cores."""
        able = getattr(os, "sched_getaffinity", None)
        cores = len(able(0)) if able else os.cpu_count() or 1
        return max(1, min(_MOST_WORKERS, cores // self.neighbours))


def this_process(environment: Mapping[str, str] = os.environ) -> Process:
    """The process that a launcher's variables describe; without a launcher, the only one.

    Raises:
        ConfigError: RANK or another of the variables is no number, or they contradict each other.
    """
    world = _number(environment, "WORLD_SIZE", 1)
    number = _number(environment, "RANK", 0)
    if number >= max(1, world):
        raise ConfigError(
            f"RANK {number}: must be below WORLD_SIZE, which is {world}; unset both, or start "
            "with accelerate launch"
        )
    if world <= 1:
        return Process()
    local = _number(environment, "LOCAL_RANK", number)
    return Process(number, world, local, max(1, _number(environment, "LOCAL_WORLD_SIZE", 1)))


@contextmanager
def naming_errors(process: Process, *, delay: float | None = None) -> Iterator[None]:
    """Prefix errors with the process, where there are several.

    Args:
        process: this one.
        delay: seconds for which another process than the first waits with its error. Where the
            first one fails likewise, its error is printed without a prefix and the launcher ends
            the others meanwhile, so that it appears once. None is no wait and a prefix for all.
            With the error that another process is lost the first two of a machine do not wait: one
            of them is there to print it, whichever is gone.
    """
    named = process.name if delay is None or not process.first else ""
    try:
        yield
    except Stopped as stop:
        raise Stopped(f"{named}{stop}" if str(stop) else "", stop.code) from None
    except Exception as error:
        if isinstance(error, LostProcessError) and process.local < 2:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the launcher's, which comes meanwhile
        elif delay is not None and not process.first:
            time.sleep(delay)
        if named and isinstance(error, FBridgeError):
            raise type(error)(f"{named}{error}") from error
        raise


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, "").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdigit()):
        raise ConfigError(f"{name} {text}: is no number; unset it, or start with accelerate launch")
    return int(text)


class StopAtStep:
    """Within it, Ctrl-C and requests to end are kept for the training loop, which calls it.

    A second signal stops at once, unless it follows the first within `ECHO` seconds: a launcher
    passes on to its processes what the terminal has sent to them already. A signal that the system
    ignores (nohup) stays ignored.
    """

    def __init__(self) -> None:
        self._asked: float | None = None
        self._before: dict[int, Any] = {}

    def __call__(self) -> bool:
        """Whether a signal has come."""
        return self._asked is not None

    def __enter__(self) -> StopAtStep:
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) != signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        now = time.monotonic()
        if self._asked is not None and now - self._asked > ECHO:
            raise KeyboardInterrupt if number == signal.SIGINT else Terminated(number)
        self._asked = self._asked or now
