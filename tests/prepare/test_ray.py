"""Any number of workers of a cluster, also with nodes and drivers lost, make the same bytes."""

from __future__ import annotations

import pickle
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fbridge.data.video.buckets import Bucket
from fbridge.data.video.clip_sampling import ClipSampling
from fbridge.prepare import RayOptions, prepare
from fbridge.prepare.run import Note, Planned, Progress
from tests.cluster.clusters import running
from tests.prepare.sets import Order, film, run, tree

pytest.importorskip("ray")
pytestmark = [pytest.mark.xdist_group("ray"), pytest.mark.slow]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with running(2, 2) as found:
        yield found


@pytest.fixture
def straight(order: Order, tmp_path: Path) -> dict[str, str]:
    """What this process makes alone."""
    options = order(out=tmp_path / "straight")
    run(options)
    return tree(options.out)


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("workers", [1, 4])  # two workers: below
def test_any_number_of_workers_makes_the_same(
    order: Order, straight: dict[str, str], workers: int
) -> None:
    options = order(ray=RayOptions(workers=workers))
    events = run(options)
    done = [event.done for event in events if isinstance(event, Progress) and event.total]
    assert done[-1] == 10
    assert tree(options.out) == straight


@pytest.mark.usefixtures("cluster")
def test_a_file_that_hangs_is_rejected_by_name_and_alone(
    order: Order, source: Path, tmp_path: Path
) -> None:
    shutil.copytree(source, tmp_path / "mine")
    with (tmp_path / "mine" / "endless.mp4").open("wb") as file:
        file.truncate(2**42)  # no room is taken, and reading it takes an hour
    options = order(source=tmp_path / "mine", time_limit=8.0, max_bad=1.0, ray=RayOptions())
    planned = run(options, dry_run=True)[-1]
    assert isinstance(planned, Planned)
    assert [(out.key, out.reason) for out in planned.tally.examples] == [
        ("endless.mp4", "took longer than 8 s; try it again alone")
    ]
    assert planned.tally.clips == 10


def test_a_node_killed_at_work_changes_nothing(order: Order, cluster: Any, tmp_path: Path) -> None:
    for number in range(24):
        film(tmp_path / "films" / f"{number}.mp4", number)
    work = {"source": tmp_path / "films", "cutting": ClipSampling((Bucket(96, 96, 8),))}
    alone = order(out=tmp_path / "straight", **work)
    run(alone)
    options = order(ray=RayOptions(workers=2), **work)
    moment = random.Random(5).randrange(1, 12)
    lost: list[str] = []
    for event in prepare(options):
        if isinstance(event, Progress) and event.what == "encoding" and event.done >= moment:
            moment = 99
            cluster.remove_node(_busiest(cluster), allow_graceful=False)
        if isinstance(event, Note) and "is lost; what it had begun is done again" in event.text:
            lost.append(event.text)
    assert tree(options.out) == tree(alone.out)
    assert lost


def _busiest(cluster: Any) -> Any:
    """The node with the most encoders."""
    from ray.util import placement_group_table

    groups = placement_group_table().values()
    places = [group["bundles_to_node_id"][0] for group in groups if group["state"] == "CREATED"]
    return max(cluster.worker_nodes, key=lambda node: places.count(node.node_id))


def test_a_killed_driver_is_continued_by_either_engine(
    order: Order, straight: dict[str, str], tmp_path: Path
) -> None:
    options = order(out=tmp_path / "killed", ray=RayOptions(workers=1, address="local"))
    line = (
        "import os, pickle, signal, sys\n"
        "from fbridge.prepare import prepare\n"
        "from fbridge.prepare.run import Progress\n"
        "for event in prepare(pickle.loads(bytes.fromhex(sys.argv[1]))):\n"
        "    if isinstance(event, Progress) and event.what == 'encoding' and event.done >= 5:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", line, pickle.dumps(options).hex()], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(list((options.out / "shards").glob("??/*"))) in (1, 2)
    run(replace(options, ray=None))
    assert tree(options.out) == straight
