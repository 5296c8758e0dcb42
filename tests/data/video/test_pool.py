from __future__ import annotations

import itertools
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from fbridge.data.video import decode_clip, survey_file
from fbridge.data.video.buckets import Bucket, parse_buckets
from fbridge.data.video.clip import Decoded
from fbridge.data.video.clip_sampling import ClipSampling
from fbridge.data.video.pool import MEMORY_LIMIT, Failure, Workers
from fbridge.data.video.survey import Survey
from fbridge.errors import DependencyError
from tests.data.video import tasks
from tests.data.video.conftest import Shelf
from tests.data.video.films import KINDS, read_numbers

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    with Workers(2, time_limit=2) as pool:
        yield pool


def test_results_come_in_the_order_of_the_tasks(workers: Workers) -> None:
    waits = [0.3, 0.0, 0.1, 0.0, 0.2, 0.0]
    results = workers.map(tasks.wait_then_double, enumerate(waits), ahead=4)
    assert list(results) == [0, 2, 4, 6, 8, 10]


@pytest.mark.parametrize("ahead", [1, 3])
def test_tasks_are_read_as_there_is_room(workers: Workers, ahead: int) -> None:
    read = 0

    def endless() -> Iterator[tuple[int]]:
        nonlocal read
        for number in itertools.count():
            read += 1
            yield (number,)

    results = workers.map(tasks.double, endless(), ahead=ahead)
    assert read == 0
    for done, result in enumerate(itertools.islice(results, 20)):
        assert result == 2 * done
        assert read <= done + ahead
    results.close()  # type: ignore[attr-defined]


def test_a_task_that_hangs_is_killed_and_the_others_are_not(workers: Workers) -> None:
    waits = [0.0, 600.0, 0.0, 0.1, 0.0, 0.1]
    start = time.monotonic()
    results = list(workers.map(tasks.wait_then_double, enumerate(waits), ahead=4))
    assert time.monotonic() - start < 10
    failure = results.pop(1)
    assert isinstance(failure, Failure)
    assert failure.transient
    assert failure.reason.startswith("took longer than 2 s; ")
    assert results == [0, 4, 6, 8, 10]


def test_time_counts_from_the_start_of_a_task(workers: Workers) -> None:
    """Six tasks of 0.7 s for two workers: the last begin after 1.4 s and end after 2.1 s."""
    results = workers.map(tasks.wait_then_double, [(n, 0.7) for n in range(6)], ahead=6)
    assert list(results) == [0, 2, 4, 6, 8, 10]


def test_even_what_answers_no_signal_is_killed(workers: Workers) -> None:
    start = time.monotonic()
    [result] = workers.map(tasks.stay_in_c, [()], ahead=1)
    assert isinstance(result, Failure)
    assert result.transient
    assert time.monotonic() - start < 4.5  # it is not asked politely first


def test_crashes(workers: Workers) -> None:
    for _ in range(3):
        assert (
            list(workers.map(tasks.crash, [()] * 2, ahead=2))
            == [Failure("the decoder crashed; convert the file", True)] * 2
        )
        assert list(workers.map(tasks.double, [(4,)], ahead=1)) == [8]


def test_errors(workers: Workers) -> None:
    results = workers.map(tasks.refuse, [("is damaged",), ("is empty",)], ahead=2)
    assert list(results) == [Failure("is damaged", False), Failure("is empty", False)]
    with pytest.raises(DependencyError, match="no decord"):
        list(workers.map(tasks.miss, [()], ahead=1))
    [failure] = workers.map(tasks.stumble, [()], ahead=2)
    reason = "cannot be used (ZeroDivisionError); convert it, or leave it out"
    assert failure == Failure(reason, transient=False)
    assert list(workers.map(tasks.double, [(4,)], ahead=1)) == [8]


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory differ")
def test_a_worker_takes_no_more_than_its_share_of_memory(workers: Workers) -> None:
    results = workers.map(tasks.allocate, [(MEMORY_LIMIT,), (1 << 20,)], ahead=1)
    assert list(results) == [Failure("needs more than 16 GiB; make it smaller", False), 1 << 20]


def test_workers_that_are_killed_while_idle_are_replaced(workers: Workers) -> None:
    assert list(workers.map(tasks.double, [(4,)], ahead=1)) == [8]
    for _ in range(2):
        children = [c for c in multiprocessing.active_children() if "pebble" in c.name]
        assert children
        for child in children:
            child.kill()
        assert list(workers.map(tasks.double, [(1,), (2,), (3,)], ahead=3)) == [2, 4, 6]


