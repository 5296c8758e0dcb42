"""Tasks and jobs on a cluster: order, those that hang or crash, lost actors, no room."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest

from fbridge.data.video.pool import Failure
from fbridge.errors import DataError, DependencyError
from tests.cluster.clusters import running

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.xdist_group("ray")


def task(number: int, deed: str) -> int:
    """A stand-in for the decoder; what it does to its process, crashing media do."""
    if deed == "hang":
        time.sleep(60)
    if deed == "crash":
        os._exit(3)
    if deed == "refuse":
        raise DataError(f"number {number} is damaged")
    if deed == "lack":
        raise DependencyError("no decord here")
    return number


@pytest.fixture(scope="module", autouse=True)
def _cluster() -> Iterator[None]:
    with running(2):
        yield


def test_a_file_that_hangs_or_crashes_costs_itself_alone() -> None:
    from fbridge.cluster.pool import RayPool

    deeds = ["", "hang", "", "crash", "", "refuse", "", ""]
    with RayPool(2, time_limit=1.0, num_cpus=0.5) as pool:
        found = list(pool.map(task, enumerate(deeds), ahead=4))
    assert found[1] == Failure("took longer than 1 s; try it again alone", True)
    assert found[3] == Failure("the decoder crashed; convert the file", True)
    assert found[5] == Failure("number 5 is damaged", False)
    assert [found[n] for n in (0, 2, 4, 6, 7)] == [0, 2, 4, 6, 7]


def test_what_every_file_would_raise_ends_the_run_and_names_the_node() -> None:
    from fbridge.cluster.pool import RayPool

    with (
        RayPool(1, time_limit=5.0, num_cpus=0.5) as pool,
        pytest.raises(DependencyError, match=r"^node \S+ \([\d.]+\): no decord here$"),
    ):
        list(pool.map(task, [(0, "lack")], ahead=1))


def test_lost_actors_are_replaced_and_their_tasks_done_again() -> None:
    from fbridge.cluster.pool import RayPool

    with RayPool(2, time_limit=5.0, num_cpus=0.5) as pool:
        results = pool.map(task, ((number, "") for number in range(40)), ahead=6)
        found = list(islice(results, 10))
        for member in pool._crew.members:
            ray.kill(member.actor)
        found += list(results)
    assert found == list(range(40))


def test_where_nothing_has_room_the_wait_ends() -> None:
    from fbridge.cluster.pool import RayPool

    with (
        RayPool(1, time_limit=5.0, patience=2.0, num_cpus=64) as pool,
        pytest.raises(DependencyError, match=r"no node .* taken a decoder for 2 s; .*ray status"),
    ):
        list(pool.map(task, [(0, "")], ahead=1))


class JobActor:
    """Does what a job says, once it has told of two items."""

    def place(self) -> str:
        return "here"

    def start(self) -> None:
        pass

    def work(self, job: str) -> Iterator[Any]:
        from fbridge.cluster.crew import Refused

        yield 2
        if job == "hang":
            time.sleep(60)
        if job == "crash":
            os._exit(3)
        yield Refused("DataError", "is damaged", "here") if job == "refuse" else job.upper()


def test_a_job_that_crashes_or_hangs_is_given_up_alone_and_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from fbridge.cluster import streams
    from fbridge.cluster.crew import Crew, Refused
    from fbridge.cluster.streams import GivenUp, Lost, Streams, Told

    monkeypatch.setattr(streams, "TRIES", 2)
    actor = ray.remote(JobActor).options(num_cpus=0.5, max_restarts=0)
    crew = Crew(actor.remote, ray.kill, 2, what="a worker")
    jobs = ["crash", "hang", "refuse", *"abcdefgh"]
    try:
        told: list[Told[str]] = list(Streams[str](crew, stall=2.0).run(iter(jobs)))
    finally:
        crew.close()
    ends = {one.job: one.value for one in told if not isinstance(one.value, (int, Lost))}
    assert [ends[job] for job in "abcdefgh"] == list("ABCDEFGH")
    assert ends["refuse"] == Refused("DataError", "is damaged", "here")
    for job, why in (("crash", "died unexpectedly"), ("hang", "told nothing for 2 s")):
        given_up = ends[job]
        assert isinstance(given_up, GivenUp)
        assert given_up.times == 2
        assert why in str(given_up)
    lost = [(one.job, one.value.done) for one in told if isinstance(one.value, Lost)]
    assert sorted(job for job, _ in lost) == ["crash", "crash", "hang", "hang"]
    assert [done for job, done in lost if job == "hang"] == [2, 2]
    # What a process told just before it died may be lost with it.
    assert all(0 <= done <= 2 for job, done in lost if job == "crash")
    assert {one.job for one in told[-6:]} <= {"crash", "hang"}


def test_a_job_that_lost_its_actor_has_the_next_one_for_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from fbridge.cluster import streams
    from fbridge.cluster.crew import Crew
    from fbridge.cluster.streams import Streams

    monkeypatch.setattr(streams, "TRIES", 2)
    actor = ray.remote(JobActor).options(num_cpus=0.5, max_restarts=0)
    crew = Crew(actor.remote, ray.kill, 1, what="a worker")
    beside: list[tuple[str, list[str]]] = []
    begin = Streams._begin

    def noted(self: Any, stream: Any, member: Any) -> None:
        beside.append((stream.job, [other.job for other in member.tasks]))
        begin(self, stream, member)

    monkeypatch.setattr(Streams, "_begin", noted)
    try:
        list(Streams[str](crew, stall=5.0).run(iter(["a", "crash", "b", "c"])))
    finally:
        crew.close()
    first, *later = [place for place, (job, _) in enumerate(beside) if job == "crash"]
    assert beside[first] == ("crash", ["a"])
    assert later
    for place in later:
        assert beside[place] == ("crash", [])
        assert all("crash" not in others for _, others in beside[place:])
