"""A run over a base with LoRAs: what is trained, recorded, exported, and loaded again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fbridge.config.read import load_config
from fbridge.errors import CheckpointError, ConfigError
from fbridge.pipeline import FrameBridgePipeline
from fbridge.train.export.result import export_run
from fbridge.train.request import resolve_request
from fbridge.train.run import train
from fbridge.train.setup.base import load_base
from fbridge.train.setup.session import Session
from fbridge_cli.training import _lora_keys
from tests.bases import tiny_transformer
from tests.loaders.loras import added, held, pairs, peft, save
from tests.train.sets import short_run

MakeSession = Callable[..., Session]
FEW = "style_6steps.safetensors"


@pytest.fixture
def style(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A LoRA beside the run, in the current folder."""
    monkeypatch.chdir(tmp_path)
    return save(tmp_path / FEW, peft(pairs(held(tiny_transformer())), "transformer."))


def test_a_run_with_low_rank_updates_over_it(
    session: MakeSession, style: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = session(lora={"base": (f"{FEW}:0.5",), "rank": 2})
    merged = added(held(tiny_transformer()), pairs(held(tiny_transformer())), 0.5)
    frozen = held(one.model.transformer)["transformer_blocks.0.attn1.to_q.base_layer.weight"]
    assert torch.allclose(frozen.double(), merged["transformer_blocks.0.attn1.to_q.weight"])
    list(train(one))
    (recorded,) = json.loads((one.run / "run.json").read_text())["base"]["loras"]
    assert (recorded["name"], recorded["weight"]) == (FEW, 0.5)
    assert f'base = ["{FEW}:0.5"]' in (one.run / "config.toml").read_text()
    monkeypatch.chdir("/")
    pipe = FrameBridgePipeline.from_pretrained(one.run)
    assert pipe.loras == ()  # they are part of what was trained
    assert FEW in pipe.lora_notes[0]
    assert "defaults" not in pipe.lora_notes[0]
    assert (pipe.defaults["num_inference_steps"], pipe.defaults["guidance_scale"]) == (6, 1)
    export_run(one.run, one.run.parent / "whole", kind="merged")
    whole = FrameBridgePipeline.from_pretrained(one.run.parent / "whole")
    for name, tensor in held(whole.transformer).items():
        assert torch.allclose(tensor, held(pipe.transformer)[name], atol=1e-6), name
    moved = style.rename(style.with_name("moved.safetensors"))
    with pytest.raises(CheckpointError, match=r"no such file; adapter .* was made with it.*--lora"):
        FrameBridgePipeline.from_pretrained(one.run)
    with pytest.raises(CheckpointError, match=r"no such file; this run was made.*put it back$"):
        export_run(one.run, one.run.parent / "again", kind="merged")
    again = FrameBridgePipeline.from_pretrained(one.run, loras=[str(moved)])
    assert again.loras == ()
    assert torch.equal(*(held(p.transformer)["proj_out.weight"] for p in (again, pipe)))
    save(style, {"transformer.proj_out.diff": torch.zeros(1)})
    with pytest.raises(CheckpointError, match="is another file, of sha256"):
        FrameBridgePipeline.from_pretrained(one.run)


@pytest.mark.usefixtures("style")
def test_a_run_goes_on_only_with_the_same(session: MakeSession) -> None:
    one, again = (session(lora={"base": (name,)}) for name in (FEW, f"./{FEW}"))
    assert one.training.identity == again.training.identity
    for other in (session(lora={"base": (f"{FEW}:0.5",)}), session()):
        assert other.training.identity != one.training.identity
    assert "loras of the base" not in session().training.identity  # as in older runs
    assert one.model.scheduler is not None
    assert one.model.scheduler.config.steps == 6


@pytest.mark.usefixtures("style")
def test_a_number_is_a_rank_and_all_else_a_file(tmp_path: Path) -> None:
    assert _lora_keys(["16"]) == {"lora.rank": 16, "lora.base": None}
    assert _lora_keys(["a.safetensors:0.8", "4", "b"]) == {
        "lora.rank": 4,
        "lora.base": ["a.safetensors:0.8", "b"],
    }
    assert _lora_keys([]) == {"lora.rank": None, "lora.base": None}
    with pytest.raises(ConfigError, match="one rank is possible"):
        _lora_keys(["4", "8"])
    (tmp_path / "data").mkdir()
    typed = {"base": "t2v.safetensors", "data": "data"}
    with pytest.raises(CheckpointError, match=r"--lora gone: no such LoRA file"):
        resolve_request("finetune", {**typed, "lora.base": ["gone"]})
    found = resolve_request("finetune", {**typed, "lora.base": [FEW], "lora.rank": 4})
    assert found.config.lora.base == (FEW,)
    text = Path("run.toml")
    text.write_text(f'[lora]\nbase = ["{FEW}:2"]\n')
    assert load_config(file=text).config.lora.base == (f"{FEW}:2",)


def test_a_resumed_run_finds_it_from_elsewhere(
    session: MakeSession, style: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = session(lora={"base": (f"{FEW}:0.5",)})
    list(train(one))
    elsewhere = one.run.parent / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    found = resolve_request("finetune", {"output": str(one.run)}, resume=True)
    assert found.config.lora.base == (f"{style}:0.5",)
    shutil.copy(style, elsewhere / "new.safetensors")
    newer = {"output": str(one.run), "lora.base": ["new.safetensors:0.5"]}
    found = resolve_request("finetune", newer, resume=True)
    assert found.config.lora.base == ("new.safetensors:0.5",)


@pytest.mark.usefixtures("style")
def test_networks_without_such_files_refuse_them() -> None:
    for base in ("scratch:tiny", "embedded"):
        with pytest.raises(ConfigError, match="is about a text-to-video model such as Wan"):
            load_base(short_run(Path(), base, lora={"base": (FEW,)}))
