"""`fbridge train-prior`, `finetune` and `export` on a tiny base and a tiny data set."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from fbridge.backbones.scratch import PRESETS as CORE_PRESETS
from fbridge.choices import PRESETS
from fbridge.config import load_config
from fbridge.train.checkpoints.reading import newest
from fbridge.train.run_files import read_curves

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def runs(workshop: Any) -> dict[str, Any]:
    """What each kind of run told: prior, bridge on it, twin, and LoRA; they lie in runs/."""
    told = {"prior": workshop.run("train-prior", *workshop.words("-o", "runs/prior", base=False))}
    for name, more in {
        "bridge": ("--prior", "runs/prior"),
        "twin": ("--objective", "diffusion"),
        "lora": ("--lora", 2),
    }.items():
        told[name] = workshop.run("finetune", *workshop.words("-o", f"runs/{name}", *more))
    for name, ran in told.items():
        assert ran.code == 0, f"{name}: {ran.err}"
    return told


@pytest.fixture
def place(workshop: Any, tmp_path: Path) -> Any:
    """The command line in an empty folder."""
    return lambda *args: workshop.run(*args, where=tmp_path)


def test_a_run_says_what_it_does(workshop: Any, runs: dict[str, Any]) -> None:
    told = runs["bridge"]
    lines = told.err.splitlines()
    assert lines[:3] == [
        "configuration: built-in defaults",
        f"base: {workshop.base}",
        f"data: {workshop.data}; run: runs/bridge",
    ]
    assert any(line.startswith("step 0  held-out loss ") for line in lines)
    assert any(line.startswith("step 4  held-out loss ") for line in lines)
    verdict, *told = told.out.splitlines()
    assert verdict.startswith("on held-out clips ")
    assert told[0].startswith("the loss on held-out clips was ")
    assert told[2:6] == [
        "held-out clips: runs/bridge/validation/step-4/sheet.png",
        "report: runs/bridge/report.html",
        "model: runs/bridge/model, after 4 steps",
        "next, to train it longer: fbridge finetune -o runs/bridge --resume --steps 8",
    ]
    run = workshop.folder / "runs/bridge"
    assert sorted(path.name for path in run.iterdir()) == [
        "checkpoint-2", "checkpoint-4", "config.toml", "example.png", "metrics.csv", "model",
        "report.html", "run.json", "validation",
    ]  # fmt: skip
    assert [row["step"] for row in read_curves(run / "metrics.csv")] == [0, 1, 2, 3, 4, 4]


def test_the_prior_is_judged(runs: dict[str, Any]) -> None:
    verdict = runs["prior"].out.splitlines()[0]
    assert verdict.startswith("on held-out clips the prior")
    assert "repeated picture" in verdict


def printed_lines(told: str) -> list[str]:
    """The command lines that a run ended with."""
    return [line.partition(": ")[2] for line in told.splitlines() if ": fbridge " in line]


@pytest.mark.slow
def test_what_a_run_prints_can_be_typed(
    workshop: Any, place: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each line as it stands, in the folder of the run; the environment makes them short."""
    ran = place("train-prior", *workshop.words(base=False, steps=1))
    assert ran.code == 0, ran.err
    for key, value in {
        "TRAIN_STEPS": 1, "TRAIN_BATCH_SIZE": 2, "VALIDATION_ROWS": 1, "VALIDATION_CLIPS": 0,
        "LOG_TRACKERS": "[]",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"FBRIDGE_{key}", str(value))
    lines = printed_lines(ran.out)
    data = f"--data {workshop.data} --prior runs/prior"
    assert sorted(lines) == [
        f"fbridge finetune --base {workshop.base} {data}",
        "fbridge train-prior -o runs/prior --resume --steps 2",
    ]
    told = {line: place(*shlex.split(line)[1:]) for line in lines}
    assert [ran.code for ran in told.values()] == [0, 0], told
    lines = printed_lines(told[f"fbridge finetune --base {workshop.base} {data}"].out)
    assert [line.split()[1] for line in lines] == ["finetune", "generate", "eval"]
    for line in lines:
        ran = place(*shlex.split(line)[1:])
        assert ran.code == 0, (line, ran.err)
        assert "..." not in line
        assert not re.search(r"\b[A-Z]{3,}\b", line.replace(str(workshop.folder), ""))
    assert (tmp_path / "runs/finetune/example.mp4").is_file()


