"""From a published text-to-video pipeline to an image-to-video mp4, for every family."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load_file

from fbridge.backbones.families import takes_picture
from fbridge.backbones.latte_class import LatteClassTransformer
from fbridge.data.provenance import read_provenance
from fbridge.data.shapes import write_clips
from tests.pipelines import PUBLISHED, Published, network_of, publish

every = pytest.mark.parametrize("name", PUBLISHED)


class Made(NamedTuple):
    """Where a pipeline lies (base/), its data set (latents/) and its bridge (run/)."""

    published: Published
    folder: Path


@pytest.fixture(scope="module")
def made(workshop: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Made]:
    """Every pipeline prepared for and trained for two steps."""
    clips = tmp_path_factory.mktemp("clips")
    write_clips(clips, 6, seed=9)
    done = {}
    for name, published in PUBLISHED.items():
        folder = tmp_path_factory.mktemp(name)
        base = publish(name, folder / "base")
        ran = workshop.run(
            "prepare", clips, "-o", "latents", "--codec", base, "--size",
            published.size, "--frames", published.frames, "--fps", 16, "--device", "cpu",
            "--workers", 1, where=folder,
        )  # fmt: skip
        assert ran.code == 0, f"{name}: {ran.err}"
        words = workshop.words("-o", "run", "--base", base, steps=2, base=False)
        words[words.index("--data") + 1] = "latents"
        ran = workshop.run("finetune", *words, where=folder)
        assert ran.code == 0, f"{name}: {ran.err}"
        done[name] = Made(published, folder)
    return done


@every
def test_it_becomes_a_bridge_and_makes_a_video(
    workshop: Any, made: dict[str, Made], name: str
) -> None:
    record = _generated(workshop, made[name], "run")
    assert record.frames == PUBLISHED[name].frames
    assert not record.model.untrained
    assert record.strength == 1


@every
def test_the_base_itself_makes_one_without_training(
    workshop: Any, made: dict[str, Made], name: str
) -> None:
    record = _generated(workshop, made[name], "base", "--strength", 0.6)
    assert record.model.untrained
    assert (record.strength, record.sampler, record.start) == (0.6, "ode", "noised")
    assert record.frames == PUBLISHED[name].frames


def test_stock_diffusers_loads_what_was_made_in_a_fresh_process(made: dict[str, Made]) -> None:
    told = {
        str(one.folder / "run/model/transformer"): type(network_of(PUBLISHED[name].make())).__name__
        for name, one in made.items()
    }
    program = """
import json, sys, diffusers
for folder, kind in json.loads(sys.argv[1]).items():
    net, told = getattr(diffusers, kind).from_pretrained(folder, output_loading_info=True)
    assert not told["missing_keys"] and not told["unexpected_keys"], folder
    assert net.config["_class_name"] == kind
    print(net.config["in_channels"])
