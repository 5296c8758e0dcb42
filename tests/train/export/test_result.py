"""From a run's checkpoints to models: merged, adapters, priors; averages chosen afterwards."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from fbridge.data.latents import LatentDataset
from fbridge.errors import CheckpointError, ConfigError
from fbridge.pipeline import FrameBridgePipeline
from fbridge.train.checkpoints.reading import load_group
from fbridge.train.ema.snapshots import reconstruct
from fbridge.train.export.result import export_run, find_checkpoint, usual_kind
from fbridge.train.request import Command
from fbridge.train.run import train
from fbridge.train.setup.session import Session, build_session
from tests.train.sets import fresh_accelerate, short_run

MakeSession = Callable[..., Session]
CASES: dict[str, tuple[Command, dict[str, Any]]] = {
    "full": ("finetune", {"train": {"lr": 0.01}, "ema": {"decay": 0.5}}),
    "post-hoc": ("finetune", {"train": {"lr": 0.01}, "ema": {"kind": "post-hoc", "length": 0.1}}),
    "none": ("finetune", {"train": {"lr": 0.01}, "ema": {"kind": "none"}}),
    "lora": ("finetune", {"train": {"lr": 0.05}, "lora": {"rank": 2}, "ema": {"decay": 0.5}}),
    "dora": ("finetune", {"train": {"lr": 0.05}, "lora": {"rank": 2, "dora": True}}),
    "prior": ("train-prior", {}),
}
MODEL = "transformer/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def runs(
    tmp_path_factory: pytest.TempPathFactory, clips: LatentDataset, base: Path
) -> Callable[[str], Path]:
    """Finished runs by the names of the cases, each made when it is first asked for."""
    folder = tmp_path_factory.mktemp("runs")

    def made(name: str) -> Path:
        run = folder / name
        if not run.exists():
            command, sections = CASES[name]
            config = short_run(clips.folder, base if command == "finetune" else None,
                               validation={"rows": 0}, **sections)  # fmt: skip
            with fresh_accelerate():
                list(train(build_session(command, config, run, device="cpu")))
        return run

    return made


def video(folder: Path) -> np.ndarray:
    pipe = FrameBridgePipeline.from_pretrained(folder)
    picture = Image.new("RGB", (64, 64), "teal")
    frames: np.ndarray = pipe(picture, "zoom in", num_frames=3, num_inference_steps=2).frames[0]
    return frames


def averaged(run: Path, step: int | None = None, group: str = "ema") -> dict[str, torch.Tensor]:
    held = load_group(find_checkpoint(run, step), group)
    return {name.removeprefix("transformer."): tensor for name, tensor in held.items()}


def written(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / MODEL)


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def test_an_export_is_what_the_run_wrote(runs: Callable[[str], Path], tmp_path: Path) -> None:
    run = runs("full")
    assert usual_kind(run) == "merged"
    assert export_run(run, tmp_path / "out").step == 4
    assert equal(written(tmp_path / "out"), written(run / "model"))
    assert equal(written(tmp_path / "out"), averaged(run))


def test_any_checkpoint_can_be_exported(runs: Callable[[str], Path], tmp_path: Path) -> None:
    run = runs("full")
    assert export_run(run, tmp_path / "out", step=2).step == 2
    assert equal(written(tmp_path / "out"), averaged(run, 2))
    assert not equal(averaged(run, 2), averaged(run, 4))
    with pytest.raises(CheckpointError, match="has no checkpoint of step 3; there are: 2, 4"):
        export_run(run, tmp_path / "other", step=3)


def test_an_adapter_is_written_without_another_network(
    clips: LatentDataset, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = short_run(clips.folder, base, validation={"rows": 0}, lora={"rank": 2})
    with fresh_accelerate():
        session = build_session("finetune", config, tmp_path / "run", device="cpu")
        for place in ("load_base", "build_generator"):
            monkeypatch.setattr(f"fbridge.train.export.result.{place}", None)
        list(train(session))
    lora = load_file(tmp_path / "run/lora/pytorch_lora_weights.safetensors")
    held = {name.replace(".default", ""): tensor for name, tensor in
            averaged(tmp_path / "run").items() if "lora_" in name}  # fmt: skip
    assert {name.removeprefix("transformer.") for name in lora} == held.keys()
    assert all(torch.equal(lora[f"transformer.{name}"], held[name]) for name in held)


def test_without_an_average_it_is_the_weights(runs: Callable[[str], Path]) -> None:
    run = runs("none")
    assert equal(written(run / "model"), averaged(run, group="network"))


def test_weights_are_stored_as_asked(runs: Callable[[str], Path], tmp_path: Path) -> None:
    export_run(runs("full"), tmp_path / "out", dtype=torch.bfloat16)
    kinds = {tensor.dtype for tensor in written(tmp_path / "out").values()}
    assert kinds == {torch.bfloat16}


def test_a_length_is_chosen_afterwards(runs: Callable[[str], Path], tmp_path: Path) -> None:
    run = runs("post-hoc")
    export_run(run, tmp_path / "usual")
    assert equal(written(tmp_path / "usual"), written(run / "model"))
    for length, step in ((0.05, 4), (0.15, 4), (0.1, 2)):
        folder = tmp_path / f"{length}-{step}"
        export_run(run, folder, length=length, step=step)
        made = reconstruct(run, length, step)
        assert equal(written(folder), {n.removeprefix("transformer."): t for n, t in made.items()})
    assert not equal(written(tmp_path / "0.05-4"), written(tmp_path / "0.15-4"))
    with pytest.raises(ConfigError, match=r'needs ema.kind = "post-hoc".* has \'plain\''):
        export_run(runs("full"), tmp_path / "no", length=0.1)


@pytest.mark.parametrize("name", ["lora", "dora"])
def test_merged_and_adapter_are_the_same_model(
    runs: Callable[[str], Path], tmp_path: Path, name: str, base: Path
) -> None:
    run = runs(name)
    assert usual_kind(run) == "lora"
    assert not (run / "model").exists()
    export_run(run, tmp_path / "merged", kind="merged")
    export_run(run, tmp_path / "lora", kind="lora")
    ours, theirs, again = (
        video(folder) for folder in (tmp_path / "merged", run / "lora", tmp_path / "lora")
    )
    assert np.array_equal(theirs, again)
    assert np.abs(ours.astype(int) - theirs.astype(int)).max() <= 1
    learnt, bare = written(tmp_path / "merged"), load_file(base)
    adapted = "transformer_blocks.0.attn1.to_q.weight"
    assert not torch.equal(learnt[adapted], bare[f"transformer.{adapted}"].float())


def test_a_prior_is_a_network(runs: Callable[[str], Path], tmp_path: Path) -> None:
    run = runs("prior")
    assert usual_kind(run) == "prior"
    export_run(run, tmp_path / "out")
    name = "diffusion_pytorch_model.safetensors"
    ours, theirs = load_file(tmp_path / "out" / name), load_file(run / "prior" / name)
    assert equal(ours, theirs)
    assert equal(ours, averaged(run))


@pytest.mark.parametrize(
    ("name", "kind", "told"),
    [
        ("full", "lora", "was trained in full and cannot be written as lora; use --merged"),
        ("full", "prior", "was trained in full and cannot be written as prior; use --merged"),
        (
            "prior",
            "merged",
            "was trained as a prior and cannot be written as merged; drop the option",
        ),
        ("lora", "prior", "was trained as a lora and cannot be written as prior; use --lora"),
    ],
)
def test_wrong_kinds_are_refused(
    runs: Callable[[str], Path], tmp_path: Path, name: str, kind: str, told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        export_run(runs(name), tmp_path / "out", kind=kind)
    assert not (tmp_path / "out").exists()


def test_another_base_in_its_place_is_refused(
    runs: Callable[[str], Path], tmp_path: Path, base: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(runs("lora"), run)
    other = tmp_path / "other.safetensors"
    with safe_open(base, "pt") as file:
        held, facts = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    held["transformer.proj_out.bias"] += 1
    save_file(held, other, facts)
    config = (run / "config.toml").read_text().replace(str(base), str(other))
    (run / "config.toml").write_text(config)
    with pytest.raises(CheckpointError, match="was trained on a base of sha256"):
        export_run(run, tmp_path / "out")


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is no run of fbridge"):
        export_run(tmp_path, tmp_path / "out")