def test_the_bridge_starts_from_the_prior(workshop: Any, runs: dict[str, Any]) -> None:
    assert runs["prior"].code == 0
    model = workshop.folder / "runs/bridge/model"
    own = load_file(model / "prior/diffusion_pytorch_model.safetensors")
    made = load_file(workshop.folder / "runs/prior/prior/diffusion_pytorch_model.safetensors")
    assert set(own) == set(made)
    assert all(torch.equal(own[name], made[name]) for name in own)


def test_the_twin_differs_in_its_start_alone(workshop: Any, runs: dict[str, Any]) -> None:
    assert runs["twin"].code == 0
    folder = workshop.folder / "runs"
    scheduler = json.loads((folder / "twin/model/scheduler/scheduler_config.json").read_text())
    assert scheduler["objective"] == "diffusion"
    own = load_config(file=folder / "twin/config.toml").config.flat()
    other = load_config(file=folder / "bridge/config.toml").config.flat()
    assert {key for key in own if own[key] != other[key]} == {
        "bridge.objective", "output", "prior.kind", "prior.path",
    }  # fmt: skip


@pytest.mark.parametrize("model", ["prior/../bridge", "twin/model", "lora", "lora/lora"])
def test_what_was_trained_generates(
    workshop: Any, runs: dict[str, Any], model: str, tmp_path: Path
) -> None:
    assert runs["lora"].code == 0
    name = f"runs/{model}"
    out = tmp_path / "out.mp4"
    ran = workshop.run(
        "generate", "cat.png", "-p", "a square", "--model", name, "-o", out, "--steps", 2,
        "--device", "cpu", "--seed", 3,
    )  # fmt: skip
    assert ran.code == 0, ran.err
    shown = workshop.run("show", out)
    assert f"model           {name} (" in shown.out


