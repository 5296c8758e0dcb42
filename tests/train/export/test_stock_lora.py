"""An adapter of each family, loaded by the family's stock pipeline of diffusers."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from fbridge.backbones.families import family_of
from fbridge.errors import CheckpointError
from fbridge.loaders import lora
from fbridge.loaders.locate import ADAPTER_WEIGHTS
from fbridge.loaders.lora import AdapterCard
from fbridge.train.export.lora import add_lora, save_lora
from tests.pipelines import PUBLISHED, network_of

RANK, ALPHA = 4, 8.0


def adapter(folder: Path, network: Any) -> dict[str, torch.Tensor]:
    """Write an adapter of a copy of a network; returns what it adds to the layers' weights."""
    kind = family_of(network).load_class()  # Latte's has LoRA methods that diffusers' lacks
    net = kind.from_config(network.config)
    net.load_state_dict(network.state_dict())
    family_of(net).expand_inputs(net, 1)
    add_lora(net, rank=RANK, alpha=ALPHA)
    generator = torch.Generator().manual_seed(6)
    added = {}
    for name, layer in net.named_modules():
        if hasattr(layer, "lora_B") and "default" in layer.lora_B:
            up, down = layer.lora_B["default"].weight, layer.lora_A["default"].weight
            up.data.normal_(0, 0.05, generator=generator)
            added[name] = (ALPHA / RANK * up @ down).detach()
    save_lora(folder, net, AdapterCard("base", "0" * 64, 1, {}))
    return added


@pytest.mark.parametrize("parts", [0, 1])
def test_the_files_say_where_a_stock_loader_does_not_see_the_picture(
    parts: int, tmp_path: Path
) -> None:
    net = network_of(PUBLISHED["ltx"].make())
    family_of(net).expand_inputs(net, parts)
    add_lora(net, rank=RANK)
    save_lora(tmp_path, net, AdapterCard("some/base", "0" * 64, parts, {}))
    with safe_open(tmp_path / ADAPTER_WEIGHTS, "pt") as file:
        hint = file.metadata().get("modelspec.usage_hint", "")
    readme = tmp_path / "README.md"
    told = readme.read_text() if readme.exists() else ""
    unseen = "A stock loader does not see the picture"
    assert (unseen in hint, unseen in told, "some/base" in told) == (parts > 0,) * 3


def change(before: Any, after: Any, name: str) -> torch.Tensor:
    now: torch.Tensor = after.get_submodule(name).weight - before.get_submodule(name).weight
    return now.detach()


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_stock_pipeline_adds_what_was_trained(name: str, tmp_path: Path) -> None:
    torch.manual_seed(11)
    pipe = PUBLISHED[name].make()
    before = copy.deepcopy(network_of(pipe))
    added = adapter(tmp_path, before)
    assert added
    if isinstance(pipe, diffusers.LattePipeline):  # it has no LoRA methods
        assert not hasattr(pipe, "load_lora_weights")
        return
    pipe.load_lora_weights(str(tmp_path))
    network = network_of(pipe)
    tensors = load_file(tmp_path / ADAPTER_WEIGHTS)
    assert sum("lora_" in key for key in network.state_dict()) == len(tensors)
    network.fuse_lora()
    network.unload_lora()
    assert all(torch.allclose(change(before, network, k), v, atol=1e-6) for k, v in added.items())


def test_older_files_of_a_unet_are_read_and_foreign_ones_refused(tmp_path: Path) -> None:
    net = network_of(PUBLISHED["animatediff"].make())
    added = adapter(tmp_path, net)
    place = tmp_path / ADAPTER_WEIGHTS
    held = load_file(place)
    assert all(key.startswith("unet.") for key in held)
    older = {f"transformer.{key.removeprefix('unet.')}": value for key, value in held.items()}
    save_file(older, place, {"format": "pt"})
    merged = copy.deepcopy(net)
    family_of(net).expand_inputs(merged, 1)
    lora._put(tmp_path, merged)
    lora.merge_lora(merged)
    name = next(iter(added))  # without metadata alpha is the rank
    assert torch.allclose(change(net, merged, name), added[name] * RANK / ALPHA, atol=1e-6)

    odd = {key.replace("down_blocks.0", "down_blocks.7"): value for key, value in older.items()}
    save_file(odd, place, {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"of its \d+ tensors \d+ are of layers of this"):
        lora._put(tmp_path, copy.deepcopy(net))
    save_file({f"other.{key}": value for key, value in odd.items()}, place, {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"of its \d+ tensors 0 are of layers"):
        lora._put(tmp_path, copy.deepcopy(net))
