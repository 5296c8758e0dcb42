"""fbridge eval on the command line: tables, files, comparisons, mistakes, what it finds itself."""

from __future__ import annotations

import csv
import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from fbridge.choices import MINILM
from fbridge.loaders.locate import packaged_file
from fbridge.prepare.longer import longer_clips
from fbridge_cli.main import run
from tests.evaluation.sides import FRAMES, damaged, write_side

NUMBERS = range(8)


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sides")
    write_side(folder / "real", NUMBERS)
    damaged(folder / "noise", NUMBERS, "noise")
    damaged(folder / "freeze", NUMBERS, "freeze")
    return folder


@pytest.fixture(autouse=True)
def there(sides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FBRIDGE_CACHE", str(sides / "cache"))
    monkeypatch.chdir(tmp_path)


def words(sides: Path, generated: str, *more: str) -> list[str]:
    real = ["--reference", str(sides / "real")]
    options = ["--frames", str(FRAMES), "--workers", "0", "--metric", "psnr,first-frame"]
    return ["eval", str(sides / generated), *real, *options, *more]


def test_a_table_with_its_protocol(sides: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words(sides, "noise")) == 0
    told = capsys.readouterr()
    lines = told.out.splitlines()
    assert [line.split("  ")[0] for line in lines[:4]] == [
        "metric", "PSNR dB \u2191", "first frame dB \u2191", "motion",
    ]  # fmt: skip
    assert "picture repeated" in lines[1]
    assert "8 / 8" in lines[1]
    assert "psnr[psnr,1,clip-mse,equal100,T6,s1,store40x40-cc-aa,uint8,head]" in told.err
    assert "codecs: generated png (8); reference h264 (8)" in told.err


def test_all_the_files(sides: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = ["a.csv", "a.md", "a.tex", "a.json", "--report", "a.html", "--vbench", "v.json"]
    outs = [word for file in files[:4] for word in ("-o", file)]
    assert run(words(sides, "noise", *outs, *files[4:], "--title", "noisy <b>clips</b>")) == 0
    with Path("a.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["metric"] for row in rows] == ["psnr", "first-frame", "motion"]
    assert float(rows[0]["low"]) < float(rows[0]["value"]) < float(rows[0]["high"])
    assert Path("a.md").read_text().startswith("| metric | value |")
    assert r"PSNR dB $\uparrow$ &" in Path("a.tex").read_text()
    page = Path("a.html").read_text()
    assert "noisy &lt;b&gt;clips&lt;/b&gt;" in page
    assert page.count("<video") >= 8
    assert "http" not in page.replace("Content-Security-Policy", "").replace("http-equiv", "")
    assert json.loads(Path("v.json").read_text()) == {}  # none of its dimensions was measured
    capsys.readouterr()
    assert run(words(sides, "noise", "--json", "--title", "noisy <b>clips</b>")) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    kept = json.loads(Path("a.json").read_text())
    assert told["scores"] == kept["scores"]
    assert told["generated"]["hash"] == kept["generated"]["hash"]


def test_two_results_are_compared(sides: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("noise", "freeze"):
        assert run(words(sides, name, "-o", f"{name}.json")) == 0
    capsys.readouterr()
    assert run(["eval", "--compare", "noise.json", "freeze.json"]) == 0
    psnr = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("PSNR"))
    assert psnr.split("  ")[3].startswith("-")
    assert psnr.endswith("  8")
    assert run(words(sides, "freeze", "-o", "small.json", "--size", "24x24")) == 0
    assert run(["eval", "--compare", "noise.json", "small.json"]) == 3
    assert "different protocols and cannot be compared" in capsys.readouterr().err
    assert run(["eval", "--compare", "noise.json", "none.json"]) == 3


def test_the_latest_run_is_told_of_when_it_cannot_be_used(
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = Path("runs/one/model")
    folder.mkdir(parents=True)
    facts = {
        "format": 1,
        "command": "finetune",
        "shape": {"frames": 8, "step": 4},
        "base": {"name": "t2v.safetensors"},
        "data": {"path": "latents", "codec": {"name": "/there/t2v.safetensors"}},
    }
    old_data_set(Path("latents"), frames=40)
    (folder.parent / "run.json").write_text(json.dumps(facts))
    (folder.parent / "config.toml").write_text("")
    assert run(["eval", "--metric", "fvd"]) == 2
    told = capsys.readouterr().err
    assert "no videos given: runs/one, the latest run" in told
    assert (
        "--metric fvd: needs clips of 9 frames or more, runs/one was trained on clips of 8" in told
    )
    line = shlex.split(told.partition("train on longer ones: ")[2].partition(" && ")[0])
    assert line[:3] == ["fbridge", "prepare", str(Path("my videos").resolve())]
    assert " ".join(line[3:]) == (
        "-o latents-17 --frames 17 --size 64x48 --codec t2v.safetensors --stride 2"
    )
    assert " && fbridge finetune --base t2v.safetensors --data latents-17; or measure" in told
    index = {"_class_name": "FrameBridgePipeline", "frames": [8, 8, 8, 1]}
    (folder / "model_index.json").write_text(json.dumps(index))
    assert run(["eval", "--metric", "fvd"]) == 2
    told = capsys.readouterr().err
    assert "; its base t2v.safetensors makes no more than 8; or measure what needs no more" in told


@pytest.mark.parametrize(
    ("frames", "step", "made"), [(40, 1, 16), (31, 1, 16), (30, 1, 15), (17, 1, 9), (16, 1, 0),
                                 (40, 4, 17), (32, 4, 13), (24, 4, 9)],
)  # fmt: skip
def test_longer_clips_are_as_long_as_the_videos_allow(frames: int, step: int, made: int) -> None:
    """Every other frame of the videos is taken."""
    old_data_set(Path("latents"), frames=frames)
    found = longer_clips(Path("latents"), step)
    assert (found and found[1]) == (Path(f"latents-{made}") if made else None)
    shutil.rmtree("my videos")
    assert longer_clips(Path("latents"), step) is None
    assert longer_clips(Path("nowhere"), step) is None


def old_data_set(folder: Path, *, frames: int) -> None:
    """The tables of clips of eight frames, every other one of videos of so many frames."""
    Path("my videos").mkdir()
    folder.mkdir()
    cutting = {"stride": 2, "fps": None, "mode": "head"}
    index = {
        "source": {"path": str(Path("my videos").resolve()), "media_root": ""},
        "options": {"cutting": cutting, "captionless": "keep", "prefix": ""},
        "codec": {"name": str(packaged_file("t2v.safetensors"))},
        "text_encoder": {"name": MINILM},
        "buckets": [{"bucket": "64x48x8"}],
        "files": {"survey": {"path": "survey.jsonl"}},
    }
    (folder / "index.json").write_text(json.dumps(index))
    found = [{"frames": each, "seconds": 9.0} for each in (900, *[frames] * 20, 3)]
    lines = [json.dumps({"key": "x", "found": each}) for each in found]
    (folder / "survey.jsonl").write_text("\n".join([*lines, '{"key": "bad"}']) + "\n")


@pytest.mark.slow
def test_the_demo_is_what_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    line = ["eval", "--metric", "psnr,ssim", "--clips", "2", "--frames", "4", "--workers", "0"]
    assert run([*line, "--json"]) == 0
    told = capsys.readouterr()
    assert "the embedded model on its demo clips" in told.err
    found = json.loads(told.out)
    assert (found["frames"], found["size"], found["generated"]["clips"]) == (4, [128, 128], 2)
    psnr = next(score for score in found["scores"] if score["metric"] == "psnr")
    assert psnr["value"] > 15
    assert "drawn with seed 1" in found["notes"][0]


def test_mistakes_have_names(sides: Path, capsys: pytest.CaptureFixture[str]) -> None:
    real, noise = str(sides / "real"), str(sides / "noise")
    for line, code, told in (
        ([noise], 2, "no metric given; --metric fvd"),
        ([noise, "-m", "psrn"], 2, "--metric psrn: unknown; did you mean psnr"),
        ([noise, "-m", "psnr"], 2, "--metric psnr: compares with real videos"),
        ([noise, "-m", "psnr", "-r", "nowhere"], 3, "--reference nowhere: does not exist"),
        (["nowhere", "-m", "flicker"], 3, "GENERATED nowhere: does not exist"),
        (["-r", real, "-m", "psnr"], 2, "--reference: name the generated videos too"),
        ([noise, "-m", "flicker", "-o", "a.xls"], 2, "--out a.xls: is written as .csv"),
        ([noise, "-m", "flicker", "--report", "a.pdf"], 2, "must end in .html"),
        ([noise, "-m", "flicker", "--weights", "i3d"], 2, "--weights i3d: write NAME=FILE"),
        ([noise, "-m", "flicker", "--weights", "i3d=no"], 2, "no such file"),
        ([noise, "-m", "flicker", "--frames", "1"], 2, "--frames 1: must be at least 2"),
        ([noise, "-m", "flicker", "--protocol", "tff"], 2, "unknown; did you mean tf"),
        (
            [noise, "-m", "flicker", "--frames", "6", "--pictures", "no"],
            2,
            "--pictures no: is no folder",
        ),
    ):
        assert run(["eval", *line]) == code, line
        assert told in capsys.readouterr().err


def test_a_network_is_not_fetched_offline(
    sides: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FBRIDGE_INCEPTION", raising=False)
    line = ["eval", str(sides / "noise"), "-r", str(sides / "real"), "-m", "fid"]
    for more, switch in (([], "FBRIDGE_OFFLINE"), (["--offline"], "--offline")):
        assert run([*line, *more]) == 4
        told = capsys.readouterr().err
        assert "inception-2015-12-05-6726825d.pth not found; needed is" in told
        assert "run `fbridge weights fetch inception`" in told
        assert f"({switch} forbids fetching it now)" in told
        assert "videos" not in told  # none was looked at


def test_bad_videos_stop_it_unless_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mixed = write_side(tmp_path / "mixed", range(3))
    (mixed / "07.mp4").write_bytes(b"not a video")
    line = ["eval", str(mixed), "-m", "flicker", "--frames", str(FRAMES), "--workers", "0"]
    assert run(line) == 3
    assert "1 of 4 videos cannot be used" in capsys.readouterr().err
    assert run([*line, "--skip-bad", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["generated"]["dropped"] == {"unreadable": 1}


def test_missing_weights_are_named(sides: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["eval", str(sides / "noise"), "-r", str(sides / "real"), "-m", "fid", "--frames", "6"]
    assert run(line) == 4
    told = capsys.readouterr().err
    assert "pt_inception-2015-12-05-6726825d.pth (95628359 bytes, sha256 6726825d0af5" in told
    assert "run `fbridge weights fetch inception`" in told


def test_everything_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["eval", "--list", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {"fvd", "kvd", "fid", "is", "clipsim", "pic", "lpips"} <= told["metrics"].keys()
    assert list(told["protocols"]) == ["stylegan-v", "tf", "ucf101-zero-shot", "msrvtt-zero-shot"]
    checked = told["checked_with"]
    assert (checked["fvd"], checked["psnr"]) == ("published weights", "")
    assert {checked[name] for name in ("fid", "is", "clipsim", "lpips")} == {"random weights"}
    assert run(["eval", "--list"]) == 0
    assert "random weights" in capsys.readouterr().out


def test_a_study_is_written_and_counted(sides: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["eval", str(sides / "noise"), str(sides / "freeze"), "--frames", "6"]
    assert run([*line, "--study", "study", "--clips", "2"]) == 0
    told = capsys.readouterr()
    assert "2 clips of 2 systems" in told.out
    assert "keep study-key.json to yourself" in told.err
    key = json.loads(Path("study-key.json").read_text())
    by_system: dict[str, list[str]] = {}
    for name, made in sorted(key["media"].items(), key=lambda pair: pair[1]["clip"]):
        by_system.setdefault(made["system"], []).append(name)
    answers = [
        {"trial": f"t{n}", "left": left, "right": right, "choice": "left"}
        for n, (left, right) in enumerate(zip(by_system["noise"], by_system["freeze"], strict=True))
    ]
    facts = {"format": 1, "study": key["study"], "participant": "p", "answers": answers}
    Path("answers-p.json").write_text(json.dumps(facts))
    assert run(["eval", "--study-results", "answers-p.json", "study-key.json"]) == 0
    assert "freeze against noise  0.0 %" in capsys.readouterr().out
    assert run(["eval", "--study-results", "answers-p.json", "--study", "study", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pairs"][0]["losses"] == 2
    for words, code, message in (
        (["--study-results", "answers-p.json"], 2, "needs the study's key too"),
        (["--study-results", "study-key.json"], 2, "name the files of answers"),
        ([str(sides / "noise"), "--study", "other"], 2, "name two GENERATED or more"),
        ([*line[1:], "-m", "psnr"], 2, "several GENERATED are shown side by side by --study"),
        ([str(sides / "noise"), "-m", "flicker", "--question", "?"], 2, "--question: is what"),
        ([*line[1:], "--study", "study"], 2, "is not empty; name another folder"),
    ):
        assert run(["eval", *words]) == code, words
        assert message in capsys.readouterr().err
