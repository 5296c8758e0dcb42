"""The whole way, with the model that is shipped: what is drawn here is set in motion."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from fbridge.data.provenance import read_provenance
from fbridge.data.video_files import read_video
from fbridge_cli import main

GENERATE = (
    *("generate", "ball.png", "-p", "jumping"),
    *("--frames", "4", "--steps", "2", "--size", "96x64"),
)


@pytest.fixture(autouse=True)
def ball(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A red ball on grass under the sky, and nothing else, where the test stands."""
    picture = Image.new("RGB", (144, 96), (150, 190, 230))
    pen = ImageDraw.Draw(picture)
    pen.rectangle((0, 64, 144, 96), fill=(70, 140, 60))
    pen.ellipse((54, 36, 90, 72), fill=(210, 40, 30))
    picture.save(tmp_path / "ball.png")
    monkeypatch.chdir(tmp_path)


def run(*args: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = main.run(args)
    told = capsys.readouterr()
    assert (code, told.err) == (0, "")


def test_made_and_made_again(capsys: pytest.CaptureFixture[str]) -> None:
    run(*GENERATE, "-o", "a.mp4", capsys=capsys)
    video = read_video("a.mp4")
    assert video.frames.shape == (4, 64, 96, 3)
    assert 40 < video.frames.mean() < 215
    record = read_provenance("a.mp4")
    assert (record.prompt, record.frames, record.steps, record.size) == ("jumping", 4, 2, (96, 64))
    assert len(record.model.hash) == 64
    run("generate", "--from", "a.mp4", "-o", "b.mp4", capsys=capsys)
    assert Path("a.mp4").read_bytes() == Path("b.mp4").read_bytes()


def test_bfloat16(capsys: pytest.CaptureFixture[str]) -> None:
    run(*GENERATE, "--dtype", "bfloat16", "-o", "a.mp4", capsys=capsys)
    assert read_provenance("a.mp4").machine.dtype == "bfloat16"
    assert read_video("a.mp4").frames.shape == (4, 64, 96, 3)


def test_two_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    run(*GENERATE, "--num", "2", "--batch-size", "2", "--format", "png", capsys=capsys)
    one, two = (read_video(f"ball-{k}").frames for k in (1, 2))
    assert one.shape == two.shape == (4, 64, 96, 3)
    assert np.abs(one.astype(int) - two.astype(int)).max() > 0
    assert [read_provenance(f"ball-{k}").seed for k in (1, 2)] == [0, 1]


def test_a_picture_larger_than_the_usual_stays_as_asked(capsys: pytest.CaptureFixture[str]) -> None:
    line = (*GENERATE[:-1], "640x64", "--grid", "karras", "--start", "booted")
    told = "warning: the lower edge cuts the main thing; it stays there and grows\n"
    assert (main.run(line), capsys.readouterr().err) == (0, told)  # of the crop
    record = read_provenance("ball.mp4")
    assert (record.size, record.grid, record.start) == ((640, 64), "karras", "booted")
    assert read_video("ball.mp4").frames.shape == (4, 64, 640, 3)
