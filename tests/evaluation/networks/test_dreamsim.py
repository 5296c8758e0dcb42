"""DreamSim: its towers against CLIP's own, its adapter against peft's, its rows."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from fbridge.errors import CheckpointError
from fbridge.evaluation.networks.dreamsim import DreamSim, _tower
from fbridge.evaluation.networks.pictures import CLIP, IMAGENET
from fbridge.evaluation.networks.vit import VisionTransformer

WIDTH, DEPTH, GRID = 128, 2, 14
Held = dict[str, Tensor]
States = tuple[Held, Held, Held]


def state(seed: int, *, early: bool) -> dict[str, Tensor]:
    """Random weights of a small tower; of CLIP's with the projection where `early`."""
    generator = torch.Generator().manual_seed(seed)
    network = VisionTransformer(WIDTH, DEPTH, 16, GRID, eps=1.0, early=early)
    tensors = {
        name: torch.randn(tensor.shape, generator=generator) * (1 if "norm" in name else 0.08)
        for name, tensor in network.state_dict().items()
    }
    return tensors | ({"proj": torch.randn(WIDTH, 32, generator=generator)} if early else {})


@pytest.fixture(scope="module")
def states() -> States:
    return state(0, early=False), state(1, early=True), state(2, early=True)


class Extractor(nn.Module):
    """What holds a tower in the published code, for the names that follow from it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model


class Ensemble(nn.Module):
    def __init__(self, towers: list[VisionTransformer]) -> None:
        super().__init__()
        self.extractor_list = nn.ModuleList(Extractor(tower) for tower in towers)


def towers(states: States) -> list[VisionTransformer]:
    dino = VisionTransformer.from_state(states[0], eps=1e-6)
    return [dino, _tower(dict(states[1]), quick=True)[0], _tower(dict(states[2]), quick=False)[0]]


def adapted(states: States) -> tuple[Any, Held]:
    """The ensemble with an adapter on it, and the adapter's weights, by peft."""
    torch.manual_seed(0)
    lora = LoraConfig(r=16, lora_alpha=8, target_modules=["qkv"])
    model = get_peft_model(Ensemble(towers(states)), lora).eval()
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = torch.randn_like(parameter) * 0.2
    return model, {k: v.detach().clone() for k, v in get_peft_model_state_dict(model).items()}


def rows(parts: list[Tensor]) -> Tensor:
    whole = torch.cat(parts, 1)
    whole = whole - whole.mean(1, keepdim=True)
    return whole / whole.square().sum(1, keepdim=True).sqrt()


def test_merged_adapter_is_pefts(states: States) -> None:
    model, changes = adapted(states)
    assert len(changes) == 3 * DEPTH * 2
    images = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(3))
    dino, clip, open_clip = (each.model for each in model.base_model.model.extractor_list)
    with torch.inference_mode():
        expected = rows(
            [
                dino.tokens(IMAGENET.standardised(images))[:, 0],
                clip(CLIP.standardised(images)) @ states[1]["proj"],
                open_clip(CLIP.standardised(images)) @ states[2]["proj"],
            ]
        )
        network = DreamSim.from_state(*states, changes, scale=0.5)
        found = network(images)
        none = {name: torch.zeros_like(change) for name, change in changes.items()}
        plain = DreamSim.from_state(*states, none, scale=0.5)(images)
    assert found.shape == (2, WIDTH + 2 * 32)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert float((plain - expected).abs().max()) > 1e-2


def test_rows_have_mean_nought_and_length_one(states: States) -> None:
    network = DreamSim.from_state(*states, adapted(states)[1], scale=0.5)
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (9, 30, 40, 3), generator=generator, dtype=torch.uint8)
    found = network.features(frames)
    assert found.shape == (9, WIDTH + 2 * 32)
    torch.testing.assert_close(found.mean(1), torch.zeros(9), rtol=0, atol=1e-6)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(9))
    torch.testing.assert_close(found[8:], network.features(frames[8:]), rtol=0, atol=1e-5)


def test_tower_is_clips_image_tower(states: States) -> None:
    """CLIP's weights under DINO's names give what transformers makes of them under its own."""
    own = states[1] | {"patch_embed.proj.bias": torch.zeros(WIDTH)}
    theirs = CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=WIDTH, num_hidden_layers=DEPTH, num_attention_heads=2, patch_size=16,
            intermediate_size=4 * WIDTH, projection_dim=32,
        )
    ).eval()  # fmt: skip
    held = {
        "vision_model.embeddings.class_embedding": own["cls_token"].flatten(),
        "vision_model.embeddings.position_embedding.weight": own["pos_embed"][0],
        "vision_model.embeddings.patch_embedding.weight": own["patch_embed.proj.weight"],
        "visual_projection.weight": own["proj"].T,
    }
    names = {"pos_drop": "pre_layrnorm", "norm": "post_layernorm"}
    for number in range(DEPTH):
        ours, layer = f"blocks.{number}", f"encoder.layers.{number}"
        names |= {
            f"{ours}.norm1": f"{layer}.layer_norm1", f"{ours}.norm2": f"{layer}.layer_norm2",
            f"{ours}.mlp.fc1": f"{layer}.mlp.fc1", f"{ours}.mlp.fc2": f"{layer}.mlp.fc2",
            f"{ours}.attn.proj": f"{layer}.self_attn.out_proj",
        }  # fmt: skip
        for part in ("weight", "bias"):
            thirds = own[f"{ours}.attn.qkv.{part}"].chunk(3)
            for letter, third in zip("qkv", thirds, strict=True):
                held[f"vision_model.{layer}.self_attn.{letter}_proj.{part}"] = third
    for mine, name in names.items():
        held |= {f"vision_model.{name}.{p}": own[f"{mine}.{p}"] for p in ("weight", "bias")}
    told = theirs.load_state_dict(held, strict=False)
    assert not told.unexpected_keys
    assert not [key for key in told.missing_keys if "position_ids" not in key]
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    tower, projection = _tower(dict(own), quick=True)
    with torch.inference_mode():
        expected = theirs(pixel_values=images).image_embeds
        torch.testing.assert_close(tower(images) @ projection, expected, rtol=1e-3, atol=1e-3)


def test_other_adapters_are_refused(states: States) -> None:
    changes = adapted(states)[1]
    first = next(iter(changes))
    missing = {name: change for name, change in changes.items() if name != first}
    narrow = {n: c[:, :64] if "lora_A" in n else c for n, c in changes.items()}
    for adapter, told in (
        (missing, "incomplete"),
        (changes | {"mlp.fc1": changes[first]}, r"'mlp\.fc1', which changes no attention"),
        (narrow, "another width"),
    ):
        with pytest.raises(CheckpointError, match=told):
            DreamSim.from_state(*states, adapter, scale=1.0)
    bare = {name: held for name, held in states[1].items() if name != "proj"}
    with pytest.raises(CheckpointError, match="lack 'proj'"):
        DreamSim.from_state(states[0], bare, states[2], changes, scale=1.0)
