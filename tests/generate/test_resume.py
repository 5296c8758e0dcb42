"""`--resume`: an interrupted list ends with the bytes of one that was not interrupted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fbridge.errors import ConfigError
from fbridge.generate import Event, Finished, GenerateRequest, Job, Loaded, Noted, run
from tests.cli.conftest import FakePipeline, draw_picture
from tests.prepare.sets import tree

PIPELINE: Any = FakePipeline()


def make(out: str, **other: Any) -> list[Event]:
    jobs = [Job(Path("cat.png"), "a unicorn jumps", seed=seed) for seed in range(5)]
    usual = GenerateRequest(jobs=jobs, out=out, batch_size=2, device="cpu")
    return list(run(replace(usual, **other), loaded=Loaded(PIPELINE, "cpu", 2)))


def finished(events: Sequence[Event]) -> list[tuple[str, bool]]:
    return [(event.video.name, event.kept) for event in events if isinstance(event, Finished)]


@pytest.fixture(autouse=True)
def _interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder `whole`, and `part`, whose making was killed between a video and its sidecar."""
    monkeypatch.chdir(tmp_path)
    draw_picture(Path("cat.png"))
    make("whole/")
    make("part/")
    for name in ("cat-3.mp4.json", "cat-4.mp4", "cat-4.mp4.json", "cat-5.mp4", "cat-5.mp4.json"):
        Path("part", name).unlink()
    FakePipeline.batches.clear()


@pytest.mark.parametrize("kind", ["mp4", "png"])
def test_what_is_missing_is_made_in_the_batches_of_the_plan(kind: str) -> None:
    if kind == "png":
        make("whole2/", format="png")
        make("part/", format="png")
        Path("part/cat-2.json").unlink()
        FakePipeline.batches.clear()
        events = make("part/", format="png", resume=True)
        assert FakePipeline.batches == []
        assert {k: v for k, v in tree(Path("part")).items() if "mp4" not in k} == tree(
            Path("whole2")
        )
        return
    events = make("part/", resume=True)
    assert tree(Path("part")) == tree(Path("whole"))
    assert FakePipeline.batches == [2, 1]
    assert finished(events) == [
        ("cat-1.mp4", True), ("cat-2.mp4", True), ("cat-3.mp4", True),
        ("cat-4.mp4", False), ("cat-5.mp4", False),
    ]  # fmt: skip
    assert Noted("3 of 5 videos are there and stay (--resume)") in events


def test_what_was_made_otherwise_stays_and_is_named() -> None:
    before = tree(Path("part"))
    told = r"part/cat-1.mp4: is there and was made otherwise \(steps 5, now 7\); give another"
    with pytest.raises(ConfigError, match=told):
        make("part/", resume=True, steps=7)
    draw_picture(Path("cat.png"), shade=9)
    with pytest.raises(ConfigError, match=r"made otherwise \(sha256 .*, now "):
        make("part/", resume=True)
    Path("part/cat-5.mp4").write_text("mine")
    with pytest.raises(ConfigError, match=r"cat-5\.mp4: .* --resume keeps what has a record"):
        make("part/", resume=True)
    Path("part/cat-5.mp4").unlink()
    assert tree(Path("part")) == before


def test_a_run_without_it_still_refuses_what_is_there() -> None:
    with pytest.raises(ConfigError, match="already exists"):
        make("part/")


def test_it_needs_records() -> None:
    for other in ({"metadata": False}, {"overwrite": True}):
        with pytest.raises(ConfigError, match="--resume"):
            make("part/", resume=True, **other)
