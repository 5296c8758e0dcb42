"""`fbridge doctor`: the machine, and what a model needs of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import fbridge
from fbridge.loaders.resolve import resolve
from tests.pipelines import publish


def test_the_machine(workshop: Any) -> None:
    ran = workshop.run("doctor", "--device", "cpu")
    assert ran.code == 0, ran.err
    told = {line.split("  ")[0]: line for line in ran.out.splitlines()}
    assert {"system", "processor", "GPU", "packages", "video", "cache"} <= told.keys()
    assert "cores" in told["processor"]
    assert "libx264" in told["video"]
    machine = json.loads(workshop.run("doctor", "--json", "--device", "cpu").out)["machine"]
    assert machine["packages"]["torch"]
    assert machine["free_disk"] > 0
    assert fbridge.__version__


def test_a_configuration_and_its_data(workshop: Any, tmp_path: Path) -> None:
    config = tmp_path / "bridge.toml"
    config.write_text(
        f'base = "{workshop.base}"\ndata = "{workshop.data}"\n[train]\nbatch_size = 3\nsteps = 50\n'
    )
    ran = workshop.run("doctor", config, "--device", "cpu", "--json", where=workshop.folder)
    assert ran.code == 0, ran.err
    told = json.loads(ran.out)["model"]
    assert told["clip"] == {"frames": 8, "width": 64, "height": 64}
    assert (told["steps"], told["device"]) == (50, "cpu")
    assert told["speed"] > 1e6
    assert [entry["how"] for entry in told["train"]][:3] == [
        "as it is", "train.precision=bf16", "train.gradient_checkpointing=true",
    ]  # fmt: skip
    assert all(entry["fits"] and entry["seconds"] > 0 for entry in told["generate"])
    ran = workshop.run("doctor", config, "--device", "cpu", where=workshop.folder)
    assert "8 frames of 64x64 on cpu" in ran.out
    assert "train  as it is" in ran.out


def test_what_would_make_it_fit(
    workshop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = publish("wan", tmp_path / "base")
    words = ("doctor", "--model", base, "--frames", 9, "--size", "64x64", "--device", "cpu")
    needs = json.loads(workshop.run(*words, "--json").out)["model"]["train"]
    for room, told in (
        (needs[0]["memory"] + 1, ""),
        (needs[2]["memory"] + 1, f"train: fits with all switches up to {needs[2]['how']}"),
        (1000, "train: does not fit with any of these switches"),
    ):
        monkeypatch.setattr("fbridge.memory.assess.free_memory", lambda _, room=room: room)
        ran = workshop.run(*words)
        assert ran.code == 0, ran.err
        said = [line for line in ran.out.splitlines() if line.startswith("train: ")]
        assert said == ([told] if told else [])


def test_an_accelerator_that_is_not_here(workshop: Any, tmp_path: Path) -> None:
    base = publish("wan", tmp_path / "base")
    words = ("doctor", "--model", base, "--frames", 9, "--size", "64x64", "--device", "cpu")
    told = json.loads(workshop.run(*words, "--memory", 0.0001, "--json").out)["model"]
    assert (told["device"], told["room"], told["speed"]) == ("accelerator", 100_000, None)
    ways = [entry["how"] for entry in told["train"]]
    assert ways[-5:] == [
        "lora.quantize=float8", "train.offload_activations=true", "lora.offload_blocks=1",
        "lora.offload_blocks=2", "lora.quantize=nf4",
    ]  # fmt: skip
    assert {entry["seconds"] for entry in told["train"]} == {None}
    ran = workshop.run(*words, "--memory", 24)
    assert "on accelerator (24.0 GB)" in ran.out
    assert "train  as it is" in ran.out
    assert "block" not in ran.out
    assert "time" not in ran.out
    ran = workshop.run(*words, "--memory", -1)
    assert (ran.code, "--memory -1: GB of an accelerator, such as 24" in ran.err) == (2, True)


def test_the_clips_that_a_model_says_it_makes(workshop: Any) -> None:
    """The small base has positions for its own sizes alone, and not for those of Wan 2.1."""
    ran = workshop.run("doctor", "--model", "t2v.safetensors", "--device", "cpu", "--json")
    assert ran.code == 0, ran.err
    told = json.loads(ran.out)["model"]
    base = resolve("t2v.safetensors")
    width, height = base.facts["sizes"][0]
    frames = base.facts["frames"][0]
    assert told["clip"] == {"frames": frames, "width": width, "height": height}
    ran = workshop.run("doctor", "--model", "t2v.safetensors", "--size", "1280x720", "--json")
    assert (ran.code, "latent frames of 160x90 are not possible" in ran.err) == (2, True)


def test_what_cannot_be_judged(workshop: Any, tmp_path: Path) -> None:
    (tmp_path / "empty.toml").write_text("[train]\nsteps = 3\n")
    ran = workshop.run("doctor", tmp_path / "empty.toml")
    assert (ran.code, "no model to judge; name one" in ran.err) == (2, True)
    ran = workshop.run("doctor", "--model", tmp_path / "none.safetensors")
    assert (ran.code, "there is no such file" in ran.err) == (4, True)
    ran = workshop.run("doctor", "--model", "embedded")
    assert (ran.code, "and this is a space-time network" in ran.err) == (4, True)
    ran = workshop.run("doctor", "--memory", 24)
    assert (ran.code, "--memory: is about a model; name one" in ran.err) == (2, True)
    ran = workshop.run("doctor", tmp_path / "none.toml")
    assert ran.code == 2
