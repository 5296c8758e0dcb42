"""A whole run, from its folder's first file to its result."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fbridge.backbones.space_time import SpaceTimeTransformer
from fbridge.config.read import load_config
from fbridge.data.latents import LatentDataset
from fbridge.errors import CheckpointError, ConfigError
from fbridge.pipeline import FrameBridgePipeline
from fbridge.train.checkpoints.reading import Chosen, checkpoints, load_group, newest
from fbridge.train.events import Begun, Ended, Event, Saved, Stepped, Validated
from fbridge.train.run import find_resume, train
from fbridge.train.run_files import locked_run, read_curves
from fbridge.train.setup.session import Session, build_session
from tests.train.sets import short_run

MakeSession = Callable[..., Session]


def weights(run: Path, group: str = "network") -> dict[str, torch.Tensor]:
    last = newest(run)
    assert last is not None
    return load_group(last, group)


def same(one: Path, other: Path) -> bool:
    for group in ("network", "optimizer", "ema"):
        ours, theirs = weights(one, group), weights(other, group)
        if ours.keys() != theirs.keys() or not all(torch.equal(ours[n], theirs[n]) for n in ours):
            return False
    return True


def test_all_that_a_run_writes(session: MakeSession, tmp_path: Path, clips: LatentDataset) -> None:
    made = session()
    events = list(train(made, command_line="fbridge finetune"))
    run = tmp_path / "run"
    kinds = [type(event) for event in events]
    assert kinds == [Begun, Validated, Stepped, Stepped, Validated, Saved,
                     Stepped, Stepped, Validated, Saved, Ended]  # fmt: skip
    assert isinstance(events[0], Begun)
    assert events[0].notes == (
        "4 clips are held out, by their source",
        "clips of 3 frames are too short for fbridge eval --metric fvd, which takes 9 or more",
    )
    assert isinstance(events[-1], Ended)
    assert (events[-1].step, events[-1].stopped, events[-1].result) == (4, False, run / "model")
    assert {path.name for path in run.iterdir()} == {
        "config.toml", "run.json", "metrics.csv", "checkpoint-2", "checkpoint-4", "validation",
        "model", "report.html", "example.png",
    }  # fmt: skip
    assert load_config(file=run / "config.toml").config == made.config
    facts = json.loads((run / "run.json").read_text())
    assert facts["command_line"] == "fbridge finetune"
    assert facts["data"]["sha256"] == clips.hash
    assert (facts["data"]["training"], facts["data"]["held_out"]) == (5, 4)
    assert facts["parameters"] == facts["trained_parameters"] > 0
    rows = read_curves(run / "metrics.csv")
    assert [row["step"] for row in rows if "loss" in row] == [1, 2, 3, 4]
    held = [
        (event.step, event.scores["held_out"]) for event in events if isinstance(event, Validated)
    ]
    assert [(row["step"], row["held_out"]) for row in rows if "held_out" in row] == held
    assert sorted(path.name for path in (run / "validation").iterdir()) == [
        "step-0", "step-2", "step-4",
    ]  # fmt: skip


def test_the_result_is_the_average_and_makes_videos(session: MakeSession, tmp_path: Path) -> None:
    list(train(session(train={"lr": 0.01}, ema={"decay": 0.5})))
    pipe = FrameBridgePipeline.from_pretrained(tmp_path / "run/model")
    saved = dict(pipe.transformer.named_parameters())
    average = {
        n.removeprefix("transformer."): t for n, t in weights(tmp_path / "run", "ema").items()
    }
    assert average.keys() == saved.keys()
    assert all(torch.equal(average[name], saved[name]) for name in average)
    plain = weights(tmp_path / "run")
    assert any(not torch.equal(plain[f"transformer.{name}"], saved[name]) for name in saved)
    assert pipe.frame_limits == (8, 2, 16, 1)
    frames = pipe(
        Image.new("RGB", (64, 64), "teal"), "it moves", num_frames=3, num_inference_steps=2
    ).frames[0]
    assert frames.shape == (3, 64, 64, 3)
    assert np.isfinite(frames).all()


def _validated(events: list[Event], step: int) -> bool:
    return any(isinstance(event, Validated) and event.step == step for event in events)


def test_a_run_resumes_as_if_never_stopped(session: MakeSession, tmp_path: Path) -> None:
    own: dict[str, Any] = {"condition": {"text_dropout": 0.5}, "prior": {"noise": 0.1},
                           "times": {"density": "lognormal"}}  # fmt: skip
    list(train(session(run="straight", **own)))
    cut: list[Event] = []
    for event in train(session(run="cut", **own), stop=lambda: _validated(cut, 2)):
        cut.append(event)
    assert isinstance(cut[-1], Ended)
    assert (cut[-1].step, cut[-1].stopped, cut[-1].result) == (3, True, None)
    assert not (tmp_path / "cut/model").exists()
    resume = find_resume(tmp_path / "cut", wanted=True).checkpoint
    assert resume is not None
    events = list(train(session(run="cut", **own), resume=resume))
    assert isinstance(events[0], Begun)
    assert (events[0].step, events[0].resumed) == (3, resume.path)
    assert same(tmp_path / "straight", tmp_path / "cut")
    told = [
        [row["loss"] for row in read_curves(tmp_path / name / "metrics.csv") if "loss" in row]
        for name in ("straight", "cut")
    ]
    assert len(told[0]) == 4
    assert told[0] == told[1]


def test_a_run_goes_on_with_changes_that_were_accepted(session: MakeSession) -> None:
    list(train(session()))
    changed: dict[str, Any] = {"train": {"lr": 0.5, "steps": 5}}
    made = session(**changed)
    resume = newest(made.run)
    before = (made.run / "config.toml").read_text()
    with pytest.raises(CheckpointError, match=r"train.lr was 0.0001 and is 0.5"):
        list(train(made, resume=resume))
    assert (made.run / "config.toml").read_text() == before
    events = list(train(made, resume=resume, accept_changes=True))
    assert isinstance(events[0], Begun)
    assert "changed: train.lr was 0.0001 and is 0.5" in events[0].notes
    assert isinstance(events[-1], Ended)
    assert events[-1].step == 5


def test_the_twin_learns_from_the_same_clips(session: MakeSession, tmp_path: Path) -> None:
    list(train(session(bridge={"objective": "diffusion"}, prior={"noise": 0.05})))
    pipe = FrameBridgePipeline.from_pretrained(tmp_path / "run/model")
    assert pipe.scheduler.config.objective == "diffusion"
    frames = pipe(Image.new("RGB", (64, 64)), "", num_frames=2, num_inference_steps=2).frames[0]
    assert np.isfinite(frames).all()


def test_a_prior_and_a_bridge_that_starts_at_it(session: MakeSession, tmp_path: Path) -> None:
    events = list(train(session("train-prior", run="prior", train={"lr": 1e-3})))
    scores = [event.scores for event in events if isinstance(event, Validated)]
    assert scores[0]["gain"] == 0
    assert scores[-1]["gain"] != 0
    assert {"psnr_repeated", "psnr_prior"} <= scores[0].keys()
    assert scores[0]["psnr_repeated"] == pytest.approx(scores[0]["psnr_prior"])
    network = SpaceTimeTransformer.from_pretrained(tmp_path / "prior/prior")
    average = weights(tmp_path / "prior", "ema")
    assert all(torch.equal(p, average[name]) for name, p in network.named_parameters())
    own = {"kind": "neural", "path": str(tmp_path / "prior")}
    list(train(session(run="bridge", prior=own)))
    pipe = FrameBridgePipeline.from_pretrained(tmp_path / "bridge/model")
    assert all(torch.equal(p, average[name]) for name, p in pipe.prior.named_parameters())
    assert pipe.config.start_from["kind"] == "neural"


@pytest.mark.parametrize("kind", ["text", "class"])
def test_from_scratch_to_a_pipeline(
    session: MakeSession, classed: LatentDataset, tmp_path: Path, kind: str
) -> None:
    del session  # for a fresh accelerator
    config = short_run(classed.folder, "scratch:tiny", model={"condition": kind})
    list(train(build_session("finetune", config, tmp_path / "run", device="cpu")))
    pipe = FrameBridgePipeline.from_pretrained(tmp_path / "run/model")
    prompt = "class 1" if kind == "class" else "anything"
    frames = pipe(Image.new("RGB", (64, 64)), prompt, num_frames=3, num_inference_steps=2).frames[0]
    assert frames.shape == (3, 64, 64, 3)


def test_half_precision_trains_float32_weights(session: MakeSession, tmp_path: Path) -> None:
    made = session(
        train={"precision": "bf16", "gradient_checkpointing": True, "steps": 2},
        validation={"clips": 0, "bands": 1},
        lora={"rank": 2, "dropout": 0.1},
        prior={"kind": "motion"},
    )
    events = list(train(made))
    losses = [event.loss for event in events if isinstance(event, Stepped)]
    assert np.isfinite(losses).all()
    assert {tensor.dtype for tensor in weights(tmp_path / "run").values()} == {torch.float32}
    assert {tensor.dtype for tensor in weights(tmp_path / "run", "ema").values()} == {torch.float32}
    scores = [event.scores for event in events if isinstance(event, Validated)]
    assert scores[0]["another_picture"] == scores[0]["held_out"]
    assert scores[0]["held_out"] == pytest.approx(losses[0], rel=0.8)
    FrameBridgePipeline.from_pretrained(tmp_path / "run/lora")


def test_a_range_of_times_is_recorded_kept_and_sampled(
    session: MakeSession, tmp_path: Path
) -> None:
    part = {"times": {"max": 0.6}, "train": {"steps": 1}}
    events = list(train(session(**part)))
    begun = next(event for event in events if isinstance(event, Begun))
    assert any("times 0.000 to 0.600 are trained" in note for note in begun.notes)
    scores = next(event for event in events if isinstance(event, Validated)).scores
    assert {"held_out_0.30_0.60", "psnr_generated"} <= scores.keys()
    pipe = FrameBridgePipeline.from_pretrained(tmp_path / "run/model")
    assert (pipe.scheduler.config.times, pipe.scheduler.config.strength) == ([0.0, 0.6], 0.6)
    again = session(times={"max": 0.7}, train={"steps": 2})
    with pytest.raises(CheckpointError, match=r"times\.max was 0\.6 and is 0\.7"):
        list(train(again, resume=newest(tmp_path / "run")))
    late = session(run="late", times={"min": 0.5}, train={"steps": 1})
    scores = next(event for event in train(late) if isinstance(event, Validated)).scores
    assert "psnr_generated" not in scores  # it cannot end a video


def test_two_runs_do_not_share_a_folder(session: MakeSession, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert find_resume(run, wanted=False) == find_resume(run, wanted=True) == Chosen(None)
    list(train(session()))
    with pytest.raises(ConfigError, match="has a run at step 4; add --resume"):
        find_resume(run, wanted=False)
    for checkpoint in checkpoints(run):
        (checkpoint.path / "checkpoint.json").write_text("{")
    with pytest.raises(CheckpointError, match="holds no whole checkpoint"):
        find_resume(run, wanted=True)
    with pytest.raises(ConfigError, match="without a checkpoint; add --resume to begin it again"):
        find_resume(run, wanted=False)


def test_without_held_out_clips_it_says_so(session: MakeSession) -> None:
    events = list(train(session(validation={"share": 0.0}, train={"steps": 1})))
    assert isinstance(events[0], Begun)
    assert "without held-out clips there is no validation" in events[0].notes
    assert not any(isinstance(event, Validated) for event in events)


def damage(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


def test_a_run_goes_on_from_the_newest_whole_checkpoint(
    session: MakeSession, tmp_path: Path
) -> None:
    list(train(session()))
    run = tmp_path / "run"
    whole = find_resume(run, wanted=True).checkpoint
    assert whole is not None
    assert (whole.step, whole.verified) == (4, True)
    bad = run / "checkpoint-4/ema.safetensors"
    damage(bad)
    assert newest(run) is not None
    found = find_resume(run, wanted=True)
    assert found.checkpoint is not None
    assert (found.checkpoint.step, found.damaged) == (2, (bad,))
    with pytest.raises(CheckpointError, match=r"ema.safetensors: is damaged .* older .*point-2$"):
        find_resume(run, wanted=True, step=4)
    assert find_resume(run, wanted=True, step=2).checkpoint == found.checkpoint
    with pytest.raises(CheckpointError, match=r"no checkpoint of step 3; there are: 2, 4"):
        find_resume(run, wanted=True, step=3)
    damage(run / "checkpoint-2/checkpoint.json")
    with pytest.raises(CheckpointError, match=r"holds no whole checkpoint \(.*ema.safetensors is"):
        find_resume(run, wanted=True)


def test_one_training_at_a_time(tmp_path: Path) -> None:
    run = tmp_path / "runs/new"
    with locked_run(run) as locked:
        assert locked
        with (
            pytest.raises(ConfigError, match="runs/new: another training is at work there"),
            locked_run(run),
        ):
            pass
        assert run.is_dir()
    assert not run.parent.exists()
    run.mkdir(parents=True)
    left = run / "validation/step-2/.fbridge-0123456789ab.part"
    left.parent.mkdir(parents=True)
    for path in (left, run / "metrics.csv"):
        path.write_text("x")
    with locked_run(run):
        pass
    assert not left.exists()
    assert sorted(path.name for path in run.iterdir()) == ["metrics.csv", "validation"]


def test_a_folder_without_locks_is_used_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr("fbridge.files.locks.FileLock.acquire", refuse)
    with locked_run(tmp_path) as locked:
        assert not locked
