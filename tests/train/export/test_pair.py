"""A bridge of both networks of a pair, of two runs."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from fbridge.config.tree import Config
from fbridge.data.shapes import write_clips
from fbridge.data.video.buckets import Bucket
from fbridge.data.video.clip_sampling import ClipSampling
from fbridge.errors import CheckpointError, ConfigError
from fbridge.interop.comfy_files import export_comfy
from fbridge.loaders import lora as module
from fbridge.loaders.experts import SECOND
from fbridge.loaders.inspect import inspect_model
from fbridge.loaders.lora import load_adapter
from fbridge.memory.model_sizes import model_sizes
from fbridge.pipeline import FrameBridgePipeline
from fbridge.prepare import PrepareRequest, prepare
from fbridge.train.export.pair import export_pair
from fbridge.train.export.result import export_run
from fbridge.train.run import train
from fbridge.train.setup.session import build_session
from tests.loaders.loras import held, pairs, peft, save
from tests.pipelines import publish
from tests.train.sets import fresh_accelerate, short_run

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8))
SHORT: dict[str, Any] = {"num_frames": 5, "size": (32, 32), "seed": 3, "num_inference_steps": 4}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`base`, `latents`, and short runs: a LoRA of each network, all weights of that for little
    noise, and a LoRA of it from another prior."""
    home = tmp_path_factory.mktemp("pair")
    base = publish("wan-a14b", home / "base")
    write_clips(home / "clips", 4, seed=0)
    cutting = ClipSampling((Bucket(32, 32, 5),))
    list(prepare(PrepareRequest(home / "clips", home / "latents", cutting, codec=str(base))))
    for name, expert, sections in (
        ("high", "high", {"lora": {"rank": 2}}),
        ("low", "low", {"lora": {"rank": 2}}),
        ("full", "low", {}),
        ("dropped", "low", {"lora": {"rank": 2}, "condition": {"picture_dropout": 0.5}}),
        ("short", "low", {"lora": {"rank": 2}, "times": {"max": 0.5}}),
    ):
        with fresh_accelerate():
            config = _config(home, expert, **sections)
            list(train(build_session("finetune", config, home / name, device="cpu")))
    return home


def _config(home: Path, expert: str, **sections: Any) -> Config:
    numbers = {"steps": 2, "lr": 0.05, "warmup": 0, "batch_size": 2}
    usual = {"expert": expert, "train": numbers, "validation": {"rows": 0}}
    return short_run(home / "latents", home / "base", **usual, **sections)


def weights(network: Any) -> torch.Tensor:
    return torch.cat([value.flatten() for value in network.state_dict().values()])


def latents(pipeline: FrameBridgePipeline) -> torch.Tensor:
    made: torch.Tensor = pipeline(PICTURE, "one two", **SHORT, strength=1.0).latents
    return made


def test_two_loras_are_in_one_folder(runs: Path, tmp_path: Path) -> None:
    assert export_pair(runs / "low", runs / "high", tmp_path / "pair") is None  # in either order
    both = FrameBridgePipeline.from_pretrained(tmp_path / "pair")
    for part, name in (("transformer", "high"), (SECOND, "low")):
        export_run(runs / name, tmp_path / name)
        _, alone = load_adapter(tmp_path / name)
        assert torch.equal(weights(getattr(both, part)), weights(alone.transformer))
    assert both.scheduler.boundary == pytest.approx(0.8, abs=0.02)
    assert both.scheduler.time_range == (0.0, 1.0)
    asked: list[str] = []
    for part in ("transformer", SECOND):
        getattr(both, part).register_forward_hook(lambda *_, part=part: asked.append(part))
    assert latents(both).isfinite().all()
    assert set(asked) == {"transformer", SECOND}
    assert asked == sorted(asked)
    found = inspect_model(str(tmp_path / "pair"))
    assert found.remark == "is a bridge of both networks of a pair"
    parts = [inspect_model(str(tmp_path / name)) for name in ("high", "low")]
    assert found.parameters == sum(part.parameters for part in parts)
    assert found.dtypes == {"float32": found.tensors}
    with pytest.raises(ConfigError, match=r"--expert low: .* is a bridge of both networks"):
        FrameBridgePipeline.from_pretrained(tmp_path / "pair", expert="low")
    with pytest.raises(CheckpointError, match="judged one by one; name its base"):
        model_sizes(str(tmp_path / "pair"))
    with pytest.raises(ConfigError, match="ComfyUI takes a LoRA for each"):
        export_comfy(tmp_path / "pair", tmp_path / "lora.safetensors")


def test_the_whole_model_answers_alike(runs: Path, tmp_path: Path) -> None:
    export_pair(runs / "high", runs / "low", tmp_path / "lora")
    assert export_pair(runs / "high", runs / "low", tmp_path / "whole", kind="merged") == ""
    wanted = latents(FrameBridgePipeline.from_pretrained(tmp_path / "lora"))
    assert torch.equal(latents(FrameBridgePipeline.from_pretrained(tmp_path / "whole")), wanted)
    small: dict[str, Any] = {"kind": "merged", "dtype": torch.bfloat16}
    export_pair(runs / "high", runs / "low", tmp_path / "small", **small)
    index = json.loads((tmp_path / "small/model_index.json").read_text())
    assert index[SECOND] == ["diffusers", "WanTransformer3DModel"]
    sizes = [
        sum(file.stat().st_size for file in (tmp_path / name / SECOND).glob("*.safetensors"))
        for name in ("small", "whole")
    ]
    assert sizes[0] < 0.7 * sizes[1]


