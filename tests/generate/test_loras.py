"""LoRAs of a text-to-video model in `fbridge generate`: merged, recorded, and found again."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from fbridge.data.provenance import read_provenance
from fbridge.data.video_files import read_video
from fbridge.errors import CheckpointError, ConfigError
from fbridge.files.lora_record import LoraRecord
from fbridge.generate import GenerateRequest, Noted, run
from fbridge.pipeline import FrameBridgePipeline
from tests.bases import tiny_base, tiny_transformer
from tests.loaders.loras import added, held, pairs, peft, save, worst

PICTURE = Path(__file__).parents[2] / "examples" / "cat.jpg"
FEW = "style_4steps.safetensors"


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(PICTURE, tmp_path)
    monkeypatch.chdir(tmp_path)
    tiny_base(tmp_path / "base.safetensors")
    changes = pairs(held(tiny_transformer()))
    save(tmp_path / FEW, peft(changes, "transformer."))
    save(tmp_path / "other.safetensors", peft(changes, "transformer.", ".default"))


def made(**options: object) -> tuple[Path, list[str]]:
    """The video of a small request, and what was noted."""
    usual = {"images": [Path("cat.jpg")], "prompt": "a cat", "frames": 2, "size": (64, 64)}
    usual |= {"model": "base.safetensors", "out": "a.mp4", "overwrite": True, "device": "cpu"}
    request = GenerateRequest(**{**usual, **options})  # type: ignore[arg-type]
    return Path(str(request.out)), [e.text for e in run(request) if isinstance(e, Noted)]


def test_defaults_follow_a_distilled_one_and_records_name_it() -> None:
    video, notes = made(loras=[f"{FEW}:0.5"])
    record = read_provenance(video)
    assert (record.steps, record.guidance) == (4, 1)
    assert any("weight 0.5" in note and "4 steps and guidance 1" in note for note in notes)
    (lora,) = record.model.loras
    assert (lora.name, lora.weight) == (FEW, 0.5)
    assert lora.path == str(Path(FEW).absolute())
    assert str(Path.cwd()) not in record.comment()
    video, _ = made(loras=[FEW], steps=1, guidance=2.0, out="b.mp4")
    assert (read_provenance(video).steps, read_provenance(video).guidance) == (1, 2)


def test_a_video_is_made_again_with_its_loras_or_says_what_is_gone() -> None:
    video, _ = made(loras=["other.safetensors:0.5"], steps=1)
    again = GenerateRequest(replay=video, out="again.mp4", overwrite=True)
    list(run(again))
    assert np.array_equal(read_video(Path("again.mp4")).frames, read_video(video).frames)
    Path("other.safetensors").rename("moved.safetensors")
    with pytest.raises(CheckpointError, match=r"no such file; video a\.mp4 was made with it"):
        list(run(again))
    shutil.copy(FEW, "other.safetensors")
    with pytest.raises(CheckpointError, match="is another file, of sha256"):
        list(run(again))
    given = GenerateRequest(
        replay=video, out="again.mp4", overwrite=True, loras=["moved.safetensors"]
    )
    list(run(given))
    assert np.array_equal(read_video(Path("again.mp4")).frames, read_video(video).frames)
    heavier = GenerateRequest(replay=video, out="c.mp4", loras=["moved.safetensors:0.7"])
    with pytest.raises(ConfigError, match=r"at weight 0\.5; leave the weight out"):
        list(run(heavier))
    further = GenerateRequest(replay=video, out="c.mp4", loras=["moved.safetensors", FEW])
    with pytest.raises(CheckpointError, match="was made with other LoRAs"):
        list(run(further))


def test_the_embedded_model_takes_none() -> None:
    for model in (None, "embedded"):
        with pytest.raises(ConfigError, match="the embedded model takes no LoRA; name the model"):
            GenerateRequest(images=[Path("cat.jpg")], prompt="a", model=model, loras=[FEW])
    with pytest.raises(CheckpointError, match=r"--lora gone\.safetensors: no such LoRA file"):
        GenerateRequest(
            images=[Path("cat.jpg")], prompt="a", model="base.safetensors",
            loras=["gone.safetensors"],
        )  # fmt: skip
    with pytest.raises(ConfigError, match="is about a text-to-video model such as Wan"):
        FrameBridgePipeline.from_pretrained("embedded", loras=[FEW])
    with pytest.raises(ConfigError, match="is about a text-to-video model such as Wan"):
        FrameBridgePipeline.from_pretrained("embedded").load_lora(FEW)


def test_from_python_before_and_after_loading(tmp_path: Path) -> None:
    before = held(tiny_transformer())
    truth = added(before, pairs(before), 1)
    pipe = FrameBridgePipeline.from_pretrained("base.safetensors")
    merged = pipe.load_lora("other.safetensors", weight=0.25)
    assert merged.record == pipe.loras[0]
    assert merged.steps is None
    assert pipe.defaults["num_inference_steps"] == 30
    pipe.load_lora(f"{FEW}:0.75")
    assert pipe.defaults["num_inference_steps"] == 4
    assert pipe.defaults["guidance_scale"] == 1
    assert worst(held(pipe.transformer), truth) < 1e-6
    assert [lora.weight for lora in pipe.loras] == [0.25, 0.75]
    assert all(isinstance(lora, LoraRecord) for lora in pipe.loras)
    half = FrameBridgePipeline.from_pretrained(
        "base.safetensors", loras=["other.safetensors"], dtype=torch.bfloat16
    )
    kept = held(half.transformer)  # summed in float32 and rounded once
    for name, tensor in truth.items():
        assert torch.equal(kept[name], tensor.float().to(kept[name].dtype)) or torch.allclose(
            kept[name].double(), tensor, rtol=2**-8, atol=1e-7
        )
    pipe.save_pretrained(tmp_path / "whole")
    bridge = FrameBridgePipeline.from_pretrained(tmp_path / "whole", loras=["other.safetensors:-1"])
    assert worst(held(bridge.transformer), before) < 1e-6
    assert bridge.defaults["num_inference_steps"] == 4
