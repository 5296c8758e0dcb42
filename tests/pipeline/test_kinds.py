"""Pipelines around diffusers' autoencoders, of classes, of trained sizes, and with other starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fbridge.backbones.cogvideox import FAMILY
from fbridge.backbones.space_time import SpaceTimeTransformer
from fbridge.codecs.pixel import PixelCodec
from fbridge.codecs.vae import VAECodec
from fbridge.errors import ConfigError
from fbridge.loaders.prior import MotionPrior
from fbridge.pipeline import FrameBridgePipeline
from fbridge.prior import MixPrior, NeuralPrior, ReplicatePrior
from fbridge.scheduler import FrameBridgeScheduler
from tests.bases import tiny_transformer, tiny_vae

BRIDGE = {"schedule": {"kind": "gmax", "beta_0": 0.01, "beta_1": 2.0}, "steps": 3}


def of_vae(**facts: Any) -> FrameBridgePipeline:
    net = tiny_transformer()
    FAMILY.expand_inputs(net, 2)
    base = {"kind": "cogvideox", "snr_shift": 1.0}
    return FrameBridgePipeline(
        transformer=net,
        scheduler=FrameBridgeScheduler(**BRIDGE, prediction="aligned-v", base=base),
        vae=tiny_vae(),
        frames=[4, 2, 16, 1],
        **facts,
    )


def of_classes() -> FrameBridgePipeline:
    torch.manual_seed(2)
    net = SpaceTimeTransformer(
        3, 64, 64, 3, patch=16, dim=32, depth=1, heads=2, text_width=0, classes=3
    )
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.08)
    return FrameBridgePipeline(
        transformer=net.eval(),
        scheduler=FrameBridgeScheduler(**BRIDGE),
        codec=PixelCodec(64, 64),
        frames=[4, 2, 16, 1],
        classes=["ApplyLipstick", "Archery", "BabyCrawling"],
    )


def picture(width: int = 70, height: int = 64) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def test_a_vae_of_diffusers_serves_as_codec(tmp_path: Path) -> None:
    pipe = of_vae()
    assert isinstance(pipe.latent_codec, VAECodec)
    out = pipe(picture(), "zoom in", guidance_scale=2.0)
    assert out.frames[0].shape == (4, 64, 64, 3)
    assert out.latents.shape == (1, 4, 4, 8, 8)
    pipe.save_pretrained(tmp_path)
    again = FrameBridgePipeline.from_pretrained(tmp_path)
    assert again.codec is None
    assert np.array_equal(again(picture(), "zoom in", guidance_scale=2.0).frames[0], out.frames[0])


def test_a_model_has_one_of_codec_and_vae() -> None:
    for held in ({}, {"codec": PixelCodec(8, 8), "vae": tiny_vae()}):
        with pytest.raises(ValueError, match="either a codec or a vae"):
            FrameBridgePipeline(
                transformer=tiny_transformer(), scheduler=FrameBridgeScheduler(), **held
            )


def test_without_a_size_the_trained_one_of_nearest_aspect_is_made() -> None:
    pipe = of_vae(sizes=[[64, 64], [96, 64], [64, 96]])
    assert pipe.output_size((500, 510)) == (64, 64)
    assert pipe.output_size((1920, 1080)) == (96, 64)
    assert pipe.output_size((1080, 1920)) == (64, 96)
    assert pipe.output_size((1080, 1920), (48, 32)) == (48, 32)
    assert pipe(picture(30, 20), "jump").frames[0].shape == (4, 64, 96, 3)


def test_a_size_that_the_patches_do_not_fit_is_named() -> None:
    pipe = of_vae()
    with pytest.raises(ConfigError, match=r"72x64.*multiples of 16; use 64x64"):
        pipe(picture(), "jump", size=(72, 64))
    assert pipe.output_size((75, 500)) == (64, 496)
    assert pipe.output_size((75, 500), (80, 32)) == (80, 32)


def test_a_video_is_made_within_the_times_that_were_trained() -> None:
    pipe = of_vae()
    pipe.scheduler = FrameBridgeScheduler(**{**pipe.scheduler.config, "times": [0.0, 0.8]})
    with pytest.raises(ConfigError, match=r"strength 1: .* 0\.000 to 0\.800; use --strength 0\.8 "):
        pipe(picture(), "jump")
    assert pipe(picture(), "jump", strength=0.8).frames[0].shape == (4, 64, 64, 3)
    pipe.scheduler = FrameBridgeScheduler(**{**pipe.scheduler.config, "times": [0.5, 1.0]})
    with pytest.raises(ConfigError, match=r"0\.500 to 1\.000 alone, and a video ends at 0"):
        pipe(picture(), "jump")


def test_a_class_is_named_by_the_prompt() -> None:
    pipe = of_classes()
    _, condition = pipe.encode_inputs([picture()] * 2, ["baby crawling", "ARCHERY"])
    assert condition.class_labels is not None
    assert condition.class_labels.tolist() == [2, 1]
    text, mask = pipe.encode_prompts(
        ["baby crawling"]
    )  # as data sets of classes have their captions
    assert torch.equal(condition.prompt_embeds[0][condition.prompt_mask[0]], text[0][mask[0]])
    a, b = (pipe(picture(), prompt, seed=4).latents for prompt in ("archery", "apply lipstick"))
    assert (a - b).abs().max() > 1e-4
    assert torch.equal(pipe(picture(), "Arch_ery", seed=4).latents, a)
    with pytest.raises(ConfigError, match=r"'archers'.*did you mean 'Archery'"):
        pipe(picture(), "archers")


def test_guidance_of_a_class_leads_away_from_none() -> None:
    pipe = of_classes()
    plain = pipe(picture(), "archery").latents
    guided = pipe(picture(), "archery", guidance_scale=3.0).latents
    assert (guided - plain).abs().max() > 1e-4
    with pytest.raises(ConfigError, match="negative_prompt"):
        pipe(picture(), "archery", guidance_scale=3.0, negative_prompt="jump")


def test_a_prompt_that_is_too_long_is_told() -> None:
    pipe, long = of_vae(), "cat " * 126
    with pytest.warns(UserWarning, match=r"reads 128 tokens.*'cat cat.*not read is.*'dog'") as told:
        pipe(picture(), [long, long + "dog"])
    assert told[0].filename == __file__
    with pytest.warns(UserWarning, match="'bird'"):
        pipe(picture(), "zoom in", negative_prompt=long + "bird", guidance_scale=2.0)
    assert pipe.describe_unread([long]) == ""
    assert of_classes().describe_unread([long * 2]) == ""


def test_what_is_done_otherwise_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = of_vae()
    assert pipe.describe_intent(["gallops"]) == []
    monkeypatch.setattr(
        type(pipe.latent_codec), "notes", lambda _, prompts: prompts[:1], raising=False
    )
    with pytest.warns(UserWarning, match="gallops") as told:
        pipe(picture(), ["gallops", "jumps"])
    assert told[0].filename == __file__


def test_a_model_without_classes_has_no_labels() -> None:
    _, condition = of_vae().encode_inputs([picture(64, 64)], ["jump"])
    assert condition.class_labels is None


@pytest.mark.parametrize(
    ("start_from", "has_prior", "kind"),
    [
        (None, False, ReplicatePrior),
        (None, True, NeuralPrior),
        ({"kind": "repeat"}, True, ReplicatePrior),
        ({"kind": "motion"}, False, MotionPrior),
        ({"kind": "mix", "mix": 0.25}, True, MixPrior),
        ({"kind": "mix", "mix": 0.25}, False, MixPrior),
    ],
)
def test_the_start_is_as_configured(
    start_from: dict[str, Any] | None, kind: type, tmp_path: Path, *, has_prior: bool
) -> None:
    network = SpaceTimeTransformer(4, 8, 8, 4, dim=32, depth=1, heads=2, timed=False)
    pipe = of_vae(start_from=start_from, prior=network if has_prior else None)
    pipe.save_pretrained(tmp_path)
    again = FrameBridgePipeline.from_pretrained(tmp_path)
    assert type(again.start) is kind
    if isinstance(again.start, MixPrior):
        assert again.start.share == 0.25
        assert type(again.start.guess) is (NeuralPrior if has_prior else MotionPrior)


def test_a_bridge_from_the_moved_picture() -> None:
    still = of_vae(start_from={"kind": "repeat"})
    moved = of_vae(start_from={"kind": "motion"})
    a, b = (p(picture(64, 64), "zoom in", seed=2).latents for p in (still, moved))
    assert (a - b).abs().max() > 1e-4
    assert torch.equal(moved(picture(64, 64), "zoom in", seed=2).latents, b)
