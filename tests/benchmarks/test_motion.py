"""benchmarks/motion.py: which videos it makes, what it logs, and its tables."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks import motion as benchmark
from benchmarks.judge.prompts import OBJECT, read_photographs, trials
from benchmarks.judge.tables import comparison, tables
from tests.benchmarks.square import BOX, scene, video


class Model:
    """A stand-in for a pipeline: the square jumps, whatever is asked."""

    model_hash = "1"

    def __init__(self) -> None:
        self.prompts: list[str] = []

    def output_size(self, size: tuple[int, int]) -> tuple[int, int]:
        return size

    def __call__(self, _: Image.Image, prompt: str, *, seed: int) -> SimpleNamespace:
        self.prompts.append(f"{prompt} {seed}")
        if "hums" in prompt:
            warnings.warn("no motion is known for 'hums'", stacklevel=1)
        return SimpleNamespace(frames=[np.stack(video(down=-15)[:6])])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    Image.fromarray(scene()).save(tmp_path / "pictures" / "square.png")
    known = {"kind": "open", "noun": "square", "box": BOX, "free": ["the square hums"]}
    (tmp_path / "boxes.json").write_text(json.dumps({"square": known}))
    return tmp_path


def run(
    folder: Path, model: Any, monkeypatch: pytest.MonkeyPatch, *more: str
) -> list[dict[str, Any]]:
    monkeypatch.setattr(
        benchmark, "load_pipeline", lambda *_, **__: SimpleNamespace(pipeline=model)
    )
    places = [str(folder / "pictures"), str(folder / "boxes.json"), "-o", str(folder / "out")]
    return benchmark.run(benchmark.arguments([*places, *more]))


def test_a_run_that_is_cut_goes_on_where_it_stopped(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Model()
    few = ("--groups", "object,free", "--strips")
    run(folder, model, monkeypatch, *few, "--verbs", "jump")
    log = folder / "out" / benchmark.LOG
    log.write_text(log.read_text() + '{"name": "squ')
    rows = run(folder, model, monkeypatch, *few, "--verbs", "jump,left")
    assert model.prompts == ["the square jumps 0", "the square hums 0", "the square moves left 0"]
    assert [row["verdict"] for row in rows] == ["right", "hardly", None]
    assert [row["first"] for row in rows] == [0, 0, 0]
    assert [row["notes"] for row in rows] == [[], [], ["no motion is known for 'hums'"]]
    assert rows == benchmark.read_log(log)[:1] + benchmark.read_log(log)[:0:-1]
    strips = sorted(file.name for file in (folder / "out" / "strips").iterdir())
    assert strips[0] == "square-free-the-square-hums-0.jpg"
    model.model_hash = "2"
    with pytest.raises(SystemExit, match="model is 1, not 2; give another folder"):
        run(folder, model, monkeypatch, *few)


ROW: dict[str, Any] = {
    "name": "square", "kind": "open", "group": "object", "label": "jump", "prompt": "it jumps",
    "seed": 0, "verdict": "right", "thing": True, "first": 0, "changed": 0.25, "notes": [],
    "pixel_flicker": 0.5, "most": 0.1, "rigid": 0.9, "bg_psnr": 40.0, "bg_dragged": 0.0,
    "ghost": None,
}  # fmt: skip


def test_tables_say_the_share_with_its_interval_and_what_was_answered() -> None:
    hardly = ROW | {"label": "left", "prompt": "it goes left", "verdict": "hardly", "rigid": None}
    hums = {"group": "free", "prompt": "it hums", "verdict": None, "notes": ["not known"]}
    zoom = {"group": "camera", "label": "zoom in", "prompt": "zoom in", "thing": False}
    rows = [ROW, hardly, ROW | hums, ROW | zoom]
    lines = "\n".join(tables(rows))
    assert "| jump | 1 | 100 % (21 to 100) | 0 % (0 to 79) | 0 % (0 to 79) | 100 %" in lines
    assert "| all | 2 | 50 % (9 to 91) | 50 % (9 to 91) | 0 % (0 to 66) | 50 %" in lines
    assert "| zoom in | 1 | 100 % (21 to 100) | 0 % (0 to 79) | 0 % (0 to 79) |  | 0.10 |" in lines
    assert "| hardly moves | 100 % (21 to 100) |" in lines
    assert "answered with a line: 100 % (21 to 100)" in lines
    assert "| square | it hums | 25 % | not known |" in lines
    assert "The first frame is the picture in every video." in lines
    assert "is not the picture: square." in "\n".join(tables([ROW | {"first": 3}]))


def test_a_comparison_counts_what_both_runs_made() -> None:
    left = {"prompt": "it goes left"}
    torn = ROW | {"rigid": 0.5}
    lines = list(comparison([ROW, ROW | left], [torn, ROW | {"seed": 1}], ("a", "b")))
    assert lines[0] == "| 1 videos in both | a | b | |"
    assert "| as asked | 100 % (21 to 100) | 100 % (21 to 100) | gained 0, lost 0 |" in lines
    assert "| clean | 100 % (21 to 100) | 0 % (0 to 79) | gained 0, lost 1 |" in lines
    assert "| median rigid | 0.90 | 0.50 | of 1 |" in lines


def test_every_prompt_is_tried_and_only_the_camera_without_a_box(folder: Path) -> None:
    (photograph,) = read_photographs(folder / "pictures", folder / "boxes.json")
    groups = ("object", "camera", "unseen", "free")
    whole = list(trials(photograph, groups, (), (0, 1)))
    assert len(whole) == 2 * len(OBJECT) + 5 + 6 + 2
    assert len({trial.key for trial in whole}) == len(whole)
    still = list(trials(photograph._replace(box=None), groups, (), (0,)))
    assert [t.prompt for t in still if t.group == "unseen"] == ["the camera pushes in"]
    assert not [t for t in still if t.group == "object"]


def test_a_hand_drawn_outline_takes_the_place_of_grabcut(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = folder / "boxes.json"
    known = json.loads(table.read_text())
    left, top, right, bottom = BOX
    square = [[left, top], [right, top], [right, bottom], [left, bottom]]
    ways: list[tuple[str, str]] = []
    for outlines in ([], [square], [[[0, 0], [0.2, 0], [0, 0.2]]]):
        table.write_text(json.dumps({"square": known["square"] | {"outlines": outlines}}))
        few = ("--groups", "object", "--verbs", "jump", "-o", str(folder / str(len(ways))))
        (row,) = run(folder, Model(), monkeypatch, *few)
        ways.append((row["mask"], row["verdict"]))
    assert ways == [("ellipse", "right"), ("drawn", "right"), ("drawn", "hardly")]


def test_a_missing_picture_and_a_crooked_box_are_named(folder: Path) -> None:
    table = folder / "boxes.json"
    known = json.loads(table.read_text())
    table.write_text(json.dumps({**known, "gone": known["square"]}))
    with pytest.raises(SystemExit, match=r"no picture gone\.\*"):
        list(read_photographs(folder / "pictures", table))
    known["square"]["outlines"] = [[[0, 0], [1, 1]]]
    table.write_text(json.dumps(known))
    with pytest.raises(SystemExit, match="square: outlines want three corners or more"):
        list(read_photographs(folder / "pictures", table))
    known["square"]["box"] = [0.5, 0, 0.4, 1]
    table.write_text(json.dumps(known))
    with pytest.raises(SystemExit, match="is not left, top, right, bottom"):
        list(read_photographs(folder / "pictures", table))
