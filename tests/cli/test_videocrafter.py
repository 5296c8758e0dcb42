"""From VideoCrafter's one file to an image-to-video mp4."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from fbridge.data.provenance import read_provenance
from fbridge.data.shapes import write_clips
from tests.whole import bridge_table, bridge_unet, save_whole, unet

SMALL = ("--frames", 4, "--size", "64x64", "--steps", 2)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FBRIDGE_CACHE", str(tmp_path / "cache"))


def generated(workshop: Any, folder: Path, model: str, *more: object) -> Any:
    out = f"{Path(model).stem}.mp4"
    ran = workshop.run(
        "generate", workshop.folder / "cat.png", "-p", "a cat jumps", "--model", model, "-o", out,
        *more, where=folder,
    )  # fmt: skip
    assert ran.code == 0, ran.err
    return read_provenance(folder / out)


def test_a_text_to_video_file_becomes_a_bridge(workshop: Any, tmp_path: Path) -> None:
    torch.manual_seed(1)
    save_whole(tmp_path, unet(rate=28, temporal_conv=True, reach=0))
    told = json.loads(workshop.run("info", "model.ckpt", "--json", where=tmp_path).out)
    assert (told["family"], told["kind"]) == ("videocrafter", "whole")
    assert told["noise"]["kind"] == "scaled-linear"
    assert (told["missing"], told["others"]["first_stage_model"] > 50) == ([], True)

    write_clips(tmp_path / "clips", 6, seed=9)
    ran = workshop.run(
        "prepare", "clips", "-o", "latents", "--codec", "model.ckpt", "--size", "64x64", "--frames",
        4, "--fps", 16, "--device", "cpu", "--workers", 1, where=tmp_path,
    )  # fmt: skip
    assert ran.code == 0, ran.err
    for run, more in (("full", ()), ("lora", ("--lora", 2))):
        words = workshop.words("-o", run, "--base", "model.ckpt", steps=2, base=False)
        words[words.index("--data") + 1] = "latents"
        ran = workshop.run("finetune", *words, *more, where=tmp_path)
        assert ran.code == 0, ran.err
        record = generated(workshop, tmp_path, run, *SMALL)
        assert (record.frames, record.model.untrained, record.strength) == (4, False, 1)

    program = """
import sys
from fbridge.backbones.videocrafter.network import VideoCrafterUNet
net, told = VideoCrafterUNet.from_pretrained(sys.argv[1], output_loading_info=True)
assert not told["missing_keys"] and not told["unexpected_keys"]
print(net.config["in_channels"], net.config["rate"])
"""
    fresh = [sys.executable, "-c", program, str(tmp_path / "full/model/transformer")]
    ran = subprocess.run(fresh, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == ["8", "28"]


def test_it_makes_a_video_without_training(workshop: Any, tmp_path: Path) -> None:
    torch.manual_seed(1)
    save_whole(tmp_path, unet(), deepspeed=True)
    record = generated(workshop, tmp_path, "model.ckpt", *SMALL, "--strength", 0.6)
    assert (record.frames, record.model.untrained, record.strength) == (4, True, 0.6)


def test_the_authors_bridge_makes_one_and_is_no_base(workshop: Any, tmp_path: Path) -> None:
    torch.manual_seed(1)
    save_whole(tmp_path, bridge_unet(), tables={"bridge_coef_x0": bridge_table()})
    record = generated(workshop, tmp_path, "model.ckpt", "--size", "64x64", "--steps", 1)
    assert (record.frames, record.model.untrained, record.start) == (16, False, "exact")
    ran = workshop.run(
        "finetune", *workshop.words("--base", "model.ckpt", base=False), where=tmp_path
    )
    assert ran.code != 0
    assert "what an image encoder sees of the picture" in ran.err


def test_what_is_missing_is_said(workshop: Any, tmp_path: Path) -> None:
    save_whole(tmp_path, unet())
    (tmp_path / "tokenizer/tokenizer_config.json").unlink()
    ran = workshop.run(
        "generate", workshop.folder / "cat.png", "-p", "a cat", "--model", "model.ckpt",
        where=tmp_path,
    )  # fmt: skip
    assert ran.code != 0
    assert "fbridge weights fetch clip-merges" in ran.err.replace("\n", " ")
    ran = workshop.run("doctor", "--model", "model.ckpt", where=tmp_path)
    assert "lacks tokenizer/tokenizer_config.json" in ran.err


def test_the_doctor_judges_it_by_its_shapes(workshop: Any, tmp_path: Path) -> None:
    save_whole(tmp_path, unet())
    small = ("--frames", 4, "--size", "128x64")
    ran = workshop.run("doctor", "--model", "model.ckpt", *small, where=tmp_path)
    assert ran.code == 0, ran.err
    assert not (tmp_path / "cache").exists()
    assert "model.ckpt: 4 frames of 128x64 on" in ran.out
    told = json.loads(workshop.run("info", "model.ckpt", "--json", where=tmp_path).out)
    assert (told["video"]["frames"], told["video"]["grid"]) == ([16, 2, 64, 1], [64, 40])


def test_a_size_that_cannot_be_is_told_with_one_that_can(workshop: Any, tmp_path: Path) -> None:
    save_whole(tmp_path, unet())
    ran = workshop.run(
        "generate", workshop.folder / "cat.png", "-p", "a cat", "--model", "model.ckpt", "--size",
        "72x64", where=tmp_path,
    )  # fmt: skip
    assert ran.code != 0
    assert "sides must be multiples of 16; use 64x64" in ran.err.replace("\n", " ")
