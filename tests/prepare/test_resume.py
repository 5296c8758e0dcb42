from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from fbridge.errors import DataError
from fbridge.prepare import Rank
from fbridge.prepare.locks import RankLock
from fbridge.prepare.run import Finished, Planned
from tests.prepare.sets import Order, run, run_in_child, tree


@pytest.fixture
def straight(order: Order, tmp_path: Path) -> dict[str, str]:
    """What an undisturbed run makes."""
    options = order(out=tmp_path / "straight")
    run(options)
    return tree(options.out)


@pytest.mark.slow
def test_twenty_kills_change_nothing(
    order: Order, tmp_path: Path, straight: dict[str, str]
) -> None:
    options = order()
    started = time.monotonic()
    run(order(out=tmp_path / "timed"))
    whole = time.monotonic() - started
    moments = random.Random(4)
    killed = 0
    for _ in range(20):
        child = run_in_child(options)
        time.sleep(moments.uniform(0.2, 0.9) * whole)
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        killed += os.WIFSIGNALED(status)
    run(options)
    assert tree(options.out) == straight
    assert killed >= 3


@pytest.mark.parametrize("stop", [1, 6, 12, 13, 14, 15, 16])
def test_a_closed_run_goes_on(order: Order, straight: dict[str, str], stop: int) -> None:
    from fbridge.prepare import prepare

    options = order()
    events = prepare(options)
    for _ in range(stop):
        next(events, None)
    events.close()  # type: ignore[attr-defined]
    run(options)
    assert tree(options.out) == straight


def test_several_processes_make_what_one_makes(order: Order, straight: dict[str, str]) -> None:
    children = [run_in_child(order(rank=Rank(number, 3))) for number in (1, 2)]
    events = run(order(rank=Rank(0, 3)))
    for child in children:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert isinstance(events[-1], Finished)
    assert events[-1].index is not None
    assert tree(order().out) == straight


def test_what_dead_processes_left_is_done_by_the_first(
    order: Order, straight: dict[str, str]
) -> None:
    events = run(order(rank=Rank(0, 4)))  # the other three never come
    planned = next(event for event in events if isinstance(event, Planned))
    assert planned.tally.clips == 10
    assert tree(order().out) == straight


def test_two_runs_at_once_are_one_too_many(order: Order) -> None:
    options = order()
    with RankLock(options.out, Rank()):
        with pytest.raises(DataError, match="another fbridge prepare is at work there"):
            run(options)
        with RankLock(options.out, Rank(1, 2)) as other:
            assert other.others_alive()
    with RankLock(options.out, Rank(1, 2)) as other:
        assert not other.others_alive()
