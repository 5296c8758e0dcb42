"""Jobs for actors that yield progress and, last, a result; results come as they are ready."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from fbridge.cluster.crew import TRIES, Crew, Member, Refused
from fbridge.errors import DependencyError, reason

Job = TypeVar("Job")
_POLL = 1.0
AHEAD = 2
"""Jobs given to an actor: the one at work, and the next, so that it never waits for this process.
Finished results that wait are bounded by it, too."""


@dataclass(eq=False)
class _Stream(Generic[Job]):
    """A job: what it has told so far, and since when it has told nothing."""

    job: Job
    results: Any = None
    told: int = 0
    losses: int = 0
    heard: float = 0.0


@dataclass(frozen=True)
class Told(Generic[Job]):
    """What a job has yielded; `value` is None when its progress is lost with its actor.

    Attributes:
        job: which one.
        value: what it has yielded.
        lost: sum of the numbers that it had yielded, which do not count any more.
        node: where.
    """

    job: Job
    value: Any
    lost: int
    node: str


class Streams(Generic[Job]):
    """Runs jobs by the actors' generator method `work(job)`.

    It yields numbers of finished items and, last, a result; or a `Refused`.

    Args:
        crew: of the actors.
        stall: seconds without a word from a job after which its actor is given up.
    """

    def __init__(self, crew: Crew, *, stall: float) -> None:
        import ray

        self._ray = ray
        self._crew, self._stall = crew, stall
        self._again: deque[_Stream[Job]] = deque()
        self._given_up: list[tuple[Job, str]] = []

    def run(self, jobs: Iterator[Job]) -> Iterator[Told[Job]]:
        """Run all jobs.

        Raises:
            DependencyError: see `Crew.ready`; or, after all others, that a job was given up.
            FBridgeError: what a job has raised; names the node.
        """
        while True:
            self._give(jobs)
            if not any(member.tasks for member in self._crew.members):
                break
            yield from self._listen()
        if self._given_up:
            job, why = self._given_up[0]
            more = len(self._given_up) - 1
            others = f", like {more} more" if more else ""
            raise DependencyError(
                f"{job}: lost its encoder {TRIES} times{others} (the last time: {why}); the rest "
                "is done; look at the memory of the nodes, or take a smaller --batch-size"
            )

    def _give(self, jobs: Iterator[Job]) -> None:
        """Give each ready actor its next jobs; waits where there are jobs and no actor."""
        while True:
            ready = self._crew.ready(_POLL)
            for member in sorted(ready, key=lambda one: len(one.tasks)):
                if len(member.tasks) < AHEAD:
                    stream = self._next(jobs)
                    if stream is None:
                        return
                    self._begin(stream, member)
            if ready and all(len(member.tasks) >= AHEAD for member in ready):
                return
            if not ready:
                peeked = self._next(jobs)
                if peeked is None:
                    return
                self._again.appendleft(peeked)

    def _next(self, jobs: Iterator[Job]) -> _Stream[Job] | None:
        if self._again:
            return self._again.popleft()
        job = next(jobs, None)
        return None if job is None else _Stream(job)

    def _begin(self, stream: _Stream[Job], member: Member) -> None:
        stream.results = member.actor.work.options(num_returns="streaming").remote(stream.job)
        stream.heard, stream.told = time.monotonic(), 0
        member.tasks.append(stream)

    def _listen(self) -> Iterator[Told[Job]]:
        """What the next job has to tell; looks for silent ones."""
        streams = {stream.results: (member, stream) for member in self._crew.members
                   for stream in member.tasks}  # fmt: skip
        ready, _ = self._ray.wait(list(streams), timeout=_POLL, fetch_local=False)
        for results in ready:
            yield from self._hear(*streams[results])
        now = time.monotonic()
        for member in list(self._crew.members):
            if member.tasks and now - member.tasks[0].heard > self._stall:
                yield from self._lost(member, f"told nothing for {self._stall:g} s")

    def _hear(self, member: Member, stream: _Stream[Job]) -> Iterator[Told[Job]]:
        try:
            value = self._ray.get(next(stream.results))
        except StopIteration:
            member.tasks.remove(stream)
            if member.tasks:
                member.tasks[0].heard = time.monotonic()  # its work begins now
            return
        except self._ray.exceptions.RayError as error:
            yield from self._lost(member, error)
            return
        stream.heard = time.monotonic()
        if isinstance(value, Refused):
            raise value.error()
        self._crew.worked()
        stream.told += value if isinstance(value, int) else 0
        yield Told(stream.job, value, 0, member.node)

    def _lost(self, member: Member, why: object) -> Iterator[Told[Job]]:
        """Give an actor's jobs to others; only the first of them was at work."""
        self._crew.replace(member, why)
        first, *_ = streams = member.tasks
        first.losses += 1
        yield Told(first.job, None, sum(stream.told for stream in streams), member.node)
        if first.losses >= TRIES:
            why = reason(why) if isinstance(why, Exception) else why
            self._given_up.append((first.job, f"{why} on {member.node}"))
            streams = streams[1:]
        self._again.extend(streams)
