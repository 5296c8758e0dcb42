"""What an older fbridge wrote is read: models, runs, adapters, data sets, records of videos.

The files and what that version made of them are described in fixtures/c74d782/README.md.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file

from fbridge import FrameBridgePipeline
from fbridge_cli import main

SAVED = Path(__file__).parent / "fixtures/c74d782"
ROOT = Path(__file__).parents[1]
PROMPTS = {
    "pixel": "zoom in",
    "motion": "the square jumps",
    "latte-class": "archery",
    "videocrafter": "zoom in",
    "base.safetensors": "zoom in",
    "runs/bridge": "zoom in",
    "runs/lora": "zoom in",
}
FOLDERS = ("pixel", "motion", "latte-class", "videocrafter", "runs/bridge/model")
"""Written by `save_pretrained`."""
SCHEDULER = ["fbridge.scheduler", "FrameBridgeScheduler"]
SPACE_TIME = ["fbridge.backbones.space_time", "SpaceTimeTransformer"]
PIXELS = ["fbridge.codecs.pixel", "PixelCodec"]
NAMED = {
    "pixel": {"transformer": SPACE_TIME, "codec": PIXELS},
    "motion": {
        "transformer": SPACE_TIME,
        "prior": SPACE_TIME,
        "codec": ["fbridge.codecs.motion", "MotionCodec"],
    },
    "latte-class": {
        "transformer": ["fbridge.backbones.latte_class", "LatteClassTransformer"],
        "codec": PIXELS,
    },
    "videocrafter": {
        "transformer": ["fbridge.backbones.videocrafter.network", "VideoCrafterUNet"],
        "codec": PIXELS,
    },
}
"""The classes that `model_index.json` names: part of the format."""

Frames = NDArray[np.uint8]


class Ran(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    with tarfile.open(SAVED / "saved.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def expected() -> dict[str, NDArray[Any]]:
    with np.load(SAVED / "expected.npz") as held:
        return dict(held)


@pytest.fixture(autouse=True)
def saved(unpacked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of all the files, in which the test stands."""
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    shutil.copytree(unpacked, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def fbridge(capsys: pytest.CaptureFixture[str]) -> Run:
    """A command line that succeeds."""

    def run(*words: object) -> Ran:
        code = main.run([str(word) for word in words])
        ran = Ran(code, *capsys.readouterr())
        assert code == 0, ran.err
        return ran

    return run


def generated(fbridge: Run, model: object, prompt: str) -> Frames:
    fbridge("generate", "picture.png", "-p", prompt, "--model", model, "--seed", 5, "--steps", 3,
            "--first-frame", "free", "--frames", 4, "--device", "cpu", "--format", "png",
            "-o", "frames/")  # fmt: skip
    names = sorted(Path("frames/picture").glob("*.png"))
    return np.stack([np.asarray(Image.open(name)) for name in names])


def decoded(video: str) -> Frames:
    with av.open(video) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def assert_same(ours: Frames, theirs: Frames) -> None:
    """But for the rounding of another machine's sums."""
    assert ours.shape == theirs.shape
    assert np.abs(ours.astype(int) - theirs.astype(int)).max() <= 2


def assert_same_weights(one: Path, other: Path) -> None:
    ours, theirs = load_file(one), load_file(other)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("model", PROMPTS)
def test_a_model_generates_the_same(
    fbridge: Run, expected: dict[str, NDArray[Any]], model: str
) -> None:
    frames = generated(fbridge, model, PROMPTS[model])
    assert frames.std() > 30
    assert_same(frames, expected[f"frames {model}"])


@pytest.mark.parametrize("model", FOLDERS)
def test_a_model_is_saved_as_it_was(model: str) -> None:
    """So that the older version reads what this one writes."""
    FrameBridgePipeline.from_pretrained(model).save_pretrained("again")
    ours = {path.relative_to("again") for path in Path("again").rglob("*") if path.is_file()}
    theirs = {path.relative_to(model) for path in Path(model).rglob("*") if path.is_file()}
    assert ours == theirs
    for name in ours:
        if name.suffix == ".json":
            one, other = (
                json.loads((Path(folder) / name).read_text()) for folder in ("again", model)
            )
            for varying in ("_diffusers_version", "_name_or_path"):
                one.pop(varying, None)
                other.pop(varying, None)
            assert one == other, name
        else:
            assert_same_weights("again" / name, model / name)


@pytest.mark.parametrize("model", NAMED)
def test_the_classes_of_a_model_keep_their_names(model: str) -> None:
    index = json.loads((Path(model) / "model_index.json").read_text())
    named = {k: v for k, v in index.items() if isinstance(v, list) and str(v[0])[:8] == "fbridge."}
    assert named == {"scheduler": SCHEDULER, **NAMED[model]}


def test_models_load_where_nothing_is_imported_yet(saved: Path) -> None:
    program = (
        "import sys; from fbridge import FrameBridgePipeline as P; "
        "print(*[type(P.from_pretrained(m).transformer).__name__ for m in sys.argv[1:]])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, *NAMED, "runs/lora"],
        cwd=saved,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'models'}:{ROOT}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.split() == [
        *(NAMED[model]["transformer"][1] for model in NAMED), "CogVideoXTransformer3DModel",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["bridge", "lora"])
def test_a_run_is_resumed(fbridge: Run, expected: dict[str, NDArray[Any]], name: str) -> None:
    run = Path("runs") / name
    ran = fbridge("finetune", "-o", run, "--resume", "--steps", 4, "--device", "cpu")
    assert "step 3/4" in ran.err
    head, *rows = [line.split(",") for line in (run / "metrics.csv").read_text().splitlines()]
    where = head.index("loss")
    losses = [float(row[where]) for row in rows if row[where]]
    np.testing.assert_allclose(losses, expected[f"losses runs/{name}"], rtol=1e-4)
    assert (run / "checkpoint-4/checkpoint.json").is_file()
    shown = json.loads(fbridge("info", run, "--json").out)
    assert shown["kind"] == ("bridge" if name == "bridge" else "adapter")


def test_a_prior_of_a_run_is_used(fbridge: Run) -> None:
    fbridge(
        "finetune", "--base", "base.safetensors", "--data", "latents", "--prior", "runs/prior",
        "-o", "own", "--steps", 1, "--batch-size", 2, "--device", "cpu", "--set", "train.workers=0",
        "--set", "validation.rows=0", "--set", "log.trackers=[]",
    )  # fmt: skip
    weights = "prior/diffusion_pytorch_model.safetensors"
    assert_same_weights(Path("own/model") / weights, Path("runs/prior") / weights)


def test_runs_are_exported(fbridge: Run, expected: dict[str, NDArray[Any]]) -> None:
    fbridge("export", "runs/bridge", "-o", "whole")
    for weights in Path("runs/bridge/model").rglob("*.safetensors"):
        assert_same_weights(weights, "whole" / weights.relative_to("runs/bridge/model"))
    fbridge("export", "runs/lora", "-o", "adapter")
    for weights in Path("runs/lora/lora").glob("*.safetensors"):
        assert_same_weights(weights, "adapter" / weights.relative_to("runs/lora/lora"))
    card, older = (json.loads(Path(folder, "adapter.json").read_text())
                   for folder in ("adapter", "runs/lora/lora"))  # fmt: skip
    assert {**card, **older} == card  # and where the base lies
    assert Path(card["base_path"]).samefile("base.safetensors")
    fbridge("export", "runs/lora", "--merged", "-o", "merged")
    assert_same(generated(fbridge, "merged", "zoom in"), expected["frames runs/lora"])


def test_an_adapter_of_a_base_that_moved() -> None:
    Path("far").mkdir()
    Path("base.safetensors").rename("far/other.safetensors")
    pipe = FrameBridgePipeline.from_pretrained("runs/lora", base="far/other.safetensors")
    assert pipe.frame_limits == (4, 2, 8, 1)


def test_a_data_set_is_whole(fbridge: Run) -> None:
    told = json.loads(fbridge("prepare", "--verify", "latents", "--json").out)
    assert (told["whole"], told["clips"], told["shards"], told["damaged"]) == (True, 7, 2, [])


@pytest.mark.parametrize(
    ("model", "kind", "family", "tensors", "prediction"),
    [
        ("pixel", "bridge", "space-time", 40, "aligned-flow"),
        ("motion", "bridge", "space-time", 40, "clean"),
        ("latte-class", "bridge", "latte-class", 33, "psi-noise"),
        ("videocrafter", "bridge", "videocrafter", 292, "aligned-v"),
        ("base.safetensors", "base", "cogvideox", 40, "v"),
        ("runs/bridge", "bridge", "cogvideox", 40, "aligned-v"),
        ("runs/lora", "adapter", "", 8, "aligned-v"),
    ],
)
def test_what_a_model_is(
    fbridge: Run, model: str, kind: str, family: str, tensors: int, prediction: str
) -> None:
    told = json.loads(fbridge("info", model, "--json").out)
    assert (told["kind"], told["family"], told["prediction"]) == (kind, family, prediction)
    assert told["tensors"] == tensors
    assert told["missing"] == []


def test_a_video_is_made_again(fbridge: Run) -> None:
    assert "model           pixel (3190fdc5ceb0)" in fbridge("show", "video.mp4").out
    fbridge("generate", "--from", "video.mp4", "-o", "again.mp4")
    ours, theirs = decoded("again.mp4").astype(int), decoded("video.mp4").astype(int)
    assert ours.shape == theirs.shape == (4, 16, 24, 3)
    assert np.abs(ours - theirs).mean() < 1  # another encoder may round differently
