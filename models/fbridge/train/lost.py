"""The error of a run whose other processes are gone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch.distributed as dist

from fbridge.errors import LostProcessError, reason
from fbridge.files.atomic import shown
from fbridge.train.checkpoints.reading import newest

_SIGNS = ("gloo", "NCCL")
"""Libraries that carry data between processes, and name themselves in a plain RuntimeError."""


@contextmanager
def naming_lost_processes(run: Path | None) -> Iterator[None]:
    """Turn errors of the connections between processes into one that says how to go on.

    Args:
        run: its folder; None where another machine has it.

    Raises:
        LostProcessError: another process has ended.
    """
    try:
        yield
    except RuntimeError as error:
        if not _of_connection(error):
            raise
        good = None if run is None else newest(run)
        last = f"the last checkpoint is {shown(good.path)}" if good else "there is no checkpoint"
        if run is None:
            last = "the last checkpoint is the newest that has arrived in the store"
        raise LostProcessError(
            f"another process of this run has ended, or cannot be reached ({_cause(error)}); "
            f"{last}; the same line with --resume goes on, with fewer processes, too"
        ) from error


def _of_connection(error: RuntimeError) -> bool:
    kind = getattr(dist, "DistError", ())  # not in a torch without processes
    return isinstance(error, kind) or any(sign in str(error) for sign in _SIGNS)


def _cause(error: RuntimeError) -> str:
    """What the network said, without the place in the library's source."""
    text = reason(error)
    if "by peer" in text or "Broken pipe" in text:
        return "the connection broke"
    return "the connection timed out" if "timed out" in text.lower() else text[:80]
