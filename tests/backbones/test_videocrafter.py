"""VideoCrafter's network against its makers' formulas, and its models by their tensors."""

from __future__ import annotations

from math import prod
from typing import Any

import pytest
import torch
from accelerate import init_empty_weights

from fbridge.backbones.videocrafter import FAMILY
from fbridge.backbones.videocrafter.models import videocrafter_noise
from fbridge.backbones.videocrafter.network import VideoCrafterUNet
from fbridge.errors import ConfigError
from fbridge.loaders.detect import detect
from fbridge.scheduler import build_noise_schedule
from fbridge.types import Condition
from tests.backbones.lvdm import Lvdm, resampler

SMALL: dict[str, Any] = {
    "model_channels": 32, "channel_mult": (1, 2), "attention_levels": (True, False),
    "num_res_blocks": 1, "head_features": 16, "context_dim": 12, "sample_size": (4, 8),
}  # fmt: skip
LOOKS = {
    "features": 10, "width": 24, "count": 8, "depth": 2, "heads": 1, "head": 64, "gated": True,
}  # fmt: skip
KINDS: dict[str, dict[str, Any]] = {
    "512": {"reach": 2},
    "1024": {"reach": 2, "rate": 28, "linear": False},
    "2": {"reach": 0, "rate": 28, "temporal_conv": True, "attention_levels": (True, True)},
    "plain": {"reach": 0, "first_attention": False, "transformer_depth": 2, "num_res_blocks": 2},
    "bridge": {
        "reach": 0, "rate": 3, "temporal_conv": True, "in_channels": 8, "image": LOOKS,
        "frames": 4, "bridge": True,
    },
}  # fmt: skip


def small(kind: str) -> VideoCrafterUNet:
    torch.manual_seed(4)
    net = VideoCrafterUNet(**{**SMALL, **KINDS[kind]}).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim < 2:
                parameter.add_(torch.randn_like(parameter) * 0.2)
    return net


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_it_computes_what_its_makers_network_does(kind: str) -> None:
    net = small(kind)
    weights = net.state_dict()
    x, prior, picture = (
        torch.randn(2, 4, 4, 4, 8),
        torch.randn(2, 4, 4, 4, 8),
        torch.randn(2, 4, 4, 8),
    )
    words, seen = torch.randn(2, 7, 12), torch.randn(2, 5, 10)
    step = torch.tensor([3.7, 811.25])
    condition = Condition(
        words,
        torch.ones(2, 7, dtype=torch.bool),
        picture,
        image_embeds=seen if kind == "bridge" else None,
    )
    given, looks = x, None
    if kind == "bridge":
        given = torch.cat([x, prior], 2)
        own = {
            name.removeprefix("image_proj_model."): tensor
            for name, tensor in weights.items()
            if name.startswith("image_proj_model.")
        }
        looks = resampler(own, seen, 64).unflatten(1, (4, 2))
    theirs = Lvdm(weights, 16)(
        given.transpose(1, 2), step, words, rate=net.config["rate"], looks=looks
    ).transpose(1, 2)
    ours = net(x, step, condition, prior)
    assert theirs.std() > 0.05
    assert torch.allclose(ours, theirs, atol=2e-5)


PUBLISHED = [
    ("VideoCrafter-1 512", {}, {}, 1144, None),
    ("VideoCrafter-1 1024", {"rate": 28}, {"scale_arr": (1000,)}, 1147, (0.3, 400)),
    (
        "VideoCrafter-2 512 (or 1, of its shape)", {"rate": 28, "temporal_conv": True, "reach": 0},
        {"scale_arr": (1400,)}, 1413, (0.7, 400),
    ),
    ("VideoCrafter-1 256", {"temporal_conv": True, "reach": 0}, {}, 1411, None),
]  # fmt: skip


@pytest.mark.parametrize(("name", "numbers", "tables", "millions", "scale"), PUBLISHED)
def test_published_models_are_known_by_their_shapes(
    name: str, numbers: Any, tables: Any, millions: int, scale: Any
) -> None:
    with init_empty_weights():
        net = VideoCrafterUNet(**numbers)
    own = {key: tuple(value.shape) for key, value in net.state_dict().items()}
    assert round(sum(map(prod, own.values())) / 1e6) == millions
    assert own["input_blocks.0.0.weight"] == (320, 4, 3, 3)
    assert own["init_attn.0.proj_in.weight"] == (512, 320, 1)
    assert own["output_blocks.11.0.in_layers.2.weight"] == (320, 640, 3, 3)
    whole = {f"model.diffusion_model.{key}": shape for key, shape in own.items()}
    whole |= {"betas": (1000,), "alphas_cumprod": (1000,), **tables}
    for shapes, prefix in ((own, ""), (whole, "model.diffusion_model.")):
        found = detect(shapes)
        assert found.variant is not None
        assert (found.family, found.variant.name, found.prefix) == (FAMILY, name, prefix)
        assert (found.parts, found.differences) == (0, ())
        assert found.config is not None
        assert found.config["signal_scale"] == scale
        assert found.config["bridge"] is False


