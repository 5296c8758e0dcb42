from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.parametrize("kind", ["mp4", "gif", "webp", "png"])
def test_show(fbridge: Any, kind: str) -> None:
    fbridge(
        "generate",
        "cat.png",
        "-p",
        "cat jumping",
        "--format",
        kind,
        "--seed",
        "9",
        "--start",
        "exact",
    )
    name = "cat" if kind == "png" else f"cat.{kind}"
    for file in (name, f"{name}.json"):
        ran = fbridge("show", file)
        assert (ran.code, ran.err) == (0, "")
        lines = dict(line.split(maxsplit=1) for line in ran.out.splitlines())
        assert lines["prompt"] == "cat jumping"
        assert lines["seed"] == "9"
        assert lines["sampler"] == "sde, 5 steps, trailing grid"
        assert lines["start"] == "exact"
        assert lines["image"] == "guidance  1"
        assert lines["model"] == "embedded (ffffffffffff)"
        assert lines["video"] == "8 frames of 96x64 at 8 fps (1 s)"
        assert "negative" not in lines
        assert json.loads(fbridge("show", file, "--json").out)["picture"]["name"] == "cat.png"


def test_notes_are_shown_where_there_are_any(fbridge: Any) -> None:
    fbridge("generate", "cat.png", "-p", "cat jumping")
    path = Path("cat.mp4.json")
    tree = json.loads(path.read_text(encoding="utf-8"))
    assert "notes" not in fbridge("show", path).out
    path.write_text(json.dumps({**tree, "notes": ["no motion is known for 'gallops'"]}))
    shown = fbridge("show", path).out.splitlines()
    assert ["notes", "no motion is known for 'gallops'"] in [line.split(None, 1) for line in shown]


def test_mistakes(fbridge: Any) -> None:
    for args, code, line in [
        (("gone.mp4",), 3, "gone.mp4: no such file; check the name and the folder"),
        (("cat.png",), 3, "cat.png: carries no fbridge record"),
        ((), 2, "Missing argument 'FILE'; see fbridge show --help"),
    ]:
        ran = fbridge("show", *args)
        assert ran.code == code
        assert line in ran.err
        assert ran.err.count("\n") == 1
