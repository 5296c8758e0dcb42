"""Models told by the names and shapes of their tensors."""

from __future__ import annotations

from math import prod

import pytest
import torch
from accelerate import init_empty_weights

from fbridge.backbones.checkpoint_layout import Variant
from fbridge.backbones.families import FAMILIES, family_of
from fbridge.backbones.family import Family
from fbridge.errors import CheckpointError
from fbridge.loaders.detect import PREFIXES, detect
from tests.backbones.networks import KINDS, network
from tests.backbones.original import ORIGINAL, comfy_hunyuan

VARIANTS = [(family, variant) for family in FAMILIES.values() for variant in family.variants]
MILLIONS = {
    "CogVideoX 2B": 1694,
    "CogVideoX 5B": 5570,
    "CogVideoX 1.5 5B": 5571,
    "Wan 2.1 1.3B": 1419,
    "Wan 2.1 14B (and one expert of 2.2's A14B)": 14288,
    "Wan 2.2 5B": 5000,
    "LTX-Video 2B": 1923,
    "LTX-Video 13B": 13043,
    "HunyuanVideo 13B": 12821,
    "Latte-1": 1057,
}
"""Of weights, as the published files hold them."""
FIRST = {
    "CogVideoX 2B": (1920, 16, 2, 2),
    "CogVideoX 5B": (3072, 16, 2, 2),
    "CogVideoX 1.5 5B": (3072, 128),
    "Wan 2.1 1.3B": (1536, 16, 1, 2, 2),
    "Wan 2.1 14B (and one expert of 2.2's A14B)": (5120, 16, 1, 2, 2),
    "Wan 2.2 5B": (3072, 48, 1, 2, 2),
    "LTX-Video 2B": (2048, 128),
    "LTX-Video 13B": (4096, 128),
    "HunyuanVideo 13B": (3072, 16, 1, 2, 2),
    "Latte-1": (1152, 4, 2, 2),
}
"""Shapes of the first layers, as the published files have them."""


@pytest.mark.parametrize(("family", "variant"), VARIANTS, ids=[v.name for _, v in VARIANTS])
def test_every_published_model_is_known_by_its_shapes(family: Family, variant: Variant) -> None:
    with init_empty_weights():
        net = family.load_class().from_config(dict(variant.config))
    shapes = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
    trained = sum(prod(shape) for shape in (tuple(p.shape) for p in net.parameters()))
    assert round(trained / 1e6) == MILLIONS[variant.name]
    assert shapes[f"{family.input_layer}.weight"] == FIRST[variant.name]
    found = detect(shapes)
    assert (found.family, found.variant, found.parts) == (family, variant, 0)
    assert (found.others, found.differences) == ({}, ())
    assert found.config is not None
    assert found.config["_class_name"] == type(net).__name__
    assert len(found.config) > 5

    first = list(shapes[f"{family.input_layer}.weight"])
    first[1] *= 3
    wider = detect({**shapes, f"{family.input_layer}.weight": tuple(first)})
    assert (wider.variant, wider.parts) == (variant, 2)
    assert wider.config is not None
    assert wider.config["in_channels"] == 3 * found.config["in_channels"]

    shapes.pop(f"{family.input_layer}.bias", None)
    last = max(name for name in shapes if name not in family.layouts[0].keys)
    odd = detect({**{k: v for k, v in shapes.items() if k != last}, "head.extra": (3, 4)})
    assert (odd.family, odd.variant, odd.config) == (family, None, None)
    assert odd.differences[0] == f"nearest: {variant.name}"
    told = "; ".join(odd.differences)
    assert f"{last} is missing" in told or "and " in told


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("name", KINDS)
def test_what_trainers_put_before_the_names(name: str, prefix: str) -> None:
    net = network(name)
    held = {prefix + key: value for key, value in net.state_dict().items()}
    found = detect({key: tuple(value.shape) for key, value in held.items()})
    family = family_of(net)
    first = family.layouts[0].style
    assert (found.family, found.prefix, found.layout.style) == (family, prefix, first)
    assert found.take(held).keys() == net.state_dict().keys()


@pytest.mark.parametrize("name", ORIGINAL)
def test_the_makers_names_and_shapes_become_diffusers_own(name: str) -> None:
    net = network(name)
    prefix, rename = ORIGINAL[name]
    held = {prefix + key: value for key, value in rename(net.state_dict()).items()}
    held["vae.decoder.conv_in.weight"] = torch.zeros(2, 2)
    found = detect({key: tuple(value.shape) for key, value in held.items()})
    assert (found.family, found.prefix, found.layout.style) == (family_of(net), prefix, "original")
    assert found.others == {"vae": 1}
    taken = found.take(held)
    assert taken.keys() == net.state_dict().keys()
    assert all(torch.equal(taken[key], value) for key, value in net.state_dict().items())


def test_hunyuan_as_comfyui_saves_it() -> None:
    net = network("hunyuan")
    theirs = ORIGINAL["hunyuan"][1](net.state_dict())
    held = {f"model.model.{comfy_hunyuan(name)}": tensor for name, tensor in theirs.items()}
    assert len(held.keys() & {f"model.model.{name}" for name in theirs}) < len(theirs) // 2
    found = detect({key: tuple(value.shape) for key, value in held.items()})
    assert (found.family, found.prefix) == (family_of(net), "model.model.")
    taken = found.take(held)
    assert taken.keys() == net.state_dict().keys()
    assert all(torch.equal(taken[key], value) for key, value in net.state_dict().items())


def test_nothing_is_guessed() -> None:
    shapes = {key: tuple(value.shape) for key, value in network("wan").state_dict().items()}
    part = {key: shape for key, shape in shapes.items() if "attn1" not in key}
    with pytest.raises(CheckpointError, match=r"nearest is wan, which would need blocks\.0\.attn1"):
        detect(part)
    with pytest.raises(CheckpointError, match=r"not one tensor.*the file has encoder\.a, encoder"):
        detect({"encoder.a": (1,), "encoder.b": (2, 3)})
    with pytest.raises(CheckpointError, match="low-rank updates"):
        detect({"blocks.0.attn1.to_q.lora_A.weight": (4, 8)})
    with pytest.raises(CheckpointError, match="no tensors"):
        detect({})