def test_adapters_are_rounded_as_asked_and_whole_models_once(runs: Path, tmp_path: Path) -> None:
    half = torch.bfloat16
    for name in ("high", "low"):
        export_run(runs / name, tmp_path / name)
    export_pair(tmp_path / "high", tmp_path / "low", tmp_path / "pair", dtype=half)
    files = list((tmp_path / "pair").rglob("*.safetensors"))
    assert len(files) == 4
    assert {value.dtype for file in files for value in load_file(file).values()} == {half}
    FrameBridgePipeline.from_pretrained(tmp_path / "pair")
    assert "--comfy" not in (tmp_path / "pair/README.md").read_text()
    how: dict[str, Any] = {"kind": "merged", "dtype": half}
    export_pair(runs / "high", runs / "low", tmp_path / "whole", **how)
    export_run(runs / "low", tmp_path / "alone", **how)
    found, wanted = (
        load_file(tmp_path / folder / "diffusion_pytorch_model.safetensors")
        for folder in (f"whole/{SECOND}", "alone/transformer")
    )
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)


def test_whole_models_over_different_priors(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_run(runs / "full", tmp_path / "full")
    make, found = FrameBridgePipeline.from_pretrained, []

    def with_prior(*args: Any, **options: Any) -> Any:
        found.append(make(*args, **options))
        found[-1].prior = torch.nn.Linear(2, 2)
        return found[-1]

    monkeypatch.setattr(FrameBridgePipeline, "from_pretrained", with_prior)
    with pytest.raises(ConfigError, match=r"the same data, \[prior\]"):
        export_pair(runs / "high", tmp_path / "full", tmp_path / "both")
    assert len(found) == 2


@pytest.mark.parametrize("part", ["vae", "text_encoder"])
def test_whole_models_over_different_bases(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    export_run(runs / "full", tmp_path / "full")
    make, found = FrameBridgePipeline.from_pretrained, []

    def with_another_part(*args: Any, **options: Any) -> Any:
        found.append(make(*args, **options))
        if len(found) == 2:
            last = list(getattr(found[-1], part).state_dict().values())[-1]
            last += 0.1
        return found[-1]

    monkeypatch.setattr(FrameBridgePipeline, "from_pretrained", with_another_part)
    with pytest.raises(ConfigError, match=rf"are over different bases \({part}\)"):
        export_pair(runs / "high", tmp_path / "full", tmp_path / "both")
    assert len(found) == 2


def test_a_lora_and_a_network_trained_in_full(runs: Path, tmp_path: Path) -> None:
    export_pair(runs / "full", runs / "high", tmp_path / "both")
    both = FrameBridgePipeline.from_pretrained(tmp_path / "both")
    export_run(runs / "full", tmp_path / "full")
    full = FrameBridgePipeline.from_pretrained(tmp_path / "full")
    assert torch.equal(weights(both.transformer_2), weights(full.transformer))
    assert latents(both).isfinite().all()
    with pytest.raises(ConfigError, match="full: was trained in full; use --merged"):
        export_pair(runs / "full", runs / "high", tmp_path / "lora", kind="lora")


def test_a_moved_base_and_further_loras(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_pair(runs / "high", runs / "low", tmp_path / "pair")
    usual = FrameBridgePipeline.from_pretrained(tmp_path / "pair")
    base = FrameBridgePipeline.from_pretrained(runs / "base")
    style = save(
        tmp_path / "style_low_noise.safetensors",
        peft(pairs(held(base.transformer)), "transformer."),
    )
    moved = tmp_path / "moved"
    shutil.copytree(runs / "base", moved)
    monkeypatch.setattr("fbridge.loaders.adapter_card._present", lambda _: None)
    again = FrameBridgePipeline.from_pretrained(
        tmp_path / "pair", base=str(moved), loras=[str(style)]
    )
    assert torch.equal(weights(again.transformer), weights(usual.transformer))
    assert not torch.equal(weights(again.transformer_2), weights(usual.transformer_2))


def test_loras_where_the_bases_were_files_whose_names_tell(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_pair(runs / "high", runs / "low", tmp_path / "pair")
    for card in (tmp_path / "pair").rglob("adapter.json"):
        tree = json.loads(card.read_text())
        del tree["expert"]
        card.write_text(json.dumps(tree))
    load = module.load_base_of

    def of_network(folder: Path, card: Any, *args: Any, **options: Any) -> Any:
        expert = "low" if folder.name == SECOND else "high"
        return load(folder, replace(card, expert=expert), *args, **options)

    monkeypatch.setattr(module, "load_base_of", of_network)
    base = FrameBridgePipeline.from_pretrained(runs / "base")
    style = save(
        tmp_path / "style.safetensors", peft(pairs(held(base.transformer)), "transformer.")
    )
    made = FrameBridgePipeline.from_pretrained(tmp_path / "pair", loras=[f"{style}@low"])
    usual = FrameBridgePipeline.from_pretrained(tmp_path / "pair")
    assert torch.equal(weights(made.transformer), weights(usual.transformer))
    assert not torch.equal(weights(made.transformer_2), weights(usual.transformer_2))


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        ("low", "full", "both are of the network for little noise"),
        ("high", "dropped", r"were trained as different bridges \(parts\)"),
        ("high", "short", r"know bridge times from 0\.000 to 0\.500 and from 0\.8"),
        ("high", "base", "is of no single network of a pair"),
    ],
)
def test_what_does_not_belong_together(
    runs: Path, tmp_path: Path, one: str, other: str, told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        export_pair(runs / one, runs / other, tmp_path / "pair")
    assert not (tmp_path / "pair").exists()
