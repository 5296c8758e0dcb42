from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from fbridge.data.provenance import read_provenance
from fbridge.errors import CheckpointError


@pytest.fixture
def made(fbridge: Any, cat: Path) -> Path:
    args = (
        *("--sampler", "dbim", "--eta", "0.5", "--seed", "4", "--frames", "12"),
        *("--grid", "logsnr", "--time-shift", "3", "--start", "booted"),
        *("--image-guidance", "2"),
    )
    assert fbridge("generate", "cat.png", "-p", "jump", "--negative", "blur", *args).code == 0
    return cat.with_name("cat.mp4")


def test_the_same_video_again(fbridge: Any, made: Path) -> None:
    ran = fbridge("generate", "--from", "cat.mp4")
    assert (ran.code, ran.err) == (0, "")
    assert Path("cat-again.mp4").read_bytes() == made.read_bytes()
    assert read_provenance("cat-again.mp4") == read_provenance("cat.mp4")
    assert fbridge("generate", "--from", "cat.mp4").code == 2


@pytest.mark.parametrize("kind", ["gif", "webp", "png"])
def test_every_format(fbridge: Any, kind: str) -> None:
    fbridge("generate", "cat.png", "-p", "jump", "--format", kind)
    name, again = ("cat", "cat-again") if kind == "png" else (f"cat.{kind}", f"cat-again.{kind}")
    assert fbridge("generate", "--from", name).code == 0
    ran = fbridge("generate", "--from", f"{name}.json", "--overwrite")
    assert (ran.code, ran.out.startswith(f"{again}: ")) == (0, True)
    if kind == "png":
        name, again = f"{name}/frame_0005.png", f"{again}/frame_0005.png"
    assert Path(name).read_bytes() == Path(again).read_bytes()


def test_elsewhere_and_from_the_sidecar(fbridge: Any, made: Path, tmp_path: Path) -> None:
    assert fbridge("generate", "--from", "cat.mp4.json", "-o", "x/y/b.mp4").code == 0
    assert (tmp_path / "x/y/b.mp4").read_bytes() == made.read_bytes()
    assert fbridge("generate", "--from", "x/y/b.mp4", "-o", "z/").code == 0
    assert (tmp_path / "z/b-again.mp4").read_bytes() == made.read_bytes()
    assert fbridge("generate", "--from", "cat.mp4.json").code == 0
    assert (tmp_path / "cat-again.mp4").read_bytes() == made.read_bytes()
    assert fbridge("generate", "--from", "cat.mp4", "-o", "c.gif").code == 0
    assert read_provenance("c.gif").seed == 4


@pytest.mark.usefixtures("made")
def test_moved_picture(fbridge: Any, cat: Path, tmp_path: Path, draw: Any) -> None:
    (tmp_path / "far").mkdir()
    shutil.move(cat, tmp_path / "far" / "renamed.png")
    ran = fbridge("generate", "--from", "cat.mp4")
    assert ran.code == 3
    assert "cat.mp4: its picture cat.png is not found; say where it is: fbridge gen" in ran.err
    assert fbridge("generate", "far/renamed.png", "--from", "cat.mp4").code == 0
    draw(cat, (97, 64), shade=1)
    ran = fbridge("generate", "--from", "cat.mp4", "-o", "x.mp4")
    assert ran.code == 3
    assert "cat.png: is not the picture that cat.mp4 was made from (sha256 " in ran.err
    ran = fbridge("generate", "gone.png", "--from", "cat.mp4", "-o", "x.mp4")
    assert (ran.code, ran.err) == (
        3,
        "error: gone.png: no such file; check the name and the folder\n",
    )
    ran = fbridge("generate", "cat.png", "far/renamed.png", "--from", "cat.mp4")
    assert (ran.code, "--from makes one video, 2 pictures are given" in ran.err) == (2, True)


