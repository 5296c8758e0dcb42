"""RUN/report.html and the example: written at each validation, complete, alive in a browser."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fbridge.data.latents import LatentDataset
from fbridge.errors import DependencyError
from fbridge.train.events import Ended, Event, Summary, Validated, Warned
from fbridge.train.run import train
from fbridge.train.setup.session import Session, build_session
from fbridge.train.summary import report
from fbridge.train.summary.example import write_example
from tests.browser import opened
from tests.train.sets import fresh_accelerate, short_run

MakeSession = Callable[..., Session]


def last_of(events: list[Event]) -> Summary:
    assert isinstance(events[-1], Ended)
    assert events[-1].summary is not None
    return events[-1].summary


def test_all_of_it_is_there_and_plays(session: MakeSession, tmp_path: Path) -> None:
    made = session(validation={"clips": 2, "every": 4}, prior={"kind": "repeat"})
    found = last_of(list(train(made, command_line="fbridge finetune <x>")))
    run = tmp_path / "run"
    assert found.report == run / "report.html"
    assert found.sheet == run / "validation/step-4/sheet.png"
    page = found.report.read_text()
    assert f"<h1>{run}</h1>" in page
    assert ": 4 of 4 steps." in page
    for text in (*(one[1:] for one in found.learnt), *(line for _, line in found.lines)):
        assert text in page
    for told in (
        "this run, step 4", "before training", "the repeated picture", "[train]", "torch ",
        "fbridge finetune &lt;x&gt;", "Training loss", "over 3 held-out clips, PSNR over 2 of",
    ):  # fmt: skip
        assert told in page
    assert page.count('<section class="clip">') == 2
    for name in ("picture", "before training", "after 4 steps", "truth"):
        assert page.count(f"<figcaption>{name}</figcaption>") == 2
    assert "<figcaption>prior</figcaption>" not in page  # it is the repeated picture
    assert page.count("data:video/webm;base64,") == 6
    _watch(found.report)


def _watch(page: Path) -> None:
    """It plays in a narrow browser without any request, and has two sets of colours."""
    trouble: list[str] = []
    with opened(page, width=400, trouble=trouble) as view:
        assert view.evaluate("document.documentElement.scrollWidth <= innerWidth")
        view.evaluate("document.querySelector('.videos').scrollIntoView()")
        for _ in range(50):  # the page forbids what a waiting function would need
            view.wait_for_timeout(100)
            if view.evaluate("document.querySelector('video').currentTime") > 0.1:
                break
        else:
            pytest.fail("the video does not play")
        colours: list[Any] = []
        for scheme in ("light", "dark"):
            view.emulate_media(color_scheme=scheme)
            colours.append(view.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert len(set(colours)) == 2
        view.click("summary")
        assert view.evaluate("document.querySelector('details').open")
    assert trouble == []


def test_a_killed_run_and_a_stopped_one_have_a_page(session: MakeSession, tmp_path: Path) -> None:
    page = tmp_path / "run/report.html"
    seen: list[Event] = []
    for event in train(session(), stop=lambda: any(isinstance(e, Validated) for e in seen[2:])):
        seen.append(event)
        if isinstance(event, Validated):
            assert "Written while it was training." in page.read_text()
            assert f": {event.step} of 4 steps." in page.read_text()
    found = last_of(seen)
    assert found.lines == (("to go on with it", f"fbridge finetune -o {tmp_path}/run --resume"),)
    assert "It was stopped at step 3." in page.read_text()
    assert found.lines[0][1] in page.read_text()


def test_without_validation_there_is_less(session: MakeSession, tmp_path: Path) -> None:
    found = last_of(list(train(session("train-prior", train={"steps": 2}, validation={"rows": 0}))))
    assert found.sheet is None
    assert found.learnt[0].startswith("what it has learnt is not known")
    page = (tmp_path / "run/report.html").read_text()
    assert "Training loss" in page
    assert "Held-out clips" not in page
    assert "Compared" not in page
    assert "a neural prior: 2 of 2 steps." in page


def test_a_page_that_cannot_be_written_ends_nothing(
    session: MakeSession, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(path: Path, text: str) -> None:
        assert text
        raise DependencyError(f"{path}: cannot be written: {errno.ENOSPC}")

    monkeypatch.setattr(report, "write_text", full)
    events = list(train(session("train-prior", train={"steps": 1}, validation={"clips": 0})))
    warned = [event.text for event in events if isinstance(event, Warned)]
    assert len(warned) == 3  # of two validations and the end
    assert warned[0].endswith("; training goes on without it")
    assert events[-1] == Ended(1, result=tmp_path / "run/prior")


def test_the_example_is_of_a_held_out_clip(session: MakeSession, clips: LatentDataset) -> None:
    made = session()
    held_out = made.material.parts.held_out
    example = write_example(made)
    assert example.picture == made.run / "example.png"
    assert Image.open(example.picture).size == (64, 64)
    moved = [float((s.clip.float() - s.still.float()).square().mean()) for s in
             (held_out[row] for row in range(len(held_out)))]  # fmt: skip
    assert example.prompt == held_out[moved.index(max(moved))].caption
    assert len(clips) > len(held_out)


def test_the_example_of_a_class_names_the_class(classed: LatentDataset, tmp_path: Path) -> None:
    config = short_run(classed.folder, "scratch:tiny", model={"condition": "class"})
    with fresh_accelerate():
        made = build_session("finetune", config, tmp_path / "run", device="cpu")
        assert write_example(made).prompt in made.model.about["classes"]
