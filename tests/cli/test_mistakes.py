"""Each message once: the thing, the value, the way out, in one line, with its exit code."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest

from fbridge.errors import DependencyError
from fbridge.generate import load_pipeline

USAGE = [
    (["--frames", "7"], "--frames 7: this model makes 4 to 64 in steps of 4; use 4 or 8"),
    (["--frames", "100"], "--frames 100: this model makes 4 to 64 in steps of 4; use 64"),
    (["--frames", "0"], "--frames 0: must be 1 or more"),
    (["--frames", "x"], "Invalid value for '--frames'"),
    (["--fps", "0"], "--fps 0: must be above 0 and at most 240"),
    (["--fps", "-3"], "--fps -3: must be above 0"),
    (["--fps", "inf"], "--fps inf: must be above 0"),
    (["--fps", "nan"], "--fps nan: must be above 0"),
    (["--fps", "60", "--format", "gif"], "--fps 60: a GIF shows at most 50; use --format mp4"),
    (["--size", "12x"], "--size 12x: is not WIDTHxHEIGHT; write it like 512x320"),
    (["--size", "0x0"], "--size 0x0: each side must be from 16 to 8192 pixels"),
    (["--size", "33x32"], "size 33x32: sides must be even"),
    (["--steps", "0"], "--steps 0: must be from 1 to 1000"),
    (["--eta", "2", "--sampler", "dbim"], "--eta 2: must be from 0 to 1"),
    (["--eta", "nan", "--sampler", "dbim"], "--eta nan: must be from 0 to 1"),
    (["--eta", "0.5"], "--eta 0.5: the sampler sde has none; drop it, or use --sampler dbim"),
    (["--guidance", "nan"], "--guidance nan: must be from 0 to 100"),
    (["--guidance", "-1"], "--guidance -1: must be from 0 to 100"),
    (["--image-guidance", "nan"], "--image-guidance nan: must be from 0 to 100"),
    (["--grid", "kerras"], "--grid kerras: unknown, did you mean karras?; use trailing, uniform"),
    (["--time-shift", "0"], "--time-shift 0: must be from 0.01 to 100"),
    (["--start", "noise"], "--start noise: unknown, did you mean noised?; use noised, exact, boo"),
    (
        ["--negative", "blur", "--guidance", "1"],
        "--negative has no effect at guidance 1; add --guidance 2",
    ),
    (
        ["--frames", "64", "--size", "4096x2048"],
        "64 frames of 4096x2048: are 537 million pixels, a video may have 268; use fewer --frames",
    ),
    (["--size", "8192x8192"], "8 frames of 8192x8192: are 537 million pixels, a video may have"),
    (["--sampler", "dbm"], "--sampler dbm: unknown, did you mean dbim?; use sde, ode, dbim"),
    (["--model", "embeded"], "--model embeded: unknown, did you mean embedded?; use embedded, a"),
    (["--device", "cpuu"], "--device cpuu: unknown, did you mean cpu?; use auto, cpu, cuda"),
    (["--device", "cuda:x"], "--device cuda:x: unknown, did you mean cuda?"),
    (["--dtype", "float61"], "--dtype float61: unknown, did you mean float16?"),
    (["--format", "mp3"], "--format mp3: unknown, did you mean mp4?; use mp4, gif, webp, png"),
    (["--format", "gif", "-o", "a.mp4"], "-o a.mp4 and --format gif contradict; drop one of them"),
    (["-o", "a.avi"], "-o a.avi: .avi is not written; use .mp4, .gif, .webp or .png, or end a fol"),
    (["-o", ""], "-o: is empty; name a file or a folder"),
    (["-o", "x" * 254 + "/" + "y" * 252 + ".mp4"], "the name is too long; give a shorter one"),
    (["--seed", "-1"], "--seed -1: must be a whole number from 0 to 2^63 - 1"),
    (["--seed", "9223372036854775807", "--num", "2"], "--seed 9223372036854775808: must be"),
    (["--seed", "1", "--seed", "1"], "--seed: the same seed twice makes the same video; give eac"),
    (["--seed", "1", "--seed", "2", "--num", "2"], "--num and several --seed: give one --seed to"),
    (["--num", "0"], "--num 0: must be from 1 to 10000"),
    (["--batch-size", "0"], "--batch-size 0: must be from 1 to 1024"),
    (["--prompt", " "], '--prompt: is empty; say what shall happen, such as "cat jumping"'),
    (["--prompt", "\udcff"], "--prompt: is not valid UTF-8; check the terminal's encoding"),
    (["--samplr", "sde"], "No such option: --samplr"),
    (["other.png", "-o", "a.mp4"], "-o names one file for 2 pictures; name a folder like -o vid"),
]


@pytest.mark.parametrize(("options", "line"), USAGE, ids=lambda value: str(value)[:30])
def test_usage(fbridge: Any, draw: Any, tmp_path: Path, options: list[str], line: str) -> None:
    draw(tmp_path / "other.png")
    ran = fbridge("generate", "cat.png", "-p", "cat jumping", *options)
    assert line in ran.err
    assert ran.err.startswith("error: ")
    assert ran.err.count("\n") == 1
    assert ran.code == 2
    assert ran.out == ""
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["cat.png", "other.png"]


def test_nothing_to_do(fbridge: Any) -> None:
    ran = fbridge("generate", "-p", "jump")
    assert ran.code == 2
    assert "no IMAGE given; name a picture, a folder, or a .csv or .jsonl list" in ran.err
    ran = fbridge("generate", "cat.png")
    assert ran.code == 2
    assert 'no prompt for cat.png; say what shall happen: -p "cat jumping"' in ran.err
    ran = fbridge("genrate")
    assert ran.code == 2
    assert "No such command 'genrate'" in ran.err


LISTS = [
    ("a.csv", "", "a.csv: has no column image; its first line must be like image,prompt,seed"),
    ("a.csv", "image,prompt\n", "a.csv: lists nothing; give rows of image, prompt, seed"),
    ("a.csv", "picture,prompt\ncat.png,x\n", "a.csv: has no column image"),
    ("a.csv", "image,promt\ncat.png,x\n", "a.csv, line 2: column 'promt' is unknown, did you mean"),
    ("a.csv", "image,prompt\n,x\n", "a.csv, line 2: names no image; fill the column image"),
    (
        "a.csv",
        "image\ncat.png\n",
        "a.csv, line 2: has no prompt; fill the column prompt, or give -p",
    ),
    ("a.csv", "image,prompt,seed\ncat.png,x,1.5\n", "a.csv, line 2: seed '1.5' is no whole number"),
    ("a.csv", "image,prompt,seed\ncat.png,x,-1\n", "a.csv, line 2: seed '-1' is no whole number"),
    ("a.csv", f"image,prompt,seed\ncat.png,x,{2**63}\n", "from 0 to 2^63 - 1; write it in digits"),
    ("a.csv", 'image,prompt\ncat.png," "\n', "a.csv, line 2: prompt is blank; fill it, or leave"),
    ("a.jsonl", '{"image": "cat.png", "prompt": ["x"]}', 'line 1: prompt is ["x"]; write a single'),
    (
        "a.jsonl",
        '{"image": "cat.png", "prompt": "\\udcff"}',
        "line 1: prompt holds characters that",
    ),
    ("a.jsonl", '{"image": "c\\u0000.png", "prompt": "x"}', "line 1: image holds characters that"),
    ("a.csv", "image,prompt\ncat.png,jump,twice\n", "a.csv, line 2: more values than columns; put"),
    ("a.csv", 'image,prompt\ncat.png,"x\n', "a.csv: is no UTF-8 text of rows"),
    ("a.csv", b"image,prompt\ncat.png,\xff\n", "a.csv: is no UTF-8 text of rows"),
    ("a.csv", "image,prompt\nno.png,jump\n", "no.png: no such file; check the name and the folder"),
    ("a.jsonl", "nonsense\n", "a.jsonl, line 1: is no JSON object; write"),
    ("a.jsonl", '{"prompt": "x"}\n', "a.jsonl, line 1: names no image; fill the column image"),
    ("a.jsonl", '{"image": "cat.png", "prompt": "x", "sed": 3}\n', "did you mean seed?"),
]


@pytest.mark.parametrize(("name", "content", "line"), LISTS)
def test_lists(fbridge: Any, tmp_path: Path, name: str, content: str | bytes, line: str) -> None:
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    ran = fbridge("generate", name)
    assert line in ran.err
    assert ran.err.count("\n") == 1
    assert ran.code == 3


def test_a_listed_seed_too_high_to_count_from(fbridge: Any, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"image,prompt,seed\ncat.png,x,{2**63 - 1}\n")
    ran = fbridge("generate", "a.csv", "--num", "2")
    assert ran.code == 3
    assert f"a.csv, line 2: seed {2**63 - 1} leaves no room to count up --num 2; give" in ran.err


def test_a_negative_in_a_list_without_guidance(
    fbridge: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_GUIDANCE", "1")
    (tmp_path / "a.csv").write_text("image,prompt,negative\ncat.png,x,blur\n")
    ran = fbridge("generate", "a.csv")
    assert (ran.code, "--negative has no effect at guidance 1; add" in ran.err) == (2, True)
    assert fbridge("generate", "a.csv", "--guidance", "2").code == 0


def test_homes_of_nobody(fbridge: Any) -> None:
    ran = fbridge("generate", "~nouser/cat.png", "-p", "jump", "-o", "~nouser/")
    assert ran.code == 3
    assert ran.err == "error: ~nouser/cat.png: no such file; check the name and the folder\n"
    ran = fbridge("generate", "cat.png", "-p", "jump", "--model", "~nouser/model")
    assert ran.code == 4
    assert ran.err.startswith("error: --model ~nouser/model: no such folder; use embedded")


def test_pictures(fbridge: Any, tmp_path: Path, batches: list[int]) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "folder").mkdir()
    ran = fbridge("generate", "cat.png", "empty.png", "gone.png", "text.jpg", "-p", "jump")
    assert ran.code == 3
    assert "3 of 4 pictures cannot be used:\n" in ran.err
    for line in ("empty.png: is empty", "gone.png: no such file", "text.jpg: is not a picture"):
        assert line in ran.err
    assert batches == []
    ran = fbridge("generate", "gone.png", "-p", "jump")
    assert ran.err == "error: gone.png: no such file; check the name and the folder\n"
    ran = fbridge("generate", "folder", "-p", "jump")
    assert ran.err == "error: folder: holds no picture; name a folder of JPEG or PNG files\n"
    assert ran.code == 3
    ran = fbridge("generate", "gone.csv", "-p", "jump")
    assert ran.err == "error: gone.csv: no such file; check the name and the folder\n"
    many = [f"gone{k}.png" for k in range(30)]
    ran = fbridge("generate", *many, "-p", "jump")
    assert "... and 10 more" in ran.err


def test_environment(fbridge: Any) -> None:
    ran = fbridge("generate", "cat.png", "-p", "jump", "-o", "cat.png/sub/")
    assert ran.code == 4
    assert "cat.png: is a file, not a folder; name a folder" in ran.err
    ran = fbridge("generate", "cat.png", "-p", "jump", "--model", "./nowhere")
    assert ran.code == 4
    assert "--model ./nowhere: no such folder; use embedded, a folder, or a hub id" in ran.err


def test_out_of_memory(fbridge: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_TROUBLE", "memory")
    ran = fbridge("generate", "cat.png", "-p", "jump")
    assert ran.code == 4
    assert "cat.mp4: not enough memory on cpu for 1 x 8 frames of 96x64; use a smaller" in ran.err


def test_a_failure_halfway_tells_what_was_finished(
    fbridge: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fbridge.data.video_files import write_video

    def full(frames: Any, path: Path, fps: float, **options: Any) -> None:
        if path.name == "cat-2.mp4":
            raise DependencyError("cat-2.mp4: cannot be written: no room is left on the device")
        write_video(frames, path, fps, **options)

    monkeypatch.setattr("fbridge.generate.writing.write_video", full)
    ran = fbridge("generate", "cat.png", "-p", "jump", "--num", "3")
    assert ran.code == 4
    assert ran.err.splitlines() == [
        "finished before: cat-1.mp4",
        "error: cat-2.mp4: cannot be written: no room is left on the device",
    ]


def test_a_mistake_of_ours(fbridge: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_TROUBLE", "bug")
    ran = fbridge("generate", "cat.png", "-p", "jump")
    assert ran.code == 1
    assert ran.err.startswith(
        "error: internal error: KeyError: 'latents'; this is a mistake in fbr"
    )
    assert ran.err.count("\n") == 1
    assert "Traceback" in fbridge("--debug", "generate", "cat.png", "-p", "jump").err
    monkeypatch.setenv("FBRIDGE_DEBUG", "1")
    assert "Traceback" in fbridge("generate", "cat.png", "-p", "jump").err
    assert "Traceback" in fbridge("generate", "gone.png", "-p", "jump").err


def test_absent_devices() -> None:
    with pytest.raises(DependencyError, match="--device mps: this machine has none; use --device"):
        load_pipeline("embedded", device="mps", dtype="float32")


def test_names_are_those_of_the_core() -> None:
    from fbridge import choices
    from fbridge.backbones.scratch import PRESETS
    from fbridge.data.sources.detect import ORDER
    from fbridge.sampling import SAMPLERS, GridKind, Start

    assert set(choices.SAMPLERS) == set(SAMPLERS)
    assert {name for name, one in SAMPLERS.items() if "eta" in one.defaults} == set(
        choices.SAMPLERS_WITH_ETA
    )
    assert get_args(GridKind) == choices.GRIDS
    assert get_args(Start) == choices.STARTS
    assert set(PRESETS) == set(choices.PRESETS)
    assert set(ORDER) == set(choices.LAYOUTS)
