"""The core of `fbridge generate` by itself: its documented example, jobs, and a loaded model."""

from __future__ import annotations

import shutil
import textwrap
from pathlib import Path

import pytest

import fbridge.generate
from fbridge.data.provenance import read_provenance
from fbridge.data.video_files import read_video
from fbridge.errors import ConfigError
from fbridge.generate import (
    Event,
    Finished,
    GenerateRequest,
    Job,
    Loaded,
    Planned,
    Progress,
    Warned,
    load_pipeline,
    run,
)

PICTURE = Path(__file__).parents[2] / "examples" / "cat.jpg"


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(PICTURE, tmp_path)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    return load_pipeline("embedded", device="cpu")


def test_the_documented_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert fbridge.generate.__doc__ is not None
    _, _, rest = fbridge.generate.__doc__.partition("videos:\n\n")
    example, _, _ = rest.partition("\n\n`load_pipeline`")
    exec(compile(textwrap.dedent(example), "example", "exec"), {})
    assert capsys.readouterr().out == "cat.mp4 0\n"
    assert read_provenance("cat.mp4").prompt == "cat jumping"


def test_jobs_name_their_own_videos(loaded: Loaded) -> None:
    jobs = [
        Job(Path("cat.jpg"), "zoom in", seed=3, video=Path("made/one")),
        Job(Path("cat.jpg"), "zoom out"),
    ]
    reports: list[Progress] = []
    request = GenerateRequest(
        jobs=jobs, frames=4, steps=2, size=(64, 64), out="made/", metadata=False, device="cpu"
    )
    events: list[Event] = list(run(request, loaded=loaded, on_progress=reports.append))
    videos = [event.video for event in events if isinstance(event, Finished)]
    assert videos == [Path("made/one"), Path("made/cat.mp4")]
    assert read_video(videos[0]).frames.shape == read_video(videos[1]).frames.shape
    assert sorted(entry.name for entry in Path("made").iterdir()) == ["cat.mp4", "one"]
    [planned] = [event for event in events if isinstance(event, Planned)]
    assert reports[-1] == Progress("writing cat.mp4", planned.steps)


def test_a_dry_run_ends_with_the_plan(loaded: Loaded) -> None:
    request = GenerateRequest(images=[Path("cat.jpg")], prompt="zoom in", dry_run=True)
    *_, last = run(request, loaded=loaded)
    assert isinstance(last, Planned)
    assert [item.video for item in last.items] == [Path("cat.mp4")]
    assert not Path("cat.mp4").exists()


@pytest.mark.parametrize("rival", ["cat.mp4", "cat.mp4.json"])
def test_a_name_taken_meanwhile_is_told_before_the_work(loaded: Loaded, rival: str) -> None:
    request = GenerateRequest(images=[Path("cat.jpg")], prompt="zoom in", device="cpu")
    events = run(request, loaded=loaded)
    assert any(isinstance(event, Planned) for event in events)
    Path(rival).write_text("theirs")
    with pytest.raises(ConfigError, match=f"{rival}: already exists"):
        list(events)
    assert Path(rival).read_text() == "theirs"


def test_a_video_never_replaces_what_was_made_while_it_was_rendered(loaded: Loaded) -> None:
    request = GenerateRequest(
        images=[Path("cat.jpg")], prompt="zoom in", frames=2, steps=1, size=(64, 64), device="cpu"
    )
    with pytest.raises(ConfigError, match=r"cat\.mp4: exists already and stays"):
        list(run(request, loaded=loaded, on_progress=lambda _: Path("cat.mp4").touch()))
    assert Path("cat.mp4").read_bytes() == b""
    assert sorted(entry.name for entry in Path().iterdir()) == ["cat.jpg", "cat.mp4"]


def test_a_prompt_that_is_too_long_is_told_before_the_video_is_made(loaded: Loaded) -> None:
    long = "cat " * 126
    jobs = [Job(Path("cat.jpg"), long), Job(Path("cat.jpg"), "zoom in", negative=long + "bird")]
    events = list(run(GenerateRequest(jobs=jobs, guidance=2.0, dry_run=True), loaded=loaded))
    told = [event.text for event in events if isinstance(event, Warned)]
    assert told[0].endswith("has more; not read is its end: 'bird'")
    assert isinstance(events[-1], Planned)


def test_what_is_done_otherwise_is_told_and_recorded(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    def notes(_: object, prompts: list[str]) -> list[str]:
        return [f"no motion is known for {one!r}" for one in prompts if one.startswith("gallop")]

    monkeypatch.setattr(type(loaded.pipeline.latent_codec), "notes", notes, raising=False)
    jobs = [Job(Path("cat.jpg"), f"gallops {number}") for number in range(22)]
    jobs.append(Job(Path("cat.jpg"), "cat jumping"))
    events = list(run(GenerateRequest(jobs=jobs, dry_run=True), loaded=loaded))
    told = [event.text for event in events if isinstance(event, Warned)]
    assert told[0] == "no motion is known for 'gallops 0'"
    assert told[20:] == ["2 more notes on prompts are in the records of the videos"]
    planned = events[-1]
    assert isinstance(planned, Planned)
    assert planned.items[21].record.notes == ("no motion is known for 'gallops 21'",)
    assert planned.items[22].record.notes == ()
