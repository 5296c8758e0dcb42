from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fbridge.data.metadata import read_comment
from fbridge.data.provenance import read_provenance
from fbridge.data.video_files import read_video

GENERATE = ("generate", "-p", "cat jumping")


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_a_picture_becomes_a_video(fbridge: Any, tmp_path: Path) -> None:
    ran = fbridge("generate", "cat.png", "-p", "cat jumping")
    assert ran.code == 0
    assert ran.err == ""
    assert ran.out.startswith(
        "cat.mp4: 8 frames at 8 fps, seed 0; cat.png 97x64 -> 96x64 (cropped 1 px of the width); "
    )
    assert ran.out.count("\n") == 1
    assert names(tmp_path) == ["cat.mp4", "cat.mp4.json", "cat.png"]
    assert read_video("cat.mp4").frames.shape == (8, 64, 96, 3)
    record = read_provenance("cat.mp4")
    assert (record.prompt, record.seed, record.sampler, record.steps) == (
        "cat jumping",
        0,
        "sde",
        5,
    )
    assert (record.eta, record.guidance, record.grid, record.start) == (
        None,
        1.5,
        "trailing",
        "noised",
    )
    assert record.picture.path == "cat.png"
    assert record.versions.keys() == {"fbridge", "python", "torch", "diffusers"}


def test_what_is_not_read_of_a_prompt_is_a_warning(fbridge: Any) -> None:
    ran = fbridge("generate", "cat.png", "-p", "a cat jumps " * 99)
    assert ran.code == 0
    assert ran.err == "warning: not read is the end of 'a cat jum'\n"


