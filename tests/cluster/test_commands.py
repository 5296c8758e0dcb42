"""`generate` and `eval` on a cluster: the same results, whatever is lost, and bad items alone."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fbridge.cluster.crew import TRIES, Refused
from fbridge.cluster.options import RayOptions
from fbridge.errors import DataError, DependencyError
from fbridge.evaluation.features.measure import FeatureProgress
from fbridge.evaluation.protocol import find_protocol
from fbridge.evaluation.request import EvalRequest
from fbridge.evaluation.result import Evaluation
from fbridge.evaluation.run import evaluate
from fbridge.generate import Event, Finished, GenerateRequest, Job, Loaded, Noted, Warned, run
from tests.cli.conftest import FakePipeline, draw_picture
from tests.cluster.clusters import running
from tests.evaluation.sides import FRAMES, clips_of, damaged, write_side
from tests.prepare.sets import tree

pytest.importorskip("ray")
pytestmark = [pytest.mark.xdist_group("ray"), pytest.mark.slow]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with running(2, 2) as found:
        yield found


class Troubled(FakePipeline):
    """A pipeline that does to its process what prompts say."""

    def __call__(self, *, prompt: Any, **other: Any) -> Any:
        if "refuse" in prompt[0]:
            raise DataError("this picture is too wide for the network")
        if "crash" in prompt[0]:
            os._exit(3)
        time.sleep(0.2)
        return super().__call__(prompt=prompt, **other)


def loaded() -> Loaded:
    pipeline: Any = Troubled()
    return Loaded(pipeline, "cpu", 1)


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    from fbridge.generate import on_ray
    from fbridge.generate.ray_worker import GenerateActor

    class Actor(GenerateActor):
        def start(self) -> Refused | None:
            self._setup.driver.adopt()
            self._loaded = loaded()
            return None

    monkeypatch.setattr(on_ray, "GenerateActor", Actor)
    monkeypatch.chdir(tmp_path)
    draw_picture(Path("cat.png"))
    draw_picture(Path("dog.png"), (60, 60))
    words = ("a unicorn jumps", "dances")
    return [
        Job(Path(f"{name}.png"), f"{word} {number}")
        for number in range(5)
        for name, word in zip(("cat", "dog"), words, strict=True)
    ]


def listed(events: list[Event]) -> set[tuple[Path, Path | None]]:
    return {(event.video, event.sidecar) for event in events if isinstance(event, Finished)}


@pytest.mark.usefixtures("cluster")
def test_one_worker_makes_the_videos_of_this_process(jobs: list[Job]) -> None:
    jobs.sort(key=lambda job: job.picture)
    jobs[0] = replace(jobs[0], video=Path("frames"))  # a folder
    request = GenerateRequest(jobs=jobs, out="here/", batch_size=2, device="cpu", steps=3)
    here = list(run(request, loaded=loaded()))
    Path("frames").rename("here/frames")
    Path("frames.json").unlink()
    steps: list[int] = []
    there = list(
        run(
            replace(request, out="there/", ray=RayOptions(workers=1)),
            on_progress=lambda told: steps.append(told.done),
        )
    )
    Path("frames").rename("there/frames")
    Path("frames.json").unlink()
    assert tree(Path("there")) == tree(Path("here"))
    assert len(listed(there)) == len(listed(here)) == 10
    assert steps[-1] == 30
    assert sorted(steps) == steps
    notes = [event for event in there if isinstance(event, Warned)]
    assert notes == [event for event in here if isinstance(event, Warned)]


def test_a_lost_node_and_bad_rows_cost_the_others_nothing(jobs: list[Job], cluster: Any) -> None:
    request = GenerateRequest(jobs=jobs, out="here/", device="cpu")
    list(run(request, loaded=loaded()))
    bad = [
        Job(Path("cat.png"), deed, video=Path(f"there/{deed}.mp4")) for deed in ("refuse", "crash")
    ]
    events: list[Event] = []

    def make() -> None:
        for event in run(replace(request, jobs=[*bad, *jobs], out="there/", ray=RayOptions())):
            events.append(event)
            if isinstance(event, Finished) and len(listed(events)) == 3:
                cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)

    with pytest.raises(DataError) as failure:
        make()
    assert tree(Path("there")) == tree(Path("here"))
    assert "2 videos were not made" in str(failure.value)
    assert all(f"there/{job.prompt}.mp4" in str(failure.value) for job in bad)
    told = {
        event.text.partition("/")[2].partition(".")[0]: event.text
        for event in events
        if isinstance(event, Warned) and event.text.startswith("not made")
    }
    assert told["refuse"].endswith("): this picture is too wide for the network")
    assert f"lost its worker {TRIES} times" in told["crash"]
    assert all(": node " in text for text in told.values())
    assert any(
        isinstance(event, Noted) and "is lost; what it had" in event.text for event in events
    )


@pytest.mark.usefixtures("cluster")
def test_features_of_a_cluster_are_those_of_this_process(tmp_path: Path) -> None:
    write_side(tmp_path / "real", range(4))
    damaged(tmp_path / "noise", range(4), "noise")
    (tmp_path / "noise" / "03" / "frame_0002.png").write_bytes(b"damaged")
    request = EvalRequest(
        tmp_path / "noise",
        tmp_path / "real",
        ("psnr", "flicker"),
        find_protocol("tf").with_(frames=FRAMES),
        skip_bad=True,
    )
    found = []
    for ray in (None, RayOptions(workers=2)):
        *events, last = evaluate(replace(request, ray=ray))
        assert isinstance(last, Evaluation)
        found.append(replace(last, seconds=0.0))
    assert found[0] == found[1]
    assert found[0].generated.clips == 3
    progress = [event for event in events if isinstance(event, FeatureProgress)]
    assert progress[-1].done == progress[-1].total == progress[-1].fresh


def test_a_node_with_other_weights_or_another_codec_refuses(tmp_path: Path) -> None:
    from fbridge.evaluation.features.measure import FeatureRequest, FeatureTask, FrameSource
    from fbridge.evaluation.features.networks import Setup, identity_of
    from fbridge.evaluation.features.on_ray import NodeSetup, compute_on_node

    write_side(tmp_path, range(1))
    [clip] = clips_of(tmp_path)
    task = FeatureTask("00", (FeatureRequest("flicker", (FrameSource(clip),)),))
    fine = NodeSetup(Setup((40, 40)), {"flicker": identity_of("flicker")}, "", {})
    assert compute_on_node(task, fine)[0].shape == (1,)
    with pytest.raises(DependencyError, match=r"has other weights \(flicker 1\) than .*\(else\)"):
        compute_on_node(task, replace(fine, identities={"flicker": "else"}))
    with pytest.raises(DependencyError, match="has another codec at  than the process"):
        compute_on_node(task, replace(fine, codec_hash="else"))
