"""Actors of one class: made, awaited, replaced when they are lost, and killed at the end."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fbridge import errors
from fbridge.errors import DependencyError, FBridgeError, reason

PATIENCE = 300.0
"""Seconds for which work waits for the first actor that can take it."""
TRIES = 4
"""Actors that may be lost over one task before it is given up."""
_LOADING = 3600.0  # seconds for an actor that has a place to load what it needs
_LOSSES = 3  # actors lost without a result in between, for each actor of the crew


@dataclass(frozen=True)
class Refused:
    """An error as a value, since Ray gives raised ones other types.

    Attributes:
        kind: name of its class in `fbridge.errors`.
        text: one line.
        node: where it happened.
    """

    kind: str
    text: str
    node: str

    @classmethod
    def of(cls, error: Exception) -> Refused:
        """That of an error in this process."""
        if isinstance(error, FBridgeError):
            return cls(type(error).__name__, str(error), this_node())
        return cls("FBridgeError", f"{type(error).__name__}: {reason(error)}", this_node())

    def error(self) -> FBridgeError:
        """To be raised where the work was asked for."""
        return self._named(f"node {self.node}: {self.text}")

    def plain_error(self) -> FBridgeError:
        """The same without the node, of what would be so on any."""
        return self._named(self.text)

    def _named(self, text: str) -> FBridgeError:
        found: FBridgeError = getattr(errors, self.kind, FBridgeError)(text)
        return found


def this_node() -> str:
    """Name and address of this machine."""
    import ray

    return f"{platform.node()} ({ray.util.get_node_ip_address()})"


@dataclass(eq=False)
class Member:
    """One actor.

    Attributes:
        actor: its handle.
        starting: the reference of its `place()`, then of its `start()`, until that has answered.
        node: where it is, "" before it has a place.
        tasks: under way or waiting there, in order.
    """

    actor: Any
    starting: Any
    node: str = ""
    tasks: list[Any] = field(default_factory=list)


class NoRoomError(DependencyError):
    """No node has taken an actor for too long."""


class Crew:
    """Actors with the methods `place()`, which gives the node's name, and then `start()`.

    The latter may take long, and gives None or a `Refused`.

    Args:
        make: creates one actor; Ray places it when there is room.
        discard: ends one, which may be lost already.
        count: of actors.
        what: they are, in messages.
        patience: seconds without any actor at work before an error.
    """

    def __init__(
        self,
        make: Callable[[], Any],
        discard: Callable[[Any], None],
        count: int,
        *,
        what: str,
        patience: float = PATIENCE,
    ) -> None:
        import ray

        self._ray = ray
        self._make, self._discard = make, discard
        self._what, self._patience = what, patience
        self._losses = 0
        self._proven = False  # whether any has given a result
        self._idle_since = time.monotonic()
        self.members = [self._new() for _ in range(count)]

    def ready(self, wait: float = 0.0) -> list[Member]:
        """The actors that have started, after at most `wait` seconds if there is none.

        Raises:
            NoRoomError: none has started for too long.
            DependencyError: they end as soon as they start.
            FBridgeError: one cannot work, such as for a missing package; names the node.
        """
        starting = {member.starting: member for member in self.members if member.starting}
        if starting:
            wait = wait if len(starting) == len(self.members) else 0.0
            for reference in self._ray.wait(
                list(starting), num_returns=1 if wait else len(starting), timeout=wait
            )[0]:
                self._started(starting[reference])
        ready = [member for member in self.members if member.starting is None]
        if ready:
            self._idle_since = time.monotonic()
        elif time.monotonic() - self._idle_since > (limit := self._limit()):
            raise NoRoomError(
                f"no node of the Ray cluster has taken {self._what} for {limit:g} s; "
                "look at ray status: nodes may be lost or other jobs may hold them; the same line "
                "goes on from here"
            )
        return ready

    def replace(self, member: Member, why: object) -> None:
        """Put a new actor in the place of one that is lost.

        Raises:
            DependencyError: they are lost again and again while they start, or before any result:
                then it is no task's fault.
        """
        self._losses += 1 if member.starting is not None or not self._proven else 0
        self._discard(member.actor)
        if self._losses > _LOSSES * (len(self.members) + TRIES):
            lines = [line.strip() for line in str(why).splitlines() if line.strip()]
            where = f" on {member.node}" if member.node else ""
            raise DependencyError(
                f"{self._what} of the Ray cluster ends as soon as it starts{where} "
                f"({lines[-1] if lines else 'no reason is given'}); look at fbridge doctor "
                "--engine ray, and for a limit of memory"
            )
        self.members[self.members.index(member)] = self._new()

    def worked(self) -> None:
        """A result has come: what is lost from now on is counted anew."""
        self._losses, self._proven = 0, True

    def close(self) -> None:
        """Kill all actors."""
        for member in self.members:
            self._discard(member.actor)
        self.members = []

    def _limit(self) -> float:
        """Seconds to wait for the first that is ready."""
        return _LOADING if any(member.node for member in self.members) else self._patience

    def _new(self) -> Member:
        actor = self._make()
        return Member(actor, actor.place.remote())

    def _started(self, member: Member) -> None:
        try:
            answer = self._ray.get(member.starting)
        except self._ray.exceptions.RayError as error:
            if "No module named" in str(error):
                line = next(line for line in str(error).splitlines() if "No module named" in line)
                raise DependencyError(
                    f"a node of the Ray cluster cannot run {self._what} ({line.strip()}); install "
                    "the same fbridge on all of them: fbridge doctor --engine ray compares them"
                ) from None
            self.replace(member, error)
            return
        if isinstance(answer, Refused):
            raise answer.error()
        if member.node:
            member.starting = None
        else:
            member.node, member.starting = answer, member.actor.start.remote()
            self._idle_since = time.monotonic()
