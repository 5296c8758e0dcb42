"""How a run's network gets the picture: defaults, input channels, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from fbridge.backbones.families import family_of
from fbridge.config.tree import Config
from fbridge.data.latents.shape import Shape
from fbridge.errors import ConfigError
from fbridge.loaders.pretrained import PretrainedModel
from fbridge.scheduler import FrameBridgeScheduler
from fbridge.train.export.lora import add_lora
from fbridge.train.setup.image_input import choose_image_input, widen
from fbridge.train.setup.networks import build_scheduler
from tests.backbones.networks import network

SHAPE = Shape(4, 4, 8, 4, 4, 8, 12, (), 17, 8, 24.0, ((256, 128),))
FLOW: dict[str, Any] = {"prediction": "aligned-flow", "base": {"kind": "flow"}}


def base(name: str, scheduler: FrameBridgeScheduler | None = None) -> PretrainedModel:
    net = network(name)
    known: dict[str, Any] = {"noise_schedule": {"kind": "flow"}, "prediction": "flow"}
    return PretrainedModel(name, "", family_of(net), net, scheduler=scheduler, **known)


def config(image_input: str = "auto", **sections: Any) -> Config:
    more = {"picture_dropout": 0.1, "image_input": image_input}
    return Config.model_validate({"condition": more, **sections})


@pytest.mark.parametrize(("image_input", "channels"), [("native", 4), ("both", 8), ("bridge", 12)])
def test_what_the_network_is_given_beside_the_latents(image_input: str, channels: int) -> None:
    start = base("ltx")
    asked = config(image_input)
    assert choose_image_input(asked, start, SHAPE, prior_kind="repeat") == image_input
    widen(asked, start, image_input, prior_kind="repeat")
    assert start.transformer.config.in_channels == channels
    scheduler = build_scheduler(asked.bridge, start, image_input)
    assert scheduler.config.image_input == image_input
    assert scheduler.parameterization.picture_first == (image_input != "bridge")
    add_lora(start.transformer, rank=2)
    trained = [n for n, p in start.transformer.named_parameters() if p.requires_grad]
    in_full = [name for name in trained if "lora_" not in name]
    assert trained
    assert bool(in_full) == (image_input != "native")


@pytest.mark.parametrize(
    ("name", "own", "sections", "expected"),
    [
        ("ltx", None, {}, "native"),
        ("ltx", None, {"bridge": {"align": False}}, "bridge"),
        ("ltx", None, {"bridge": {"prediction": "clean"}}, "bridge"),
        ("ltx", "native", {}, "native"),
        ("ltx", "bridge", {}, "bridge"),
        ("wan", None, {}, "bridge"),  # of 16 channels in the file, of 4 here: not of 48
    ],
)
def test_the_default(name: str, own: str | None, sections: Any, expected: str) -> None:
    scheduler = own and FrameBridgeScheduler(image_input=own, **FLOW)
    start = base(name, scheduler or None)
    assert choose_image_input(config(**sections), start, SHAPE, prior_kind="repeat") == expected


def test_what_cannot_be_is_named() -> None:
    with pytest.raises(ConfigError, match=r"base wan takes no picture natively.*LTX-Video 2B"):
        choose_image_input(config("native"), base("wan"), SHAPE, prior_kind="repeat")
    with pytest.raises(ConfigError, match=r'would not be given its prior.*use "both"'):
        choose_image_input(config("native"), base("ltx"), SHAPE, prior_kind="neural")
    single = Shape(4, 4, 8, 4, 4, 8, 12, (), 8, 8, 24.0, ((256, 128),))
    with pytest.raises(ConfigError, match=r"clips of 8 frames have no other.*prepare clips of 9"):
        choose_image_input(config("both"), base("ltx"), single, prior_kind="repeat")
    single_auto = choose_image_input(config(), base("ltx"), single, prior_kind="repeat")
    assert single_auto == "bridge"
    for asked in (config("both"), config()):
        assert choose_image_input(asked, base("ltx"), SHAPE, prior_kind="neural") == "both"
