"""A LoRA for ComfyUI, read by its rules, which are written anew here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from fbridge.backbones.families import family_of
from fbridge.errors import ConfigError
from fbridge.interop.comfy_lora import check_exportable
from fbridge.interop.stock.fbridge_times import bridge_times, ratios
from fbridge.interop.stock_folder import bridge_numbers
from fbridge.loaders.load import load_pretrained
from fbridge.loaders.lora import AdapterCard, load_adapter
from fbridge.loaders.training_free import training_free_components
from fbridge.pipeline import FrameBridgePipeline
from fbridge.train.export.comfy import export_comfy_lora
from fbridge.train.export.lora import add_lora, save_lora
from tests.backbones.original import ORIGINAL
from tests.pipelines import publish

Weights = dict[str, Tensor]
EVERY_LAYER = ["to_q", "to_k", "to_v", "to_out.0", "net.0.proj", "net.2", "linear_1", "linear_2",
               "time_proj", "proj_out"]  # fmt: skip


def adapter(folder: Path, name: str = "wan", parts: int = 1, **options: Any) -> AdapterCard:
    """Write an adapter with a trained input layer, beside its base."""
    base = load_pretrained(str(publish(name, folder / "base")))
    parts_of = training_free_components(base)
    net = base.transformer
    base.family.expand_inputs(net, parts)
    add_lora(net, rank=2, alpha=3.0, **options)
    torch.manual_seed(6)
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn(parameter.shape))
    card = AdapterCard(
        str(folder / "base"), base.hash, parts, parts_of["scheduler"].written(),
        {"sizes": [[64, 32]], "frames": [9, 5, 9, 4]},
    )  # fmt: skip
    save_lora(folder / "lora", net, card)
    return card


def loaded_by_the_rules(model: Mapping[str, Tensor], lora: Weights) -> Weights:
    """A model's weights with a LoRA, as ComfyUI's loader changes them."""
    left, changed = set(lora), {name: tensor.clone() for name, tensor in model.items()}
    for name in model:
        if not name.endswith(".weight"):
            continue
        layer = name.removesuffix(".weight")
        if f"{layer}.lora_up.weight" in lora:
            up, down = lora[f"{layer}.lora_up.weight"], lora[f"{layer}.lora_down.weight"]
            scale = float(lora[f"{layer}.alpha"]) / len(down)
            left -= {f"{layer}.lora_up.weight", f"{layer}.lora_down.weight", f"{layer}.alpha"}
            if f"{layer}.reshape_weight" in lora:
                shape = lora[f"{layer}.reshape_weight"].tolist()
                padded = torch.zeros(shape)
                padded[tuple(slice(side) for side in changed[name].shape)] = changed[name]
                changed[name] = padded
                left.remove(f"{layer}.reshape_weight")
            product = up.flatten(1) @ down.flatten(1)
            changed[name] += scale * product.reshape(changed[name].shape)
        if f"{layer}.diff_b" in lora:
            changed[f"{layer}.bias"] += lora[f"{layer}.diff_b"]
            left.remove(f"{layer}.diff_b")
    assert not left, f"not loaded: {left}"
    return changed


@pytest.mark.parametrize("name", ["wan", "wan-2.2"])
def test_comfyui_gets_the_network_that_fbridge_has(name: str, tmp_path: Path) -> None:
    card = adapter(tmp_path, name, targets=EVERY_LAYER)
    if name == "wan-2.2":  # its usual way is the picture as first frame
        tree = json.loads((tmp_path / "lora/adapter.json").read_text())
        tree["scheduler"] |= {"image_input": "bridge"}
        (tmp_path / "lora/adapter.json").write_text(json.dumps(tree))
    step, plan = export_comfy_lora(tmp_path / "lora", tmp_path / "loras/jump.safetensors")
    assert (step, plan) == (None, tmp_path / "loras/jump.json")
    (tmp_path / "loras/jump.safetensors").rename(tmp_path / "loras/kept.safetensors")
    with pytest.raises(ConfigError, match=r"jump\.json: is there already, so it stays"):
        export_comfy_lora(tmp_path / "lora", tmp_path / "loras/jump.safetensors")
    lora = load_file(tmp_path / "loras/kept.safetensors")
    assert "diffusion_model.blocks.0.self_attn.q.lora_down.weight" in lora
    base = load_pretrained(card.base).transformer
    named = ORIGINAL["wan"][1](base.state_dict())
    model = {f"diffusion_model.{key}": tensor for key, tensor in named.items()}
    changed = loaded_by_the_rules(model, lora)
    _, ours = load_adapter(tmp_path / "lora")
    family = family_of(base)
    (convert,) = (layout.convert for layout in family.layouts if layout.convert is not None)
    back = convert({key.removeprefix("diffusion_model."): t for key, t in changed.items()})
    wanted = ours.transformer.state_dict()
    assert back.keys() == wanted.keys()
    assert all(torch.allclose(back[key], wanted[key], atol=1e-6) for key in wanted)
    moved = [key for key, tensor in base.state_dict().items() if wanted[key].shape != tensor.shape]
    assert moved == ["patch_embedding.weight"]


def test_the_workflow_samples_as_the_ode(tmp_path: Path) -> None:
    adapter(tmp_path)
    export_comfy_lora(tmp_path / "lora", tmp_path / "out", dtype=torch.bfloat16)
    lora = load_file(tmp_path / "out/lora.safetensors")
    assert lora["diffusion_model.blocks.0.self_attn.q.lora_up.weight"].dtype == torch.bfloat16
    assert lora["diffusion_model.patch_embedding.reshape_weight"].dtype == torch.int64
    with safe_open(tmp_path / "out/lora.safetensors", "pt") as file:
        assert "concat_latent_image" in file.metadata()["modelspec.usage_hint"]
    nodes = json.loads((tmp_path / "out/lora.json").read_text())
    for node in nodes.values():
        for value in node["inputs"].values():
            if isinstance(value, list):
                assert value[0] in nodes
    kinds = {node["class_type"]: node["inputs"] for node in nodes.values()}
    assert kinds["LoraLoaderModelOnly"]["lora_name"] == "lora.safetensors"
    assert kinds["RepeatImageBatch"]["amount"] == 9
    assert (kinds["ImageScale"]["width"], kinds["ImageScale"]["height"]) == (64, 32)
    start = nodes[kinds["SamplerCustomAdvanced"]["latent_image"][0]]
    assert start["class_type"] == "VAEEncode"
    shown = nodes[kinds["CFGGuider"]["positive"][0]]
    assert shown["class_type"] == "InstructPixToPixConditioning"
    assert shown["inputs"]["pixels"] == start["inputs"]["pixels"]
    pipe = FrameBridgePipeline.from_pretrained(tmp_path / "lora")
    numbers = bridge_numbers(pipe)
    ratio = ratios(numbers, bridge_times(numbers, numbers["steps"], numbers["strength"]))
    found = [float(sigma) for sigma in kinds["ManualSigmas"]["sigmas"].split(", ")]
    assert np.allclose(found, [*(1 / (1 + ratio)), 0.0], atol=1e-8)
    assert "e" not in kinds["ManualSigmas"]["sigmas"]  # the node reads digits and points


def test_what_comfyui_cannot_run_is_said_by_name(tmp_path: Path) -> None:
    card = adapter(tmp_path)
    base = load_pretrained(card.base)
    check_exportable(tmp_path / "lora", card, base)
    config = card.scheduler
    cases: list[tuple[dict[str, Any], str]] = [
        ({"parts": 2}, "takes 2 inputs beside the latents, and ComfyUI adds one"),
        ({"pipeline": {"start_from": {"kind": "motion"}}}, "its prior is motion"),
        ({"scheduler": {**config, "start": "exact"}}, "its sampling starts exact"),
        ({"scheduler": {**config, "image_input": "both"}}, "is given the picture both"),
        ({"scheduler": {"prediction": "psi-noise"}}, "its prediction is psi-noise"),
    ]
    for change, told in cases:
        with pytest.raises(ConfigError, match=f"lora: ComfyUI cannot run it: .*{told}"):
            check_exportable(tmp_path / "lora", replace(card, **change), base)
    base.family.expand_inputs(base.transformer, 1)
    with pytest.raises(ConfigError, match="its base has input channels for a prior already"):
        check_exportable(tmp_path / "lora", card, base)


def test_other_families_doras_and_models_are_refused_by_name(tmp_path: Path) -> None:
    adapter(tmp_path / "ltx", "ltx")
    with pytest.raises(ConfigError, match="names of the family ltx are not known; they are of wan"):
        export_comfy_lora(tmp_path / "ltx/lora", tmp_path / "out")
    adapter(tmp_path / "dora", dora=True)
    with pytest.raises(ConfigError, match=r"is a DoRA.*use --merged"):
        export_comfy_lora(tmp_path / "dora/lora", tmp_path / "out")
    with pytest.raises(ConfigError, match="is a whole model, and ComfyUI takes a LoRA"):
        export_comfy_lora(tmp_path / "ltx/base", tmp_path / "out")
    assert not (tmp_path / "out").exists()