def test_an_early_end_kills_what_still_runs(tmp_path: Path) -> None:
    before = set(multiprocessing.active_children())
    with Workers(2, time_limit=100) as pool:
        results = pool.map(tasks.wait_then_double, [(1, 0.0), (2, 99.0), (3, 99.0)], ahead=3)
        assert next(results) == 2
        results.close()  # type: ignore[attr-defined]
        start = time.monotonic()
        assert list(pool.map(tasks.double, [(4,)], ahead=1)) == [8], "room is made at once"
        assert time.monotonic() - start < 10
        running = pool.map(
            tasks.sleep_as_told, [(tmp_path, False), (tmp_path, True), (tmp_path, True)], 3
        )
        assert next(running) is None
        assert _wait_for(lambda: len(list(tmp_path.iterdir())) == 2)
        start = time.monotonic()
    assert time.monotonic() - start < 5
    assert set(multiprocessing.active_children()) <= before


def test_workers_show_what_their_parent_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    loud = logging.getLogger("a.loud.library")
    monkeypatch.setattr(loud, "level", logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with Workers(1, time_limit=20) as pool:
            shown = list(pool.map(tasks.shown_of, [("a.loud.library",)], ahead=1))
    assert shown == [(logging.ERROR, "ignore")]


def test_numbers_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="more than 0"):
        Workers(0, time_limit=1)
    with pytest.raises(ValueError, match="more than 0"):
        Workers(1, time_limit=0)
    with Workers(1, time_limit=1) as pool, pytest.raises(ValueError, match="at least one"):
        next(pool.map(tasks.double, [], ahead=0))


def test_films_through_workers(shelf: Shelf) -> None:
    films = [shelf(name) for name in KINDS if name.startswith(("film", "plain", "front", "mpeg4"))]
    cutting = ClipSampling(parse_buckets("64x64x4"), stride=5)
    with Workers(2, time_limit=30) as pool:
        surveys = list(pool.map(survey_file, ((film, cutting) for film in films), ahead=3))
        assert all(isinstance(survey, Survey) for survey in surveys)
        clips = pool.map(
            decode_clip,
            (
                (film, survey.cuts[0].pts, Bucket(96, 96, 4), "pyav")
                for film, survey in zip(films, surveys, strict=True)
                if isinstance(survey, Survey)
            ),
            ahead=3,
        )
        for clip in clips:
            assert isinstance(clip, Decoded)
            assert read_numbers(clip.frames) == [0, 5, 10, 15]


def test_workers_never_import_torch() -> None:
    program = "import sys, fbridge.data.video; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], env=_environment()).returncode == 0


PROGRAM = """
import sys
from pathlib import Path
from fbridge.data.video.pool import Workers
from tests.data.video import tasks

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    with Workers(2, time_limit=100) as workers:
        print("go", flush=True)
        list(workers.map(getattr(tasks, sys.argv[2]), [(folder,)] * 4, ahead=4))
"""


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'models'}"}


def _started(folder: Path, task: str) -> subprocess.Popen[str]:
    script = folder / "program.py"
    script.write_text(PROGRAM)
    (folder / "pids").mkdir()
    process = subprocess.Popen(
        [sys.executable, str(script), str(folder / "pids"), task],
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "go\n"
    return process


def _alive_in_session(leader: int) -> list[str]:
    """Processes of the session that are not dead (Z) or about to be reaped (X)."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader and fields[0] not in "ZX":
            found.append(entry.parent.name)
    return found


def _wait_for(condition: object, seconds: float = 15) -> bool:
    assert callable(condition)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


@linux
@pytest.mark.parametrize("when", ["starting", "working"])
def test_ctrl_c_leaves_no_process_and_one_traceback(tmp_path: Path, when: str) -> None:
    process = _started(tmp_path, "sleep_as")
    if when == "working":
        assert _wait_for(lambda: len(list((tmp_path / "pids").iterdir())) == 2)
    else:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == -signal.SIGINT
    assert errors.count("Traceback") == 1
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert _wait_for(lambda: not _alive_in_session(process.pid))


@linux
def test_workers_die_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    process = _started(tmp_path, "sleep_as")
    assert _wait_for(lambda: len(list((tmp_path / "pids").iterdir())) == 2)
    assert len(_alive_in_session(process.pid)) >= 3
    process.kill()
    process.communicate(timeout=20)
    assert _wait_for(lambda: not _alive_in_session(process.pid))