def test_exports(workshop: Any, runs: dict[str, Any], tmp_path: Path) -> None:
    assert runs["lora"].code == 0
    ran = workshop.run(
        "export", "runs/lora", "--merged", "-o", tmp_path / "m", "--dtype", "float16"
    )
    assert (ran.code, ran.out) == (0, f"{tmp_path / 'm'}: merged, step 4 of runs/lora\n"), ran.err
    assert "fbridge alone runs it, and stock diffusers cannot: its " in ran.err
    weights = load_file(tmp_path / "m/transformer/diffusion_pytorch_model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float16}
    assert not any("lora" in name for name in weights)
    ran = workshop.run("export", "runs/lora", "--lora", "--checkpoint", 2)
    assert (ran.code, ran.out) == (0, "runs/lora-lora: lora, step 2 of runs/lora\n"), ran.err
    own = workshop.folder / "runs/lora-lora"
    assert (own / "pytorch_lora_weights.safetensors").is_file()
    shutil.rmtree(own)
    ran = workshop.run(
        "generate", "cat.png", "-p", "a square", "--model", tmp_path / "m", "-o",
        tmp_path / "out.mp4", "--steps", 2, "--device", "cpu",
    )  # fmt: skip
    assert ran.code == 0, ran.err


def test_what_cannot_be_exported(workshop: Any, runs: dict[str, Any]) -> None:
    assert runs["bridge"].code == 0
    for args, code, line in [
        (("runs/bridge", "--merged", "--lora"), 2, "--merged and --lora contradict; drop one"),
        (("runs/bridge", "--lora", "--comfy"), 2, "--lora and --comfy contradict; drop one"),
        (("runs/bridge", "--with", "runs/lora", "--comfy"), 2, "--comfy: is about one run, and"),
        (("runs/bridge", "--with", "runs/lora", "--checkpoint", 0), 2, "--checkpoint: is about"),
        (("runs/bridge", "--with", "runs/lora"), 2, "runs/bridge: is of no single network of a"),
        (
            ("runs/bridge", "--comfy"),
            2,
            "runs/bridge: was trained in full and cannot be written as",
        ),
        (("runs/lora", "--comfy"), 2, "cannot run it: the makers' names of the family cogvideox"),
        (("runs/lora/lora", "--comfy"), 2, "runs/lora/lora: ComfyUI cannot run it: the makers'"),
        (("runs/bridge/model", "--comfy"), 2, "is a whole model, and ComfyUI takes a LoRA"),
        (("runs/bridge/model",), 2, "runs/bridge/model: stock diffusers cannot run it: its "),
        (("runs/bridge/model", "--lora"), 2, "--lora: is about a run, and runs/bridge/model is"),
        (("runs/lora/lora", "--checkpoint", "2"), 2, "--checkpoint: is about a run, and runs/lora"),
        (("runs/bridge", "--lora"), 2, "runs/bridge: was trained in full and cannot be written as"),
        (("runs/bridge", "--dtype", "fp16"), 2, "--dtype fp16: unknown"),
        (("runs/bridge", "--ema-length", "0.1"), 2, 'needs ema.kind = "post-hoc" while training'),
        (("runs/bridge", "--checkpoint", "3"), 4, "has no checkpoint of step 3; there are: 2, 4"),
        (("latents",), 4, "latents: is no run of fbridge train-prior or finetune"),
        (("gone",), 4, "gone: is no run of fbridge train-prior or finetune"),
        (("runs/bridge", "-o", "clips"), 2, "clips: is there already, so it stays"),
        (("runs/bridge", "-o", "runs/bridge/model"), 2, "model: is there already, so it stays"),
    ]:
        ran = workshop.run("export", *args)
        assert (ran.code, ran.out) == (code, ""), (args, ran.err)
        assert line in ran.err, ran.err
        assert ran.err.count("\n") == 1


MISTAKES: list[tuple[str, int, str]] = [
    ("--bse x", 2, "error: No such option: --bse"),
    ("--base t2v.safetensor", 2, "unknown, did you mean t2v.safetensors?; use a text-to-video"),
    ("--base scratch:tinny", 2, "--base scratch:tinny: unknown, did you mean scratch:tiny?"),
    ("--base a/b.safetensors", 4, "--base a/b.safetensors: no such file; check the path"),
    ("--base a/b/c", 4, "--base a/b/c: no such folder"),
    ("--base embedded", 2, "base embedded: the built-in demo clips are latents of t2v.safetensors"),
    ("BASE --data gone", 3, "--data gone: no such folder; fbridge prepare makes one of videos"),
    ("BASE --data empty", 3, "empty"),
    ("--data DATA", 2, "no base given; name a text-to-video model: --base t2v.safetensors"),
    ("BASE --data DATA --prior repet", 2, "did you mean repeat?; fbridge train-prior makes one"),
    ("BASE --data DATA --prior empty", 4, "prior.path empty: holds no trained prior"),
    ("BASE --data DATA --objective bridg", 2, "--objective bridg: unknown, did you mean bridge?"),
    ("BASE --data DATA --device gpu", 2, "--device gpu: unknown, did you mean cpu?; use auto, cpu"),
    ("BASE --data DATA --set train.stps=3", 2, "--set train.stps: unknown key; did you mean"),
    ("BASE --data DATA --set train.steps", 2, "--set train.steps: is not KEY=VALUE"),
    ("BASE --data DATA --steps 0", 2, "train.steps"),
    ("BASE --data DATA --recipe dmo", 2, "unknown recipe; did you mean 'demo'?"),
    ("gone.toml BASE", 2, "gone.toml: no such file"),
    ("--accept-changes BASE", 2, "--accept-changes: is about going on with a run; add --resume"),
    ("--resume", 2, "--resume: there is no runs/finetune; name the run: -o RUN"),
    ("--resume -o typo", 2, "--resume: there is no run typo; check its name"),
    ("BASE --data DATA -o taken", 4, "taken: is a file, not a folder; name a folder"),
    ("BASE --data DATA -o run --device cpu --set log.trackers=[wandb]", 4,
     "log.trackers: wandb is not installed; pip install 'fbridge[wandb]', or leave it out"),
    ("BASE --data DATA -o run --device cpu --set log.trackers=[] --set train.optimizer=adamw-8bit",
     4, "optimizer 'adamw-8bit' needs bitsandbytes, which is not installed"),
    ("BASE --data DATA -o run --device cpu --set log.trackers=[] --set split=val", 3,
     "has no split 'val'; it has none"),
    ("BASE --data DATA -o run --device cpu --set log.trackers=[] --set model.condition=class "
     "--base scratch:tiny", 3, 'model.condition is "class", but the data set has no labels'),
]  # fmt: skip


@pytest.mark.parametrize(("typed", "code", "line"), MISTAKES, ids=lambda value: str(value)[-40:])
def test_mistakes(
    workshop: Any, place: Any, tmp_path: Path, typed: str, code: int, line: str
) -> None:
    for package in ("wandb", "bitsandbytes"):
        if package in line and importlib.util.find_spec(package):
            pytest.skip(f"{package} is installed")
    (tmp_path / "empty").mkdir()
    (tmp_path / "taken").touch()
    typed = typed.replace("BASE", f"--base {workshop.base}").replace("DATA", str(workshop.data))
    ran = place("finetune", *typed.split())
    assert (ran.code, ran.out) == (code, ""), ran.err
    assert line in ran.err
    assert ran.err.splitlines()[-1].startswith("error: ")
    assert ran.err.count("error: ") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "taken"]


