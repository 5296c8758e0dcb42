"""Weights are read, converted, changed and kept one tensor at a time, with the numbers of all."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from safetensors.torch import save_file

from fbridge.backbones.families import FAMILIES, family_of
from fbridge.config.tree import Config, LoraConfig
from fbridge.errors import CheckpointError
from fbridge.files import lazy_weights, tensors
from fbridge.files.lazy_weights import LazyWeights
from fbridge.files.modules import Kept
from fbridge.files.tensors import open_weights
from fbridge.loaders.load import load_pretrained
from fbridge.memory.apply import layer_shrinker, shrink
from fbridge.memory.float8 import ScaledLinear
from fbridge.memory.options import MemoryOptions
from fbridge.pipeline import FrameBridgePipeline
from fbridge.train.export.lora import add_lora
from fbridge.train.export.model_folder import cast_weights
from fbridge.train.setup.base import load_base
from fbridge.train.setup.networks import adapt
from tests.backbones.original import ORIGINAL
from tests.loaders import loras
from tests.pipelines import PUBLISHED, publish

State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish("wan", tmp_path_factory.mktemp("wan"))


@pytest.fixture(scope="module")
def half(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, its network stored in bfloat16."""
    place = tmp_path_factory.mktemp("half") / "wan"
    shutil.copytree(folder, place)
    kind = FAMILIES["WanTransformer3DModel"].load_class()
    cast_weights(place / "transformer", torch.bfloat16, kind=kind)
    return place