def test_a_whole_file_tells_its_noise_and_whether_it_is_a_bridge() -> None:
    net = small("bridge")
    own = net.state_dict()
    outside = ("image_proj_model.",)
    whole = {
        key if key.startswith(outside) else f"model.diffusion_model.{key}": value
        for key, value in own.items()
    }
    whole["framestride"] = torch.zeros(1)
    renamed = {key.replace("fps_embedding", "framestride_embed"): v for key, v in whole.items()}
    tables = {"alphas_cumprod": torch.linspace(0.9, 0.1, 1000)}
    for more, bridge in (({}, True), (tables, False), ({**tables, "bridge_coef_x0": tables}, True)):
        held = {**renamed, **{k: torch.zeros(1000) for k in more}}
        found = detect({key: tuple(value.shape) for key, value in held.items()})
        assert found.config is not None
        assert found.config["bridge"] is bridge
        assert (found.parts, found.differences) == (1, ())
        assert found.take(held).keys() == own.keys()
        assert found.config["image"] == LOOKS
        assert (found.config["rate"], found.config["frames"]) == (3, 16)
    line = torch.cat([torch.linspace(1, 0.55, 400), torch.full((1000,), 0.55)])
    assert FAMILY.single_file_config is not None
    told = FAMILY.single_file_config({**tables, "scale_arr": line})
    assert told["signal_scale"] == pytest.approx([0.55, 400])
    assert FAMILY.single_file_config(tables)["signal_scale"] is None
    assert FAMILY.single_file_config({}) == {}


def test_its_signal_is_scaled_down() -> None:
    """x_k = scale_k sqrt(abar_k) x_0 + sqrt(1 - abar_k) eps: the same ratio comes earlier."""
    noise, prediction = videocrafter_noise({"signal_scale": (0.7, 400)})
    assert prediction == "noise"
    base, plain = build_noise_schedule(noise), build_noise_schedule(videocrafter_noise({})[0])
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    signal = (1 - betas).cumprod(0)
    for k, scale in ((50, 1 - 0.3 * 50 / 399), (399, 0.7), (800, 0.7)):
        ratio = (scale * signal[k].sqrt() / (1 - signal[k]).sqrt())[None]
        assert float(base.time(ratio, cleanest=169.0)) == pytest.approx(k, abs=1e-6)
        assert float(plain.time(ratio, cleanest=169.0)) > k + 3
        length = (scale**2 * signal[k] + 1 - signal[k]).sqrt()
        assert float(base.length(ratio)) == pytest.approx(float(length), abs=1e-9)


def test_what_is_not_possible_is_refused() -> None:
    net = small("bridge")
    x = torch.zeros(1, 4, 4, 4, 8)
    words = torch.zeros(1, 3, 12), torch.ones(1, 3, dtype=torch.bool)
    blind = Condition(*words, x[:, 0])
    with pytest.raises(ConfigError, match="an image encoder's embedding"):
        net(x, torch.ones(1), blind, x)
    seen = Condition(*words, x[:, 0], image_embeds=torch.zeros(1, 5, 10))
    with pytest.raises(ConfigError, match=r"3 frames are not possible.*image tokens for 4"):
        net(x[:, :3], torch.ones(1), seen, x[:, :3])
    with pytest.raises(ConfigError, match="sides that are multiples of 2"):
        net(x[..., :3], torch.ones(1), seen, x[..., :3])


def test_names_that_only_look_like_it_are_told() -> None:
    """ModelScope's U-Net has the same modules, but for its downsampling."""
    own = {key: tuple(value.shape) for key, value in small("plain").state_dict().items()}
    other = {key.replace(".0.op.", ".op."): shape for key, shape in own.items()}
    found = detect(other)
    assert (found.family, found.variant, found.config) == (FAMILY, None, None)
    assert "like no model of it" in found.differences[0]
    odd = {key: tuple(2 * side for side in shape[:1]) + shape[1:] for key, shape in own.items()}
    assert (
        detect({**own, "input_blocks.0.0.weight": odd["out.0.weight"] + (4, 3, 3)}).variant is None
    )


def test_its_embeddings_stay_precise() -> None:
    """Only layers of blocks are kept in few bits."""
    net = VideoCrafterUNet(model_channels=64, num_res_blocks=1, head_features=16, context_dim=64)
    homes = {name.split(".")[0] for name, _ in FAMILY.quantizable_layers(net)}
    assert homes == {"input_blocks", "middle_block", "output_blocks", "init_attn"}
