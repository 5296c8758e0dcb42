"""`RayPool`: the tasks of `fbridge.data.video.pool.Workers`, on the machines of a cluster."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from fbridge.cluster.crew import PATIENCE, TRIES, Crew, Member, Refused, this_node
from fbridge.cluster.driver import Driver
from fbridge.data.video.pool import Failure, Workers

Result = TypeVar("Result")
_GRACE = 60.0  # seconds for a worker's process to start and for a result to come through
_POLL = 1.0
_AGAIN = object()


class TaskActor:
    """Runs tasks one at a time, each in a child process that is killed when it takes too long.

    So a file that hangs or crashes costs neither the actor nor the node anything.
    """

    def __init__(self, time_limit: float, driver: Driver) -> None:
        self._time_limit, self._driver = time_limit, driver
        self._workers: Workers | None = None

    def place(self) -> str:
        """Name of the node."""
        return this_node()

    def start(self) -> Refused | None:
        """Be ready."""
        try:
            self._driver.adopt()
        except Exception as error:
            return Refused.of(error)
        self._workers = Workers(1, time_limit=self._time_limit)
        return None

    def run(self, function: Callable[..., Any], task: tuple[Any, ...]) -> Any:
        """function(*task), or its `Failure`, or a `Refused`."""
        assert self._workers is not None, "start comes first"
        try:
            return next(self._workers.map(function, [task], 1))
        except Exception as error:
            return Refused.of(error)


@dataclass(eq=False)
class _Pending:
    task: tuple[Any, ...]
    member: Member | None = None
    result: Any = None
    losses: int = 0


class RayPool(AbstractContextManager["RayPool"]):
    """Actors for tasks with a time limit; use it in a `with` block, which kills them.

    Args:
        count: of tasks at the same time.
        time_limit: seconds of one task.
        what: the actors are, in messages.
        patience: see `Crew`.
        options: of each actor, such as `num_cpus`.
    """

    def __init__(
        self,
        count: int,
        *,
        time_limit: float,
        what: str = "a decoder",
        patience: float = PATIENCE,
        **options: Any,
    ) -> None:
        import ray

        self._ray = ray
        self._count, self._time_limit = count, time_limit
        actor = ray.remote(TaskActor).options(max_restarts=0, max_task_retries=0, **options)
        driver = Driver.here()
        self._crew = Crew(
            lambda: actor.remote(time_limit, driver), ray.kill, count, what=what, patience=patience
        )

    def __exit__(self, *_: object) -> None:
        """Kill the actors."""
        self._crew.close()

    @property
    def count(self) -> int:
        """Number of actors."""
        return self._count

    def map(
        self, function: Callable[..., Result], tasks: Iterable[tuple[Any, ...]], ahead: int
    ) -> Iterator[Result | Failure]:
        """As `Workers.map`: results in the order of the tasks.

        A task whose actor is lost runs again elsewhere, and is a `Failure` after `TRIES` losses.

        Raises:
            DependencyError: see `Crew.ready`.
            FBridgeError: what every task would raise; names the node.
        """
        waiting = iter(tasks)
        pending: deque[_Pending] = deque()
        while True:
            pending.extend(map(_Pending, islice(waiting, ahead - len(pending))))
            if not pending:
                return
            self._assign(function, pending)
            result = self._result(pending)
            if result is not _AGAIN:
                entry = pending.popleft()
                if entry.member is not None:
                    entry.member.tasks.remove(entry)
                yield result

    def _assign(self, function: Callable[..., Any], pending: Iterable[_Pending]) -> None:
        """Give tasks that have no actor to the actors with the least to do."""
        free = [entry for entry in pending if entry.member is None]
        ready = self._crew.ready(_POLL) if free else []
        for entry in free if ready else ():
            member = min(ready, key=lambda one: len(one.tasks))
            member.tasks.append(entry)
            entry.member = member
            entry.result = member.actor.run.remote(function, entry.task)

    def _result(self, pending: deque[_Pending]) -> Any:
        """What has become of the first task, or _AGAIN."""
        entry = pending[0]
        if entry.member is None:
            return _AGAIN
        # It runs now: tasks that its actor was given before have been taken already.
        end = time.monotonic() + 2 * self._time_limit + _GRACE
        while not self._ray.wait([entry.result], timeout=_POLL)[0]:
            if time.monotonic() > end:
                return self._lost(entry, "does not answer")
        try:
            result = self._ray.get(entry.result)
        except self._ray.exceptions.RayError as error:
            return self._lost(entry, error)
        if isinstance(result, Refused):
            raise result.error()
        self._crew.worked()
        return result

    def _lost(self, entry: _Pending, why: object) -> Any:
        """Replace the actor of a task; the task is given up after `TRIES` of them."""
        assert entry.member is not None
        self._crew.replace(entry.member, why)
        for other in list(entry.member.tasks):
            other.member = other.result = None
        entry.losses += 1
        if entry.losses < TRIES:
            return _AGAIN
        return Failure(f"its worker was lost {TRIES} times; try it again alone", transient=True)