@pytest.fixture
def every_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small layers are worth quantising too."""
    monkeypatch.setattr("fbridge.backbones.family.FEWEST", 1)


def equal(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype and torch.equal(one[name], other[name]) for name in one
    )


@pytest.mark.parametrize("name", [name for name in ORIGINAL if name in PUBLISHED])
def test_a_layer_at_a_time_is_converted_as_all_at_once(name: str) -> None:
    net = loras.network(name)
    made = ORIGINAL[name][1](net.state_dict())
    (convert,) = (each.convert for each in family_of(net).layouts if each.convert is not None)
    lazy = LazyWeights.of(made).converted(convert)
    assert lazy.shapes == {name: tuple(tensor.shape) for name, tensor in lazy.items()}
    assert equal(dict(lazy), convert(dict(made)))


def test_a_conversion_across_layers_is_an_error() -> None:
    held = {"a.weight": torch.ones(2), "b.weight": torch.ones(2)}
    with pytest.raises(AssertionError, match="depend"):
        LazyWeights.of(held).converted(
            lambda weights: {"c.weight": torch.cat([*weights.values()])} if len(weights) > 1 else {}
        )


@pytest.mark.parametrize("kind", ["bf16.safetensors", "bf16.pt"])
def test_no_more_than_a_tensor_is_in_memory(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = {f"layers.{n}.weight": torch.randn(64, 64).bfloat16() for n in range(8)}
    path = tmp_path / kind
    save_file(held, path) if path.suffix == ".safetensors" else torch.save(held, path)
    weights = open_weights(path)
    assert weights.shapes == dict.fromkeys(held, (64, 64))
    assert equal(dict(weights), held)
    first = weights["layers.0.weight"]
    first.zero_()  # its memory is its own
    assert equal(dict(weights), held)
    if path.suffix == ".safetensors":
        read = Mock(wraps=lazy_weights.read_stored)
        monkeypatch.setattr(tensors, "read_stored", read)
        again = open_weights(path)
        read.assert_not_called()
        again["layers.3.weight"]
        read.assert_called_once()


def test_a_file_that_shrinks_while_it_is_read_is_broken(tmp_path: Path) -> None:
    path = tmp_path / "cut.safetensors"
    save_file({"a": torch.ones(1000)}, path)
    weights = open_weights(path)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(CheckpointError, match="broken or cut off"):
        weights["a"]


@pytest.mark.usefixtures("every_layer")
@pytest.mark.parametrize("cast", [True, False])
def test_layers_are_cast_as_they_come(folder: Path, *, cast: bool) -> None:
    memory = MemoryOptions(cast="float8") if cast else MemoryOptions()
    finish = layer_shrinker(memory)
    assert (finish is None) is not cast
    whole = load_pretrained(str(folder), dtype=torch.bfloat16).transformer
    shrink(whole, memory)
    base = load_pretrained(
        str(folder), dtype=torch.bfloat16, kept=Kept(torch.bfloat16, finish=finish)
    )
    assert equal(base.transformer.state_dict(), whole.state_dict())
    small = [layer for layer in whole.modules() if isinstance(layer, ScaledLinear)]
    assert bool(small) is cast
    shrink(base.transformer, memory)  # leaves them as they are
    assert equal(base.transformer.state_dict(), whole.state_dict())


@pytest.mark.usefixtures("every_layer")
def test_of_a_bridge_too_and_after_its_loras(folder: Path, tmp_path: Path) -> None:
    FrameBridgePipeline.from_pretrained(folder).save_pretrained(tmp_path / "bridge")
    net = loras.network("wan")
    file = loras.save(tmp_path / "a.safetensors", loras.peft(loras.pairs(loras.held(net)), ""))
    memory = MemoryOptions(cast="float8")
    for model in (folder, tmp_path / "bridge"):
        load = partial(FrameBridgePipeline.from_pretrained, model, dtype=torch.bfloat16)
        whole = load(loras=[str(file)])
        shrink(whole.transformer, memory)
        assert any(isinstance(layer, ScaledLinear) for layer in whole.transformer.modules())
        own = load(loras=[str(file)], finish_layer=layer_shrinker(memory))
        assert equal(own.transformer.state_dict(), whole.transformer.state_dict())
        assert own.loras == whole.loras != ()


def trained(folder: Path, lora: dict[str, Any], precision: str) -> Any:
    config = {"base": str(folder), "lora": lora, "train": {"precision": precision}}
    return load_base(Config.model_validate(config)).transformer


@pytest.mark.parametrize("dora", [True, False])
def test_a_frozen_base_is_not_float32_on_its_way(half: Path, *, dora: bool) -> None:
    """With the numbers of a float32 base that is cast when the LoRA has been added."""
    own = trained(half, {"rank": 2}, "bf16")
    kinds = {name: tensor.dtype for name, tensor in own.named_parameters()}
    assert kinds["blocks.0.attn1.to_q.weight"] == torch.bfloat16
    assert kinds["patch_embedding.weight"] == torch.float32
    whole = load_pretrained(str(half)).transformer
    for network in (own, whole):
        family_of(network).make_room(network, 1)
        torch.manual_seed(3)
        adapt(network, LoraConfig(rank=2, dora=dora), "bf16")
    assert equal(own.state_dict(), whole.state_dict())
    assert all(p.dtype == torch.float32 for p in own.parameters() if p.requires_grad)


def test_without_a_lora_or_half_precision_the_base_is_float32(folder: Path) -> None:
    exact = load_pretrained(str(folder)).transformer.state_dict()
    for lora, precision in (({}, "bf16"), ({"rank": 2}, "fp32")):
        assert equal(trained(folder, lora, precision).state_dict(), exact)


@pytest.mark.usefixtures("every_layer")
def test_what_is_quantised_is_so_from_float32(folder: Path) -> None:
    pytest.importorskip("torchao")
    own = trained(folder, {"rank": 2, "quantize": "int8"}, "bf16")
    whole = load_pretrained(str(folder)).transformer
    shrink(whole, MemoryOptions(quantize="int8"))
    names = [name for name, layer in whole.named_modules() if _is_int8(layer)]
    assert names
    assert names == [name for name, layer in own.named_modules() if _is_int8(layer)]
    for name in names:
        one, other = (net.get_submodule(name).weight.dequantize() for net in (own, whole))
        assert one.dtype == torch.float32
        assert torch.equal(one, other)


def _is_int8(layer: Any) -> bool:
    weight = getattr(layer, "weight", None)
    return weight is not None and type(weight.data) is not torch.Tensor


def test_add_lora_leaves_the_frozen_weights_where_they_were(folder: Path) -> None:
    network = load_pretrained(str(folder), dtype=torch.bfloat16).transformer
    layer = network.blocks[0].attn1.to_q
    held = layer.weight
    add_lora(network, rank=2)
    assert network.blocks[0].attn1.to_q.base_layer.weight is held
    assert held.dtype == torch.bfloat16
