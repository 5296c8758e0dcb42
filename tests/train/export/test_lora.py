"""Adapters: what is trained, what is written, and that it all comes back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import CogVideoXTransformer3DModel
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from fbridge.backbones.cogvideox import FAMILY, CogVideoXBackbone
from fbridge.backbones.space_time import SpaceTimeTransformer
from fbridge.errors import CheckpointError, ConfigError
from fbridge.loaders.load import load_pretrained
from fbridge.loaders.locate import ADAPTER_WEIGHTS
from fbridge.loaders.lora import EXTRA, AdapterCard, load_adapter, read_card
from fbridge.pipeline import FrameBridgePipeline
from fbridge.train.export.lora import add_lora, merge_lora, save_lora
from fbridge.types import Condition
from tests.bases import tiny_base, tiny_transformer

SCHEDULER = {
    "schedule": {"kind": "gmax", "beta_0": 0.01, "beta_1": 2.0},
    "prediction": "aligned-v",
    "base": {"kind": "cogvideox", "snr_shift": 1.0},
    "steps": 3,
}


def answer(transformer: Any) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    x, prior = torch.randn(2, 1, 3, 4, 8, 8, generator=generator)
    picture = torch.randn(1, 4, 8, 8, generator=generator)
    text = torch.randn(1, 5, 384, generator=generator)
    condition = Condition(text, torch.ones(1, 5, dtype=torch.bool), picture)
    with torch.no_grad():
        out: torch.Tensor = CogVideoXBackbone(transformer)(
            x, torch.tensor([500.5]), condition, prior
        )
    return out


def trained(*, dora: bool = False, parts: int = 2, **options: Any) -> Any:
    """A widened, adapted network in which everything trainable has moved."""
    net = tiny_transformer()
    FAMILY.expand_inputs(net, parts)
    add_lora(net, rank=2, dora=dora, **options)
    torch.manual_seed(6)
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return net.eval()


def card(base: Path, parts: int = 2, **facts: Any) -> AdapterCard:
    hashed = load_pretrained(str(base)).hash
    return AdapterCard(str(base), hashed, parts, SCHEDULER, {"sizes": [[64, 64]], **facts})


def test_the_base_is_frozen_and_the_widened_input_is_not() -> None:
    net = tiny_transformer()
    FAMILY.expand_inputs(net, 2)
    before = answer(net)
    add_lora(net, rank=2)
    assert torch.allclose(answer(net), before, atol=1e-6)  # an update begins at zero
    names = [name for name, p in net.named_parameters() if p.requires_grad]
    assert {"patch_embed.proj.weight", "patch_embed.proj.bias"} <= set(names)
    assert all("lora_" in name or name.startswith("patch_embed.proj") for name in names)
    assert sum("lora_A" in name for name in names) == 4


def test_rank_alpha_dropout_and_targets_are_as_asked() -> None:
    net = tiny_transformer()
    add_lora(net, rank=3, alpha=6.0, dropout=0.5, targets=["to_q", "proj"])
    config = net.peft_config["default"]
    assert (config.r, config.lora_alpha, config.lora_dropout) == (3, 6.0, 0.5)
    adapted = {name for name, p in net.named_parameters() if "lora_A" in name}
    assert len(adapted) == 2  # to_q, and of the "proj" a feed-forward one: never the input's
    assert not any("patch_embed" in name for name in adapted)
    with pytest.raises(ConfigError, match=r"to_nothing.*to_q, to_k, to_v, to_out\.0"):
        add_lora(tiny_transformer(), rank=3, targets=["to_nothing"])


@pytest.mark.parametrize("dora", [False, True])
def test_diffusers_loads_the_file(tmp_path: Path, *, dora: bool) -> None:
    net = trained(dora=dora)
    save_lora(tmp_path / "lora", net, card(tiny_base(tmp_path / "base.safetensors")))
    with safe_open(tmp_path / "lora" / ADAPTER_WEIGHTS, "pt") as file:
        told = file.metadata()
        keys = set(file.keys())
    assert "transformer.transformer_blocks.0.attn1.to_q.lora_A.weight" in keys
    assert told["format"] == "pt"
    described = json.loads(told["lora_adapter_metadata"])
    assert all(key.startswith("transformer.") for key in described)
    assert described["transformer.r"] == 2
    assert described["transformer.use_dora"] is dora
    stock = tiny_transformer()
    FAMILY.expand_inputs(stock, 2)
    stock.load_lora_adapter(str(tmp_path / "lora"), weight_name=ADAPTER_WEIGHTS)
    stock.load_state_dict(load_file(tmp_path / "lora" / EXTRA), strict=False)
    assert isinstance(stock, CogVideoXTransformer3DModel)
    assert torch.allclose(answer(stock.eval()), answer(net), atol=1e-6)


def test_equal_adapters_have_equal_files(tmp_path: Path) -> None:
    net, about = trained(), card(tiny_base(tmp_path / "base.safetensors"))
    for number in range(6):  # in random order, all would agree once in 32 times
        save_lora(tmp_path / str(number), net, about)
    files = [tmp_path / str(number) / ADAPTER_WEIGHTS for number in range(6)]
    assert len({file.read_bytes() for file in files}) == 1


def test_an_adapter_of_no_numbers_is_named_where_it_makes_a_video(tmp_path: Path) -> None:
    base, net = tiny_base(tmp_path / "base.safetensors"), trained()
    layer = "transformer_blocks.0.attn1.to_q"
    net.get_submodule(layer).lora_B["default"].weight.data[0, 0] = float("nan")
    save_lora(tmp_path / "lora", net, card(base))
    pipe = FrameBridgePipeline.from_pretrained(tmp_path / "lora")
    with pytest.raises(CheckpointError, match=rf"weights do, too \({layer}.weight\): the file is"):
        pipe(Image.new("RGB", (64, 64)), "zoom in", num_frames=2)


def test_only_what_was_trained_is_kept_beside_the_adapter(tmp_path: Path) -> None:
    base = tiny_base(tmp_path / "base.safetensors")
    save_lora(tmp_path / "lora", trained(), card(base), dtype=torch.float16)
    extra = load_file(tmp_path / "lora" / EXTRA)
    assert set(extra) == {"patch_embed.proj.weight", "patch_embed.proj.bias"}
    assert {value.dtype for value in extra.values()} == {torch.float16}
    assert {v.dtype for v in load_file(tmp_path / "lora" / ADAPTER_WEIGHTS).values()} == {
        torch.float16
    }


@pytest.mark.parametrize("dora", [False, True])
def test_merging_changes_no_answer_and_leaves_a_plain_network(*, dora: bool) -> None:
    net = trained(dora=dora)
    before = answer(net)
    merge_lora(net)
    assert torch.allclose(answer(net), before, atol=1e-5)
    plain = tiny_transformer()
    FAMILY.expand_inputs(plain, 2)
    assert net.state_dict().keys() == plain.state_dict().keys()


@pytest.mark.parametrize("dora", [False, True])
def test_the_pipeline_loads_a_run_with_an_adapter(tmp_path: Path, *, dora: bool) -> None:
    base = tiny_base(tmp_path / "base.safetensors")
    net = trained(dora=dora)
    prior = SpaceTimeTransformer(4, 8, 8, 4, dim=32, depth=1, heads=2, timed=False)
    save_lora(tmp_path / "run/lora", net, card(base, start_from={"kind": "neural"}), prior=prior)
    pipe = FrameBridgePipeline.from_pretrained(tmp_path / "run")
    assert torch.allclose(answer(pipe.transformer), answer(net), atol=1e-5)
    assert pipe.config.sizes == [[64, 64]]
    assert pipe.scheduler.config.prediction == "aligned-v"
    assert pipe.prior is not None
    assert len(pipe.model_hash) == 64
    pipe.save_pretrained(tmp_path / "whole")  # merged: an ordinary model
    again = FrameBridgePipeline.from_pretrained(tmp_path / "whole")
    assert torch.equal(answer(again.transformer), answer(pipe.transformer))
    half = FrameBridgePipeline.from_pretrained(tmp_path / "run", dtype=torch.bfloat16)
    assert half.transformer.dtype == torch.bfloat16


def test_a_space_time_network_is_adapted_too(tmp_path: Path) -> None:
    embedded = load_pretrained("embedded")
    net = embedded.transformer
    add_lora(net, rank=2)
    count = sum(p.numel() for p in net.parameters() if p.requires_grad)
    assert 0 < count < 0.05 * sum(p.numel() for p in net.parameters())
    torch.manual_seed(6)
    for name, parameter in net.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    given = AdapterCard("embedded", embedded.hash, 2, dict(embedded.scheduler.config))  # type: ignore[union-attr]
    save_lora(tmp_path / "lora", net, given)
    _, found = load_adapter(tmp_path / "lora")
    merge_lora(net)
    for a, b in zip(net.parameters(), found.transformer.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)
    fresh = load_pretrained("embedded").transformer
    assert not torch.equal(net.blocks[0].space.query.weight, fresh.blocks[0].space.query.weight)


def test_an_adapter_knows_its_base(tmp_path: Path) -> None:
    base = tiny_base(tmp_path / "base.safetensors")
    save_lora(tmp_path / "lora", trained(), card(base))
    moved = base.rename(tmp_path / "moved.safetensors")
    with pytest.raises(CheckpointError, match=r"base cannot be had.*base="):
        FrameBridgePipeline.from_pretrained(tmp_path / "lora")
    assert FrameBridgePipeline.from_pretrained(tmp_path / "lora", base=str(moved)) is not None
    data = bytearray(moved.read_bytes())
    data[-1] ^= 1
    moved.write_bytes(data)
    with pytest.raises(CheckpointError, match="was trained on a base of sha256"):
        load_adapter(tmp_path / "lora", base=str(moved))
    with pytest.raises(CheckpointError, match="fbridge export"):
        load_pretrained(str(tmp_path / "lora"))


def test_a_broken_adapter_is_named(tmp_path: Path) -> None:
    base = tiny_base(tmp_path / "base.safetensors")
    folder = tmp_path / "lora"
    save_lora(folder, trained(), card(base))
    save_file({"nowhere.weight": torch.zeros(1)}, folder / EXTRA)
    with pytest.raises(CheckpointError, match=r"nowhere\.weight is unknown"):
        load_adapter(folder)
    (folder / ADAPTER_WEIGHTS).write_bytes(b"garbage")
    with pytest.raises(CheckpointError, match="does not fit its base"):
        load_adapter(folder)
    (folder / ADAPTER_WEIGHTS).unlink()
    with pytest.raises(CheckpointError, match="does not fit its base"):
        load_adapter(folder)
    (folder / "adapter.json").write_text('{"format": 2}')
    with pytest.raises(CheckpointError, match="format 2"):
        read_card(folder)
    (folder / "adapter.json").write_text('{"format": 1, "base": "x"}')
    with pytest.raises(CheckpointError, match=r"adapter\.json: lacks 'base_sha256'"):
        read_card(folder)