assert not [name for name in sys.modules if name.startswith("fbridge")]
"""
    ran = subprocess.run(
        [sys.executable, "-c", program, json.dumps(told)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    networks = [network_of(PUBLISHED[name].make()) for name in made]
    expected = [  # one that takes pictures natively needs no room for the prior
        network.config["in_channels"] * (1 if takes_picture(network) else 2) for network in networks
    ]
    assert [int(line) for line in ran.stdout.split()] == expected


@every
def test_low_rank_updates_make_a_video_too(workshop: Any, made: dict[str, Made], name: str) -> None:
    folder = made[name].folder
    words = workshop.words("-o", "lora", "--base", "base", "--lora", 2, steps=1, base=False)
    words[words.index("--data") + 1] = "latents"
    ran = workshop.run("finetune", *words, where=folder)
    assert ran.code == 0, ran.err
    assert (folder / "lora/lora/pytorch_lora_weights.safetensors").is_file()
    assert _generated(workshop, made[name], "lora").frames == PUBLISHED[name].frames


@pytest.mark.parametrize("kind", ["int8", "nf4"])
def test_updates_of_a_base_in_few_bits_are_kept_for_the_exact_one(
    workshop: Any, made: dict[str, Made], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip({"int8": "torchao", "nf4": "bitsandbytes"}[kind])
    monkeypatch.setattr("fbridge.backbones.family.FEWEST", 100)
    folder, run = made["wan"].folder, f"lora-{kind}"
    words = workshop.words("-o", run, "--base", "base", "--lora", 2, steps=2, base=False)
    words[words.index("--data") + 1] = "latents"
    ran = workshop.run(
        "finetune", *words, "--set", f"lora.quantize={kind}",
        where=folder,
    )  # fmt: skip
    assert ran.code == 0, ran.err
    held = load_file(folder / run / "lora/pytorch_lora_weights.safetensors")
    assert held
    assert all(value.dtype == torch.float32 for value in held.values())
    _generated(workshop, made["wan"], run)
    ran = workshop.run(
        "generate", workshop.folder / "cat.png", "-p", "a cat", "--model", run, "--steps", 1,
        "--frames", 5, "--size", "64x64", "--quantize", kind, "--offload", "group",
        "--vae-tiling", "-o", f"{kind}.mp4", where=folder,
    )  # fmt: skip
    assert ran.code == 0, ran.err
    record = read_provenance(folder / f"{kind}.mp4")
    assert record.machine.memory == {"quantize": kind, "tiling": "True"}
    assert (
        f"switches        quantize {kind}, tiling True"
        in workshop.run("show", f"{kind}.mp4", where=folder).out
    )
    ran = workshop.run("generate", "--from", f"{kind}.mp4", where=folder)
    assert ran.code == 0, ran.err
    again = folder / f"{kind}-again.mp4"
    assert again.read_bytes() == (folder / f"{kind}.mp4").read_bytes()


def test_a_latte_by_class_learns_from_labelled_videos(workshop: Any, tmp_path: Path) -> None:
    base = publish("latte", tmp_path / "latte")
    (base / "vae").rename(tmp_path / "vae")
    net = LatteClassTransformer(
        input_size=8, hidden_size=24, depth=4, num_heads=1, num_classes=3, num_frames=8,
        out_channels=8,
    )  # fmt: skip
    torch.save({"ema": net.state_dict()}, tmp_path / "classes.pt")
    for seed, name in enumerate(("Archery", "Bowling", "Diving")):
        write_clips(tmp_path / "drawn", 2, seed=seed)
        for number in range(2):
            clip = tmp_path / f"videos/{name}/v_{name}_g01_c{number + 1:02d}.avi"
            clip.parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / f"drawn/{number:05d}.mp4").rename(clip)
    ran = workshop.run(
        "prepare", "videos", "-o", "latents", "--codec", ".", "--frames", 8, "--size", "64x64",
        "--device", "cpu", "--workers", 1, where=tmp_path,
    )  # fmt: skip
    assert ran.code == 0, ran.err
    for run, more in (("full", ()), ("lora", ("--lora", 2))):
        words = workshop.words("-o", run, "--base", "classes.pt", steps=2, base=False)
        words[words.index("--data") + 1] = "latents"
        ran = workshop.run(
            "finetune", *words, *more, "--set", "model.condition=class", where=tmp_path
        )
        assert ran.code == 0, ran.err
        ran = workshop.run(
            "generate", workshop.folder / "cat.png", "-p", "bowling", "--model", run, "--steps", 2,
            "--size", "64x64", "-o", f"{run}.mp4", where=tmp_path,
        )  # fmt: skip
        assert ran.code == 0, ran.err
        assert read_provenance(tmp_path / f"{run}.mp4").frames == 8


def _generated(workshop: Any, one: Made, model: str, *more: object) -> Any:
    """The record of a small video by a model."""
    published, out = one.published, f"{model}.mp4"
    ran = workshop.run(
        "generate", workshop.folder / "cat.png", "-p", "a cat jumps", "--model", model, "--steps",
        2, "--frames", published.frames, "--size", published.size, "-o", out, *more,
        where=one.folder,
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert (one.folder / out).stat().st_size > 1000
    return read_provenance(one.folder / out)
