"""From a trained network to a folder that the pipeline loads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from fbridge.backbones.cogvideox import FAMILY
from fbridge.backbones.scratch import build_scratch
from fbridge.codecs.vae import VAECodec
from fbridge.errors import CheckpointError, DependencyError
from fbridge.loaders.load import load_pretrained
from fbridge.pipeline import FrameBridgePipeline
from fbridge.scheduler import FrameBridgeScheduler
from fbridge.train.export.model_folder import assemble, save_model
from tests.bases import tiny_base, tiny_vae


def scheduler() -> FrameBridgeScheduler:
    return FrameBridgeScheduler(
        schedule={"kind": "gmax", "beta_0": 0.01, "beta_1": 2.0},
        prediction="aligned-v",
        base={"kind": "cogvideox", "snr_shift": 1.0},
        steps=3,
    )


def tuned(folder: Path) -> FrameBridgePipeline:
    base = load_pretrained(str(tiny_base(folder / "base.safetensors")))
    FAMILY.expand_inputs(base.transformer, 2)
    return assemble(base, base.transformer, scheduler=scheduler(), facts={"fps": 12.0})


def video(pipe: FrameBridgePipeline) -> np.ndarray:
    frames: np.ndarray = pipe(Image.new("RGB", (80, 90), "teal"), "zoom in", num_frames=4).frames[0]
    return frames


def test_a_model_comes_back_bit_for_bit(tmp_path: Path) -> None:
    pipe = tuned(tmp_path)
    save_model(pipe, tmp_path / "run/model")
    again = FrameBridgePipeline.from_pretrained(tmp_path / "run")
    assert again.default_fps == 12.0
    assert again.frame_limits == (8, 2, 16, 1)
    assert video(pipe).shape == (4, 64, 64, 3)
    assert np.array_equal(video(pipe), video(again))
    index = json.loads((tmp_path / "run/model/model_index.json").read_text())
    assert index["transformer"] == ["diffusers", "CogVideoXTransformer3DModel"]
    assert index["vae"] == ["diffusers", "AutoencoderTiny"]
    assert index["codec"] == [None, None]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_weights_are_stored_as_asked_and_the_pipeline_stays(
    tmp_path: Path, dtype: torch.dtype
) -> None:
    pipe = tuned(tmp_path)
    save_model(pipe, tmp_path / "model", dtype=dtype)
    assert pipe.transformer.dtype == torch.float32
    files = list((tmp_path / "model").rglob("*.safetensors"))
    assert len(files) == 2
    for file in files:
        assert {value.dtype for value in load_file(file).values()} == {dtype}
    again = FrameBridgePipeline.from_pretrained(tmp_path / "model")
    assert np.abs(video(again).astype(int) - video(pipe).astype(int)).max() <= 8


def test_no_file_tells_where_it_was_made(tmp_path: Path) -> None:
    save_model(tuned(tmp_path), tmp_path / "first")
    save_model(FrameBridgePipeline.from_pretrained(tmp_path / "first"), tmp_path / "second")
    for path in (tmp_path / "second").rglob("*.json"):
        assert "_name_or_path" not in path.read_text()
        assert str(tmp_path) not in path.read_text()


def test_a_model_is_replaced_and_nothing_else_is(tmp_path: Path) -> None:
    pipe = tuned(tmp_path)
    save_model(pipe, tmp_path / "model")
    save_model(pipe, tmp_path / "model", dtype=torch.float16)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["base.safetensors", "model"]
    assert FrameBridgePipeline.from_pretrained(tmp_path / "model") is not None
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/a.txt").write_text("mine")
    with pytest.raises(DependencyError, match="notes: holds something else"):
        save_model(pipe, tmp_path / "notes")
    assert (tmp_path / "notes/a.txt").read_text() == "mine"


def test_a_failure_leaves_the_old_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = tuned(tmp_path)
    save_model(pipe, tmp_path / "model")

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr("fbridge.train.export.model_folder.cast_weights", fail)
    with pytest.raises(RuntimeError):
        save_model(pipe, tmp_path / "model", dtype=torch.float16)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["base.safetensors", "model"]
    assert FrameBridgePipeline.from_pretrained(tmp_path / "model") is not None


def test_a_network_from_scratch_takes_the_codec_of_its_data(tmp_path: Path) -> None:
    network = build_scratch("tiny", channels=4, height=8, width=8, condition_channels=4, classes=2)
    pipe = assemble(
        load_pretrained("scratch:tiny"),
        network,
        scheduler=FrameBridgeScheduler(steps=2),
        codec=VAECodec(tiny_vae()),
        facts={"classes": ["Apply Lipstick", "Archery"], "sizes": [[64, 64]]},
    )
    save_model(pipe, tmp_path / "model")
    again = FrameBridgePipeline.from_pretrained(tmp_path / "model")
    assert again.config.classes == ["Apply Lipstick", "Archery"]
    assert again(Image.new("RGB", (64, 64)), "archery", num_frames=2).frames[0].shape == (
        2, 64, 64, 3,
    )  # fmt: skip


def test_a_run_without_a_model_says_so(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(CheckpointError, match="without a model yet"):
        FrameBridgePipeline.from_pretrained(tmp_path)
