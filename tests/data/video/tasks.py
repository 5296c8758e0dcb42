"""What workers are given to do: importable in a new process."""

from __future__ import annotations

import hashlib
import logging
import os
import signal
import time
import warnings
from pathlib import Path

from fbridge.errors import DataError, DependencyError


def double(number: int) -> int:
    return 2 * number


def wait_then_double(number: int, seconds: float) -> int:
    time.sleep(seconds)
    return 2 * number


def crash() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def refuse(reason: str) -> None:
    raise DataError(reason)


def miss() -> None:
    raise DependencyError("there is no decord")


def stumble() -> None:
    raise ZeroDivisionError


def allocate(size: int) -> int:
    return len(bytearray(size))


def shown_of(name: str) -> tuple[int, str]:
    """The level of a logger, and what is done with deprecation warnings."""
    action = next(one[0] for one in warnings.filters if issubclass(DeprecationWarning, one[2]))
    return logging.getLogger(name).level, action


def sleep_as(folder: Path) -> None:
    """Leave a file named after the process, then sleep."""
    (folder / str(os.getpid())).touch()
    time.sleep(120)


def sleep_as_told(folder: Path, sleeps: bool) -> None:
    if sleeps:
        sleep_as(folder)


def stay_in_c() -> None:
    """As a decoder that never returns: Python answers no signal meanwhile."""
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