@pytest.mark.usefixtures("made")
def test_other_model(fbridge: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_HASH", "0" * 64)
    ran = fbridge("generate", "--from", "cat.mp4")
    assert ran.code == 4
    assert (
        "cat.mp4: was made by model embedded (ffffffffffff), this is 000000000000; name" in ran.err
    )
    assert not Path("cat-again.mp4").exists()


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize(
    "option",
    ["--seed=3", "--prompt=x", "--steps=2", "--fps=9", "--num=2", "--size=32x32", "--grid=karras"],
)
def test_contradictions(fbridge: Any, option: str) -> None:
    ran = fbridge("generate", "--from", "cat.mp4", option)
    assert ran.code == 2
    assert f"--from makes the recorded video; drop {option.split('=')[0]}, or drop" in ran.err


def edit(**changes: Any) -> None:
    tree = json.loads(Path("cat.mp4.json").read_text())
    for name, value in changes.items():
        tree[name] = {**tree[name], **value} if isinstance(value, dict) else value
    Path("other.json").write_text(json.dumps(tree))


@pytest.mark.usefixtures("made")
def test_a_record_without_image_guidance(fbridge: Any) -> None:
    tree = json.loads(Path("cat.mp4.json").read_text())
    del tree["image_guidance"]
    Path("old.json").write_text(json.dumps(tree))
    assert fbridge("generate", "--from", "old.json").code == 0
    assert read_provenance("old-again.mp4").image_guidance == 1


@pytest.mark.usefixtures("made")
def test_warnings(fbridge: Any) -> None:
    edit(versions={"torch": "1.0"}, machine={"device": "cuda", "batch": 4})
    ran = fbridge("generate", "--from", "other.json")
    assert ran.code == 0
    assert ran.err.startswith("warning: the video may differ in its last bits: torch is ")
    assert ", was 1.0; the device is cpu, was cuda; it was made in a batch of 4" in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"steps": 10**9}, "--steps 1e+09: must be from 1 to 1000"),
        ({"frames": 13}, "--frames 13: this model makes"),
        ({"sampler": "magic"}, "--sampler magic: unknown"),
        ({"grid": "magic"}, "--grid magic: unknown"),
        ({"start": "magic"}, "--start magic: unknown"),
        ({"image_guidance": -1}, "--image-guidance -1: must be from 0 to 100"),
        ({"frames": 64, "size": [4096, 4096]}, "64 frames of 4096x4096: are 1074 million pixels"),
        ({"seed": -1}, "other.json -1: must be a whole number"),
        ({"machine": {"threads": 10**9}}, "other.json: threads 1e+09: must be from 1 to 1024"),
        ({"machine": {"dtype": "int8"}}, "--dtype int8: unknown"),
    ],
)
def test_impossible_records(fbridge: Any, changes: Any, line: str) -> None:
    edit(**changes)
    ran = fbridge("generate", "--from", "other.json")
    assert (ran.code, line in ran.err) == (2, True)


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize("text", ["prompt", "negative"])
def test_half_a_character_in_a_record(fbridge: Any, text: str) -> None:
    edit(**{text: "a\ud800"})
    ran = fbridge("generate", "--from", "other.json")
    assert (ran.code, f"other.json: its {text} holds characters that no" in ran.err) == (3, True)


def test_no_record(fbridge: Any) -> None:
    fbridge("generate", "cat.png", "-p", "jump", "--no-metadata")
    ran = fbridge("generate", "--from", "cat.mp4")
    assert (ran.code, "cat.mp4: carries no fbridge record" in ran.err) == (3, True)
    assert fbridge("generate", "--from", "gone.mp4").code == 3


def test_a_strangers_video_fetches_nothing_unless_told(
    fbridge: Any, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, bool]] = []

    def refuse(name: str, *, local_files_only: bool, **_: Any) -> None:
        asked.append((name, local_files_only))
        raise CheckpointError("no such model")

    monkeypatch.setattr("fbridge.generate.load.load_pipeline", refuse)
    record = json.loads(made.with_name("cat.mp4.json").read_text())
    record["model"]["name"] = "stranger/model"
    Path("x.json").write_text(json.dumps(record))
    for more in ((), ("--download",), ("--model", "mine/model")):
        assert fbridge("generate", "--from", "x.json", "-o", "x.mp4", *more).code == 4
    assert fbridge("generate", "cat.png", "-p", "x", "-o", "y.mp4").code == 4
    assert asked == [
        ("stranger/model", True), ("stranger/model", False), ("mine/model", False),
        ("embedded", False),
    ]  # fmt: skip