def test_a_base_of_another_codec(workshop: Any, place: Any, tmp_path: Path) -> None:
    ran = place("finetune", "--base", "embedded", *workshop.words("-o", "run", base=False))
    assert (ran.code, ran.out) == (4, "")
    assert "base embedded: its codec is another one than the data set's; prepare" in ran.err
    assert not any(tmp_path.iterdir())


def test_a_configuration_with_mistakes(workshop: Any, place: Any, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("[train]\nstep = 3\n[bridg]\n")
    ran = place("finetune", "mine.toml", *workshop.words())
    assert ran.code == 2
    assert "mine.toml: [train] step: unknown key; did you mean 'steps'?" in ran.err
    assert "mine.toml: [bridg]: unknown section; did you mean" in ran.err


def test_who_has_a_say(
    workshop: Any, place: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command line before the environment, the file, the recipe and the defaults."""
    (tmp_path / "fbridge.toml").write_text(
        f'base = "{workshop.base}"\nrecipe = "lora"\noutput = "from-file"\n'
        "[train]\nlr = 0.5\nseed = 4\nsteps = 9\nworkers = 0\n[log]\ntrackers = []\n"
    )
    monkeypatch.setenv("FBRIDGE_TRAIN_SEED", "5")
    monkeypatch.setenv("FBRIDGE_TRAIN_STEPS", "8")
    ran = place(
        "finetune", "--data", workshop.data, "--steps", 7, "--device", "cpu", "--dry-run",
        "--batch-size", 2, "--json",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert "configuration: fbridge.toml, recipe lora" in ran.err
    assert "run: from-file" in ran.err
    tree = json.loads(ran.out)
    train = tree["config"]["train"]
    assert (train["lr"], train["seed"], train["steps"]) == (0.5, 5, 7)
    assert tree["config"]["lora"]["rank"] == 16
    origins = [tree["origin"][f"train.{key}"] for key in ("lr", "seed", "steps", "betas")]
    assert origins == ["fbridge.toml", "FBRIDGE_TRAIN_SEED", "command line", "default"]
    assert tree["origin"]["lora.rank"] == "recipe lora"


def test_a_dry_run_leaves_nothing(workshop: Any, place: Any, tmp_path: Path) -> None:
    ran = place("finetune", *workshop.words("--dry-run", "--lora", 2))
    assert ran.code == 0, ran.err
    assert not any(tmp_path.iterdir())
    (tmp_path / "again.toml").write_text(ran.out)
    config = load_config(file=tmp_path / "again.toml").config
    assert (config.lora.rank, config.train.steps, config.data) == (2, 4, str(workshop.data))
    told = [line for line in ran.out.splitlines() if line.startswith("# ")]
    for line, words in zip(
        told,
        (
            ("data: ", "clips to train on", "held out; latents 8x4x8x8; sha256 "),
            ("versions: ", "torch ", "diffusers "),
            ("parameters: ", "of which", "are trained"),
            ("memory: ", "iB at the peak of one probed step"),
            ("time: ", "s a step", "in all without validation"),
        ),
        strict=True,
    ):
        assert all(word in line for word in words), line


def test_json(workshop: Any, place: Any) -> None:
    ran = place("train-prior", *workshop.words("-o", "run", "--json", base=False, steps=2))
    assert ran.code == 0, ran.err
    tree = json.loads(ran.out)
    assert (tree["step"], tree["steps"], tree["run"]) == (2, 2, "run")
    assert tree["checkpoint"] == "run/checkpoint-2"
    assert tree["result"] == "run/prior"
    assert tree["verdict"].startswith("on held-out clips the prior")
    assert tree["learnt"][0] == tree["verdict"]
    assert (tree["sheet"], tree["report"]) == ("run/validation/step-2/sheet.png", "run/report.html")
    lines = {one["line"] for one in tree["next"]}
    assert "fbridge train-prior -o run --resume --steps 4" in lines
    assert tree["validation"]["step"] == 2
    for scores in (tree["validation"], tree["first_validation"]):
        assert all(math.isfinite(scores[name]) for name in ("held_out", "gain", "psnr_prior"))


@pytest.fixture
def own(workshop: Any, runs: dict[str, Any], tmp_path: Path) -> Path:
    """A copy of the LoRA run to spoil."""
    assert runs["lora"].code == 0
    return Path(shutil.copytree(workshop.folder / "runs/lora", tmp_path / "own"))


def test_a_run_is_never_begun_over(workshop: Any, own: Path) -> None:
    ran = workshop.run("finetune", *workshop.words("-o", own))
    assert ran.code == 2
    assert f"{own}: has a run at step 4; add --resume to go on with it, or name another" in ran.err
    shutil.rmtree(own / "checkpoint-2")
    shutil.rmtree(own / "checkpoint-4")
    ran = workshop.run("finetune", *workshop.words("-o", own))
    assert ran.code == 2
    assert "has a run without a checkpoint; add --resume to begin it again, or name" in ran.err
    (own / "checkpoint-4").mkdir()
    ran = workshop.run("finetune", "-o", own, "--resume")
    told = "checkpoint-4/checkpoint.json is damaged); begin another run with another -o"
    assert (ran.code, told in ran.err) == (4, True)


def test_a_run_goes_on_with_its_own_configuration(workshop: Any, own: Path) -> None:
    ran = workshop.run("finetune", "-o", own, "--resume", "--steps", 6, "--device", "cpu")
    assert ran.code == 0, ran.err
    assert f"configuration: {own}/config.toml" in ran.err
    assert f"going on from {own}/checkpoint-4" in ran.err
    assert [row["step"] for row in read_curves(own / "metrics.csv")] == [0, 1, 2, 3, 4, 4, 5, 6, 6]
    assert load_config(file=own / "config.toml").config.lora.rank == 2


def test_changes_are_refused_by_name_until_accepted(workshop: Any, own: Path) -> None:
    more: list[object] = ["finetune", "-o", own, "--resume", "--steps", 6, "--device", "cpu"]
    more += ["--lr", "3e-4", "--set", "train.weight_decay=0.5"]
    before = (own / "config.toml").read_bytes()
    ran = workshop.run(*more)
    assert ran.code == 4
    assert ran.err.splitlines()[-1] == (
        f"error: {own}/checkpoint-4: does not fit: train.lr was 0.0001 and is 0.0003; "
        "train.weight_decay was 0.0001 and is 0.5; take what it was begun with, or go on all the "
        "same with --accept-changes"
    )
    assert (own / "config.toml").read_bytes() == before
    ran = workshop.run(*more, "--accept-changes")
    assert ran.code == 0, ran.err
    assert "changed: train.lr was 0.0001 and is 0.0003" in ran.err
    rows = {row["step"]: row for row in read_curves(own / "metrics.csv") if "lr" in row}
    assert rows[6]["lr"] == 3e-4
    last = newest(own)
    assert last is not None
    group = last.facts["optimizer"]["groups"][0]["values"]
    assert (last.step, group["weight_decay"]) == (6, 0.5)


HARD_CHANGES = [
    (["--lora", "4"], "lora.rank was 2 and is 4"),
    (["--objective", "diffusion"], "bridge.objective was bridge and is diffusion"),
    (["--set", "ema.kind=none"], "ema.kind was plain and is none"),
    (["--set", "train.optimizer=schedule-free"], "train.optimizer was adamw and is schedule-free"),
]


@pytest.mark.parametrize(("typed", "line"), HARD_CHANGES)
def test_some_changes_are_never_accepted(
    workshop: Any, own: Path, typed: list[str], line: str
) -> None:
    words = ("finetune", "-o", own, "--resume", "--steps", 6, "--device", "cpu", "--lr", "3e-4")
    ran = workshop.run(*words, *typed, "--accept-changes")
    assert ran.code == 4
    assert ran.err.splitlines()[-1] == (
        f"error: {own}/checkpoint-4: does not fit: {line}; take what it was begun with, or begin "
        "another run with another -o"
    )


def test_another_data_set_is_refused_by_name(workshop: Any, own: Path, tmp_path: Path) -> None:
    ran = workshop.run(
        "prepare", "clips", "-o", tmp_path / "l2", "--codec", workshop.base, "--size", "64x64",
        "--frames", "4", "--device", "cpu", "--workers", "1",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    words = ("finetune", "-o", own, "--resume", "--steps", 6, "--device", "cpu")
    ran = workshop.run(*words, "--data", tmp_path / "l2", "--accept-changes")
    assert ran.code == 4
    assert "does not fit: data was " in ran.err
    ran = workshop.run("train-prior", "-o", own, "--resume", "--device", "cpu")
    assert ran.code == 4
    assert "command was finetune and is train-prior" in ran.err


def test_the_usual_folder(workshop: Any, place: Any, tmp_path: Path) -> None:
    """Numbered, and --resume without a name takes the latest with its own configuration."""
    words = workshop.words("--set", "validation.rows=0", "--set", "train.keep=9", steps=1)
    assert place("finetune", *words).code == 0
    assert place("finetune", *words, "--lr", "5e-4").code == 0
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["finetune", "finetune-2"]
    ran = place("finetune", "--resume", "--steps", 2, "--device", "cpu")
    assert ran.code == 0, ran.err
    assert "configuration: runs/finetune-2/config.toml" in ran.err
    assert load_config(file=tmp_path / "runs/finetune-2/config.toml").config.train.lr == 5e-4
    assert not (tmp_path / "runs/finetune/checkpoint-2").exists()


def test_resume_where_nothing_is_yet(workshop: Any, place: Any) -> None:
    """A line that a scheduler repeats begins the run the first time."""
    words = workshop.words("--set", "validation.rows=0", "-o", "run", "--resume", steps=1)
    ran = place("finetune", *words)
    assert ran.code == 0, ran.err
    assert "run: there is no checkpoint yet; beginning" in ran.err
    assert "without held-out clips there is no validation" in ran.err


def test_one_of_several_processes(
    workshop: Any, place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They must mean one run; the first one says what is wrong, another one only if it is alone."""
    from fbridge_cli import training

    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    ran = place("finetune", *workshop.words())
    assert ran.code == 2
    assert ran.err == "error: several processes must mean the same run; name it: -o RUN\n"
    monkeypatch.setenv("RANK", "1")
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    ran = place("finetune", *workshop.words())
    assert waited == [training.GRACE]
    assert (ran.code, ran.err.startswith("error: process 1: several")) == (2, True)

    def killed(seconds: float) -> None:
        assert seconds
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", killed)
    ran = place("finetune", *workshop.words())
    assert (ran.code, ran.out, ran.err) == (130, "", "")


def test_single_files_are_codecs_and_bases(workshop: Any, place: Any) -> None:
    """Of the package by their bare name; of the folder like any other."""
    from fbridge.loaders.locate import packaged_file
    from fbridge.loaders.names import check_model
    from fbridge.train.request import check_base

    assert packaged_file("t2v.safetensors") is not None
    check_model("--codec", "t2v.safetensors")
    check_base("--base", "t2v.safetensors")
    check_base("--base", str(workshop.base))
    ran = place("prepare", workshop.folder / "clips", "-o", "x", "--codec", "t2v.safetensor")
    assert (ran.code, "--codec t2v.safetensor: unknown" in ran.err) == (2, True)


@pytest.mark.parametrize(
    "args",
    [
        ("finetune", "--help"),
        ("train-prior", "--help"),
        ("export", "--help"),
        ("finetune", "--base", "t2v.safetensor"),
        ("finetune", "--base", "t2v.safetensors", "--data", "gone"),
        ("train-prior", "--loss", "l3"),
        ("train-prior", "--resume"),
        ("finetune", "--base", "scratch:tiny", "--set", "train.lr=fast"),
        ("export", "gone", "--merged", "--lora"),
    ],
    ids=" ".join,
)
def test_torch_stays_away(args: tuple[str, ...], tmp_path: Path) -> None:
    program = (
        "import sys; from fbridge_cli.main import run; run(sys.argv[1:]); "
        "sys.stderr.write(str('torch' in sys.modules))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, *args],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'models'}:{ROOT}", "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ended.stderr.endswith("False"), ended.stderr
    if "--help" in args:
        for words in ("Example:", f"fbridge {args[0]} "):
            assert words in ended.stdout


def test_every_preset_can_be_a_base() -> None:
    assert list(PRESETS) == list(CORE_PRESETS)
