"""Jobs for actors that yield progress and, last, a result; results come as they are ready.

A job that crashes or hangs its actor takes nobody with it: it counts the loss, and is given up
after `TRIES` of them. What an actor told last may be lost with it, so that the job before the one
at fault may be blamed; therefore one that has a loss has its next actor for itself.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from fbridge.cluster.crew import TRIES, Crew, Member
from fbridge.errors import reason

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
class Lost:
    """The actor of a job is lost, which is begun anew elsewhere.

    Attributes:
        done: sum of the numbers that the job had yielded, which do not count any more.
    """

    done: int


@dataclass(frozen=True)
class GivenUp:
    """The end of a job that has lost its actor so many times; why, the last time."""

    times: int
    why: str

    def __str__(self) -> str:
        return f"lost its worker {self.times} times (the last time: {self.why})"


@dataclass(frozen=True)
class Told(Generic[Job]):
    """What has become of a job.

    Attributes:
        job: which one.
        value: a number of finished items; `Lost`; and, last, its result, a `Refused` or `GivenUp`.
        node: where.
    """

    job: Job
    value: Any
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

    def run(self, jobs: Iterator[Job]) -> Iterator[Told[Job]]:
        """Run all jobs; each ends with one result, `Refused` or `GivenUp`.

        Raises:
            DependencyError: see `Crew.ready`.
        """
        while True:
            self._give(jobs)
            if not any(member.tasks for member in self._crew.members):
                return
            yield from self._listen()

    def _give(self, jobs: Iterator[Job]) -> None:
        """Give each ready actor its next jobs; waits where there are jobs and no actor."""
        while True:
            ready = self._crew.ready(_POLL)
            if ready and not any(_has_room(member, AHEAD) for member in ready):
                return
            stream = self._next(jobs)
            if stream is None:
                return
            most = 1 if stream.losses else AHEAD
            free = [member for member in ready if _has_room(member, most)]
            if free:
                self._begin(stream, min(free, key=lambda one: len(one.tasks)))
                continue
            self._again.appendleft(stream)
            if ready:
                return

    def _next(self, jobs: Iterator[Job]) -> _Stream[Job] | None:
        """The next one; those that have lost an actor come last, so that they delay no others."""
        untried = next((stream for stream in self._again if not stream.losses), None)
        if untried is not None:
            self._again.remove(untried)
            return untried
        job = next(jobs, None)
        if job is not None:
            return _Stream(job)
        return self._again.popleft() if self._again else None

    def _begin(self, stream: _Stream[Job], member: Member) -> None:
        stream.results = member.actor.work.options(num_returns="streaming").remote(stream.job)
        stream.heard, stream.told = time.monotonic(), 0
        member.tasks.append(stream)

    def _listen(self) -> Iterator[Told[Job]]:
        """What the next job has to tell; looks for silent ones.

        Only the first job of an actor is at work. A later one may already be known to have failed
        with the actor, for which it is not to blame.
        """
        streams = {member.tasks[0].results: member for member in self._crew.members if member.tasks}
        ready, _ = self._ray.wait(list(streams), timeout=_POLL, fetch_local=False)
        for results in ready:
            yield from self._hear(streams[results])
        now = time.monotonic()
        for member in list(self._crew.members):
            if member.tasks and now - member.tasks[0].heard > self._stall:
                yield from self._lost(member, f"told nothing for {self._stall:g} s")

    def _hear(self, member: Member) -> Iterator[Told[Job]]:
        stream = member.tasks[0]
        try:
            value = self._ray.get(next(stream.results))
        except (self._ray.exceptions.RayError, StopIteration) as error:
            yield from self._lost(member, error)
            return
        self._crew.worked()
        stream.heard = time.monotonic()
        if isinstance(value, int):
            stream.told += value
        else:  # its end
            member.tasks.remove(stream)
            if member.tasks:
                member.tasks[0].heard = time.monotonic()  # its work begins now
        yield Told(stream.job, value, member.node)

    def _lost(self, member: Member, why: object) -> Iterator[Told[Job]]:
        """Give an actor's jobs to others; only the first of them was at work."""
        self._crew.replace(member, why)
        first, *_ = streams = member.tasks
        first.losses += 1
        yield Told(first.job, Lost(first.told), member.node)
        if first.losses >= TRIES:
            cause = getattr(why, "cause", None) or why  # of an error that Ray has wrapped
            text = reason(cause) if isinstance(cause, Exception) else str(cause)
            yield Told(first.job, GivenUp(first.losses, text), member.node)
            streams = streams[1:]
        self._again.extend(streams)


def _has_room(member: Member, most: int) -> bool:
    """Whether an actor has fewer jobs, and none that is to be alone."""
    return len(member.tasks) < most and not any(stream.losses for stream in member.tasks)