def test_guidance_on_top_of_what_a_student_was_taught_is_a_warning(
    fbridge: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_TAUGHT", "2")
    plain = fbridge("generate", "cat.png", "-p", "a cat jumps", "--guidance", "1")
    assert (plain.code, plain.err) == (0, "")
    ran = fbridge("generate", "cat.png", "-p", "a cat jumps", "--guidance", "3", "--overwrite")
    assert ran.code == 0
    assert ran.err == (
        "warning: guidance 3: embedded was taught to answer as its teacher does at guidance 2, so "
        "more of it exaggerates; 1 adds none\n"
    )


def test_what_a_picture_does_not_hold_is_told_and_recorded_in_video_and_sidecar(
    fbridge: Any,
) -> None:
    prompts = ("-p", "a unicorn jumps", "-p", "cat gallops")
    ran = fbridge("generate", "cat.png", *prompts, "--batch-size", "2")
    assert ran.code == 0
    for video, note in (
        ("cat-1.mp4", "no unicorn is found in the picture"),
        ("cat-2.mp4", "no motion is known for 'cat gallops'"),
    ):
        assert f"warning: {note}\n" in ran.err
        assert json.loads(str(read_comment(Path(video))))["notes"] == [note]
        record = read_provenance(video)
        assert record.notes == (note,)
        assert record.picture.path == "cat.png"  # of the sidecar, whose record is the same


def test_a_model_says_which_world_it_knows(fbridge: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("generate", "cat.png", "-p", "a cat jumps", "--model", "runs/x", "--dry-run")
    Path("runs/x").mkdir(parents=True)
    assert "world" not in fbridge(*words).err
    monkeypatch.setenv("FAKE_WORLD", "drawn shapes over soft backgrounds")
    assert (
        "runs/x knows one world: drawn shapes over soft backgrounds; a picture of anything else "
        "comes out as something of it, unless it was fine-tuned on such pictures\n"
    ) in fbridge(*words).err


@pytest.mark.parametrize(
    ("kind", "made"), [("gif", "cat.gif"), ("webp", "cat.webp"), ("png", "cat")]
)
def test_formats(fbridge: Any, tmp_path: Path, kind: str, made: str) -> None:
    assert fbridge(*GENERATE, "cat.png", "--format", kind).code == 0
    assert names(tmp_path) == sorted([f"{made}.json", made, "cat.png"])
    assert read_provenance(made) == read_provenance(f"{made}.json")
    if kind == "png":
        assert names(tmp_path / "cat") == [f"frame_{k:04d}.png" for k in range(8)]


def test_options_reach_the_pipeline_and_the_record(fbridge: Any) -> None:
    ran = fbridge(
        *GENERATE, "cat.png", "--negative", "blur", "-o", "films/a.mp4", "--frames", "12",
        "--fps", "12.5", "--size", "64x48", "--steps", "3", "--sampler", "dbim", "--eta", "0.5",
        "--guidance", "2", "--image-guidance", "1.5", "--grid", "karras", "--start", "booted",
        "--seed", "7", "--device", "cpu", "--dtype", "bfloat16", "--time-shift", "1.5",
    )  # fmt: skip
    assert ran.code == 0
    record = read_provenance("films/a.mp4")
    assert (record.negative, record.frames, record.fps, record.size) == ("blur", 12, 12.5, (64, 48))
    assert (record.steps, record.sampler, record.eta, record.guidance) == (3, "dbim", 0.5, 2)
    assert (record.image_guidance, record.grid, record.start) == (1.5, "karras", "booted")
    assert record.time_shift == 1.5
    assert (record.seed, record.machine.device, record.machine.dtype) == (7, "cpu", "bfloat16")
    assert record.picture.path == "../cat.png"
    video = read_video("films/a.mp4")
    assert video.frames.shape == (12, 48, 64, 3)
    assert video.fps == pytest.approx(12.5)


def test_no_metadata(fbridge: Any, tmp_path: Path) -> None:
    assert fbridge(*GENERATE, "cat.png", "--no-metadata").code == 0
    assert names(tmp_path) == ["cat.mp4", "cat.png"]
    assert read_comment("cat.mp4") is None


@pytest.mark.parametrize("options", [("--num", "3"), ("--seed", "0", "--seed", "1", "--seed", "2")])
def test_several_seeds(fbridge: Any, options: tuple[str, ...]) -> None:
    assert fbridge(*GENERATE, "cat.png", "-o", "out/", *options).code == 0
    assert [read_provenance(f"out/cat-{k}.mp4").seed for k in (1, 2, 3)] == [0, 1, 2]


def test_several_prompts(fbridge: Any) -> None:
    assert fbridge("generate", "cat.png", "-p", "jump", "-p", "spin", "-o", "a.gif").code == 0
    assert [read_provenance(f"a-{k}.gif").prompt for k in (1, 2)] == ["jump", "spin"]


def test_pictures_of_one_name_from_two_folders(fbridge: Any, draw: Any, tmp_path: Path) -> None:
    for place in ("a/cat.png", "b/cat.jpg", "b/Cat-1.png"):
        draw(tmp_path / place)
    ran = fbridge(*GENERATE, "a/cat.png", "b/cat.jpg", "b/Cat-1.png", "-o", "out")
    assert ran.code == 0
    assert names(tmp_path / "out") == [
        "Cat-1.mp4", "Cat-1.mp4.json", "cat-2.mp4", "cat-2.mp4.json", "cat-3.mp4", "cat-3.mp4.json",
    ]  # fmt: skip
    assert read_provenance(tmp_path / "out/cat-2.mp4").picture.path == "../a/cat.png"


def test_a_folder_of_pictures(fbridge: Any, draw: Any, tmp_path: Path) -> None:
    for name in ("p10.png", "p2.png", ".hidden.png"):
        draw(tmp_path / "in" / name)
    (tmp_path / "in" / "notes.txt").write_text("x")
    ran = fbridge(*GENERATE, "in")
    assert [line.split(":")[0] for line in ran.out.splitlines()] == ["p2.mp4", "p10.mp4"]


def test_a_csv_list(fbridge: Any, draw: Any, tmp_path: Path) -> None:
    draw(tmp_path / "in/a.png")
    draw(tmp_path / "in/sub/b.png")
    (tmp_path / "in/list.csv").write_text(
        '\ufeffimage,prompt,seed,author\na.png,"jump, twice",5,me\nsub/b.png,,,\na.png,spin,,\n',
        encoding="utf-8",
    )
    assert fbridge("generate", "in/list.csv", "-p", "zoom in", "--seed", "3", "-o", "v").code == 0
    got = [read_provenance(tmp_path / "v" / name) for name in ("a-1.mp4", "b.mp4", "a-2.mp4")]
    assert [record.prompt for record in got] == ["jump, twice", "zoom in", "spin"]
    assert [record.seed for record in got] == [5, 3, 3]


def test_a_jsonl_list(fbridge: Any, draw: Any, tmp_path: Path) -> None:
    draw(tmp_path / "a.png")
    rows = [{"image": "a.png", "prompt": "jump", "negative": "blur", "seed": 9}]
    (tmp_path / "list.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    assert fbridge("generate", "list.jsonl", "--num", "2").code == 0
    got = [read_provenance(f"a-{k}.mp4") for k in (1, 2)]
    assert [(record.seed, record.negative) for record in got] == [(9, "blur"), (10, "blur")]


def test_batches_hold_neighbours_of_one_size(
    fbridge: Any, draw: Any, tmp_path: Path, batches: list[int]
) -> None:
    for k in range(3):
        draw(tmp_path / f"in/a{k}.png", (64, 48))
    draw(tmp_path / "in/b.png", (48, 64))
    assert fbridge(*GENERATE, "in", "--batch-size", "2").code == 0
    assert batches == [2, 1, 1]
    assert read_provenance("a0.mp4").machine.batch == 2
    assert read_provenance("b.mp4").machine.batch == 1


def test_a_video_does_not_depend_on_its_batch(fbridge: Any, draw: Any, tmp_path: Path) -> None:
    draw(tmp_path / "a.png")
    fbridge(*GENERATE, "a.png", "--num", "3", "-o", "one", "--format", "png")
    fbridge(*GENERATE, "a.png", "--num", "3", "-o", "all", "--format", "png", "--batch-size", "3")
    for k in (1, 2, 3):
        one, both = (read_video(tmp_path / folder / f"a-{k}") for folder in ("one", "all"))
        assert (one.frames == both.frames).all()


def test_existing_files_stay_without_overwrite(fbridge: Any) -> None:
    fbridge(*GENERATE, "cat.png")
    before = Path("cat.mp4").read_bytes()
    Path("cat.gif.json").write_text("{}")
    for args, name in [
        ((), "cat.mp4: already exists; give another name with -o, or --overwrite"),
        (("--format", "gif"), "cat.gif.json: already exists beside cat.gif; give another name wi"),
    ]:
        ran = fbridge("generate", "cat.png", "-p", "spin", *args)
        assert ran.code == 2
        assert name in ran.err
    assert Path("cat.mp4").read_bytes() == before
    assert fbridge("generate", "cat.png", "-p", "spin", "--overwrite").code == 0
    assert read_provenance("cat.mp4").prompt == "spin"


def test_kinds_of_one_picture_lie_side_by_side(fbridge: Any, tmp_path: Path) -> None:
    for kind in ("mp4", "gif", "png"):
        assert fbridge(*GENERATE, "cat.png", "--format", kind).code == 0
    assert names(tmp_path) == [
        "cat", "cat.gif", "cat.gif.json", "cat.json", "cat.mp4", "cat.mp4.json", "cat.png",
    ]  # fmt: skip


def test_inputs_are_never_written_over(fbridge: Any, draw: Any, tmp_path: Path) -> None:
    draw(tmp_path / "cat.webp")
    before = (tmp_path / "cat.webp").read_bytes()
    ran = fbridge(*GENERATE, "cat.webp", "--format", "webp", "--overwrite")
    assert ran.code == 2
    assert "cat.webp: is what the video is made from; give another name with -o" in ran.err
    assert (tmp_path / "cat.webp").read_bytes() == before


def test_folders_of_other_things_stay(fbridge: Any, tmp_path: Path) -> None:
    for name in ("cat", "cat.mp4"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.txt").write_text("x")
    for kind in ("png", "mp4"):
        ran = fbridge(*GENERATE, "cat.png", "--format", kind, "--overwrite")
        assert ran.code == 2
        assert "is a folder of other things; give another name with -o" in ran.err
    assert (tmp_path / "cat" / "mine.txt").exists()


def test_dots_in_a_folder_of_frames(fbridge: Any, draw: Any, tmp_path: Path) -> None:
    draw(tmp_path / "cat.v2.png")
    assert fbridge(*GENERATE, "cat.v2.png", "--format", "png").code == 0
    assert names(tmp_path) == ["cat.png", "cat.v2.png", "cat_v2", "cat_v2.json"]


def test_dry_run_makes_nothing(fbridge: Any, tmp_path: Path, batches: list[int]) -> None:
    ran = fbridge(*GENERATE, "cat.png", "--dry-run", "--num", "2", "-o", "new/")
    assert ran.code == 0
    assert names(tmp_path) == ["cat.png"]
    assert batches == []
    assert "new/cat-1.mp4  cat.png 97x64 -> 96x64" in ran.out
    assert "model embedded (ffffffffffff) on cpu in float32; 8 frames at 8 fps; " in ran.err
    plan = json.loads(fbridge(*GENERATE, "cat.png", "--dry-run", "--json").out)
    assert plan["videos"][0]["video"] == "cat.mp4"
    assert plan["videos"][0]["size"] == [96, 64]


def test_json(fbridge: Any) -> None:
    ran = fbridge(*GENERATE, "cat.png", "--json")
    result = json.loads(ran.out)["videos"][0]
    assert (result["video"], result["sidecar"], result["seed"]) == ("cat.mp4", "cat.mp4.json", 0)
    assert result["model"] == {
        "name": "embedded",
        "hash": "f" * 64,
        "untrained": False,
        "components": None,
    }
    assert "cropped 1 px of the width" in result["fitting"]
    assert (
        json.loads(fbridge(*GENERATE, "cat.png", "-o", "b.mp4", "--no-metadata", "--json").out)[
            "videos"
        ][0]["sidecar"]
        is None
    )


def test_what_was_done_to_the_picture_is_told(fbridge: Any, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.zeros((40, 60, 4), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    ran = fbridge(*GENERATE, "a.png")
    assert "a.png 40x60 -> 40x60 (turned upright, laid on white)" in ran.out


def test_strange_names(fbridge: Any, draw: Any, tmp_path: Path) -> None:
    for name in ("[red]a b.png", "-p.png", "猫.png", "a\x1b[31m.png", os.fsdecode(b"c\xe9.png")):
        draw(tmp_path / name)
        ran = fbridge(*GENERATE, "--", name)
        assert ran.code == 0, ran.err
        assert "\x1b" not in ran.out
        assert fbridge("show", "--", name.replace(".png", ".mp4")).code == 0
    assert fbridge("show", "[red]a b.mp4").out.count("[red]a b.png") == 1


def test_nothing_of_the_fitting_is_lost_on_a_narrow_terminal(
    fbridge: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    assert fbridge(*GENERATE, "cat.png").out.count("\n") == 1
