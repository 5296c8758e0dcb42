"""Worker processes with a time limit: a file that hangs or crashes costs only its own result."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as Expired
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import wait
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any, Generic, Protocol, TypeVar

from pebble import ProcessExpired, ProcessPool

from fbridge.errors import DataError, DependencyError, FBridgeError, reason

Result = TypeVar("Result")

MEMORY_LIMIT = 16 << 30
"""Maximum bytes of a worker's address space; 8K video needs far less."""

_REVIVALS = 3  # new pools in a row without a result before giving up
_GRACE = 60.0  # seconds for a process to start and for results to come through


class Unreachable(DataError):
    """A video that cannot be had now, and perhaps another time."""


@dataclass(frozen=True)
class Failure:
    """A task without a result.

    Attributes:
        reason: one line.
        transient: whether it may succeed another time, after a timeout or a crash.
    """

    reason: str
    transient: bool


def failure_of(error: Exception) -> Failure:
    """The failure of a task that raised `error`: one odd file never ends a run.

    Raises:
        FBridgeError: it is one that every task would raise, such as a missing package.
    """
    if isinstance(error, DataError):
        return Failure(str(error), transient=isinstance(error, Unreachable))
    if isinstance(error, FBridgeError):
        raise error
    if isinstance(error, MemoryError):
        return Failure(
            f"needs more than {MEMORY_LIMIT >> 30} GiB; make it smaller", transient=False
        )
    kind = type(error).__name__
    text = reason(error)
    what = kind if text == kind else f"{kind}: {text}"
    return Failure(f"cannot be used ({what}); convert it, or leave it out", transient=False)


class TaskPool(Protocol):
    """What runs tasks elsewhere, a file at a time: processes here, or actors of a cluster."""

    @property
    def count(self) -> int:
        """Tasks that run at the same time."""

    def map(
        self, function: Callable[..., Result], tasks: Iterable[tuple[Any, ...]], ahead: int
    ) -> Iterator[Result | Failure]:
        """See `Workers.map`."""


@dataclass
class _Pending(Generic[Result]):
    task: tuple[Any, ...]
    future: Any


class Workers(AbstractContextManager["Workers"]):
    """Processes for tasks with a time limit; use it in a `with` block.

    Leaving the block kills running tasks. If this process dies, so do the workers.
    """

    def __init__(self, count: int, *, time_limit: float) -> None:
        if count < 1 or time_limit <= 0:
            raise ValueError(f"{count} workers with {time_limit} s; both must be more than 0")
        self._count = count
        self._time_limit = time_limit
        self._pool: Any = self._new_pool()

    def __exit__(self, *_: object) -> None:
        """Kill the workers."""
        self._stop()

    @property
    def count(self) -> int:
        """Number of processes."""
        return self._count

    def map(
        self, function: Callable[..., Result], tasks: Iterable[tuple[Any, ...]], ahead: int
    ) -> Iterator[Result | Failure]:
        """function(*task) for each task, in the order of the tasks.

        Args:
            function: importable by name; what it raises becomes a `Failure`, see `failure_of`.
            tasks: read one by one.
            ahead: maximum number of tasks that run or whose results are not yet taken.

        Raises:
            DependencyError: the workers crash again and again.
        """
        if ahead < 1:
            raise ValueError(f"ahead is {ahead}; at least one task must be under way")
        waiting = iter(tasks)
        pending: deque[_Pending[Result]] = deque()
        revivals = 0
        try:
            while True:
                for task in islice(waiting, ahead - len(pending)):
                    pending.append(_Pending(task, self._schedule(function, task)))
                if not pending:
                    return
                try:
                    result = self._result(pending[0].future)
                except BrokenProcessPool:
                    revivals += 1
                    if revivals > _REVIVALS:
                        raise DependencyError(
                            "worker processes end as soon as they start; "
                            "look for a memory limit, or use fewer workers"
                        ) from None
                    self._revive(function, pending)
                    continue
                revivals = 0
                pending.popleft()
                yield result
        finally:
            for entry in pending:
                entry.future.cancel()

    def _result(self, future: Any) -> Any:
        """The result or failure of the next task."""
        try:
            # The next task waits for one other task at most; if longer, the pool has lost it.
            return future.result(timeout=2 * self._time_limit + _GRACE)
        except Expired:
            if not future.done():
                raise BrokenProcessPool from None
            return Failure(f"took longer than {self._time_limit:g} s; try it again alone", True)
        except ProcessExpired:
            return Failure("the decoder crashed; convert the file", True)
        except (BrokenProcessPool, CancelledError):
            raise
        except Exception as error:
            return failure_of(error)

    def _schedule(self, function: Callable[..., Result], task: tuple[Any, ...]) -> Any:
        try:
            return self._pool.schedule(function, args=task, timeout=self._time_limit)
        except RuntimeError:  # the pool broke between two results
            self._stop()
            self._pool = self._new_pool()
            return self._pool.schedule(function, args=task, timeout=self._time_limit)

    def _revive(self, function: Callable[..., Result], pending: deque[_Pending[Result]]) -> None:
        """Start a new pool with all tasks that have no result yet."""
        self._stop()
        self._pool = self._new_pool()
        for entry in pending:
            broken = entry.future.done() and isinstance(entry.future.exception(), BrokenProcessPool)
            if broken or not entry.future.done() or entry.future.cancelled():
                entry.future = self._schedule(function, entry.task)

    def _new_pool(self) -> ProcessPool:
        return ProcessPool(
            max_workers=self._count,
            initializer=_prepare_worker,
            initargs=(_Loudness.here(),),
            context=_QuietContext(),
        )

    def _stop(self) -> None:
        self._pool.stop()
        self._pool.join()


class _QuietProcess(SpawnProcess):
    """A process that ignores Ctrl-C, also while it starts: the parent handles it."""

    def start(self) -> None:
        if not hasattr(signal, "pthread_sigmask"):
            super().start()
            return
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _QuietContext(SpawnContext):
    Process = _QuietProcess


@dataclass(frozen=True)
class _Loudness:
    """Which warnings and messages of libraries are shown, for workers to do as their parent does.

    Attributes:
        filters: of warnings.
        levels: of the loggers that have one of their own.
    """

    filters: tuple[Any, ...]
    levels: dict[str, int]

    @classmethod
    def here(cls) -> _Loudness:
        """Of this process."""
        loggers = logging.Logger.manager.loggerDict.copy()
        levels = {name: getattr(logger, "level", 0) for name, logger in loggers.items()}
        return cls(tuple(warnings.filters), {name: at for name, at in levels.items() if at})

    def adopt(self) -> None:
        """Make it this process's."""
        warnings.filters[:] = self.filters  # type: ignore[index] # a list, whatever its type says
        for name, level in self.levels.items():
            logging.getLogger(name).setLevel(level)


def _prepare_worker(loudness: _Loudness) -> None:
    """In the worker: end on SIGTERM or with the parent; lower priority; limit the memory."""
    loudness.adopt()
    if hasattr(os, "nice"):
        os.nice(5)  # the encoder's threads wait for the slowest of them
    signal.signal(
        signal.SIGTERM, signal.SIG_DFL
    )  # Python's handler would wait for ffmpeg to return
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent.sentinel,), daemon=True).start()
    with suppress(ImportError, OSError, ValueError):
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[1]
        most = MEMORY_LIMIT if limit == resource.RLIM_INFINITY else min(limit, MEMORY_LIMIT)
        resource.setrlimit(resource.RLIMIT_AS, (most, limit))


def _follow(parent: int) -> None:
    wait([parent])
    os._exit(1)
