"""The picture as first latent frame: against diffusers' own image-to-video pipelines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from fbridge.backbones.adapter import pad_prompt
from fbridge.backbones.wan import TOKENS
from fbridge.denoiser import BridgeDenoiser, GuidedDenoiser
from fbridge.errors import ConfigError
from fbridge.loaders.training_free import STRENGTHS
from fbridge.pipeline import FrameBridgePipeline
from fbridge.sampling import build_sampler, seeded_noise, time_grid
from fbridge.scheduler import FrameBridgeScheduler
from fbridge.types import Condition
from tests.pipelines import publish

STEPS, SEED, GUIDANCE = 4, 3, 3.0
FRAMES, SIZE = 9, (64, 64)
PROMPT = "a cat jumps"


@pytest.fixture(scope="module", params=["wan-2.2", "ltx"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish(request.param, tmp_path_factory.mktemp("published") / request.param)


@pytest.fixture(scope="module")
def pipe(folder: Path) -> FrameBridgePipeline:
    return FrameBridgePipeline.from_pretrained(folder)


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def make(pipe: FrameBridgePipeline, picture: Image.Image, **options: Any) -> Tensor:
    usual = {"guidance_scale": GUIDANCE, "num_inference_steps": STEPS, "seed": SEED}
    shape = {"num_frames": FRAMES, "size": SIZE}
    latents: Tensor = pipe(picture, PROMPT, **{**usual, **shape, **options}).latents
    return latents


def start(pipe: FrameBridgePipeline, picture: Image.Image) -> tuple[Tensor, list[float], Tensor]:
    """The first state as the base's own, the flow's sigmas, and the picture's latent."""
    view, condition = pipe.encode_inputs([picture], [PROMPT], SIZE)
    still = pipe.latent_codec.still(view, FRAMES).mean
    noise = seeded_noise([SEED], device=still.device, dtype=still.dtype)(still.shape)
    process, times = pipe.scheduler.process, time_grid(STEPS)
    first = process.sample(still, still, times[:1], noise)
    alignment = pipe.scheduler.parameterization.alignment
    assert alignment is not None
    latent = alignment.latent(first, still, times[:1])
    return latent, (alignment.time(times[:-1]) / 1000).tolist(), condition.image_latents


class Sigmas(diffusers.FlowMatchEulerDiscreteScheduler):  # type: ignore[misc]
    """Steps at sigmas of ours, whatever the pipeline asks for."""

    ours: list[float]

    def set_timesteps(self, *_: Any, sigmas: Any = None, **_more: Any) -> None:  # noqa: ARG002
        super().set_timesteps(sigmas=self.ours)


def diffusers_latents(
    pipe: FrameBridgePipeline, latent: Tensor, sigmas: list[float], picture: Image.Image
) -> Tensor:
    """Latents (B, F, C, H, W) of diffusers' own image-to-video pipeline."""
    scheduler = Sigmas()
    scheduler.ours = sigmas
    parts = {"transformer": pipe.transformer, "vae": pipe.vae, "scheduler": scheduler}
    parts |= {"text_encoder": pipe.text_encoder, "tokenizer": pipe.tokenizer}
    video = latent.transpose(1, 2).contiguous()
    given = {"num_frames": FRAMES, "width": SIZE[0], "height": SIZE[1], "output_type": "latent"}
    given |= {"num_inference_steps": STEPS, "guidance_scale": GUIDANCE, "image": picture}
    if type(pipe.transformer).__name__ == "LTXVideoTransformer3DModel":
        own = diffusers.LTXImageToVideoPipeline(**parts)
        packed = own(latents=own._pack_latents(video), prompt=PROMPT, negative_prompt="", **given)
        out = own._unpack_latents(packed.frames, *video.shape[2:])
    else:  # its reading of prompts needs a package that is not installed
        own = diffusers.WanImageToVideoPipeline(**parts, expand_timesteps=True)
        words = [words_of(pipe, text) for text in (PROMPT, "")]
        embeds = {"prompt_embeds": words[0], "negative_prompt_embeds": words[1]}
        out = own(latents=video, **embeds, **given).frames
    return out.transpose(1, 2)


def words_of(pipe: FrameBridgePipeline, text: str) -> Tensor:
    embeds, mask = pipe.encode_prompts([text])
    return pad_prompt(Condition(embeds, mask, embeds), TOKENS)


def test_at_full_strength_it_is_diffusers_own_pipeline(
    pipe: FrameBridgePipeline, picture: Image.Image
) -> None:
    latent, sigmas, image = start(pipe, picture)
    latent[:, 0] = image
    expected = diffusers_latents(pipe, latent, sigmas, picture)
    found = make(pipe, picture, image_input="native", strength=1.0)
    assert torch.equal(found[:, 0], image)
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()
    other = make(pipe, picture, image_input="bridge", strength=1.0)
    assert (other - expected).abs().max() > 1e-2 * expected.abs().max()


def test_bridge_is_what_it_was(pipe: FrameBridgePipeline, picture: Image.Image) -> None:
    """Against the sampler called by hand, on a denoiser that knows of no picture."""
    view, condition = pipe.encode_inputs([picture], [PROMPT], SIZE)
    still = pipe.latent_codec.still(view, FRAMES).mean
    plain = FrameBridgeScheduler(prediction="aligned-flow", base=pipe.scheduler.config.base)
    denoiser = BridgeDenoiser(pipe.backbone, plain.parameterization)
    negative = condition.with_prompt(*pipe.encode_prompts([""]))
    expected = build_sampler("ode").sample(
        GuidedDenoiser(denoiser, negative, GUIDANCE, 1.0),
        plain.process,
        still,
        0.7 * time_grid(STEPS),
        condition,
        noise=seeded_noise([SEED], device=still.device, dtype=still.dtype),
        start="noised",
    )
    found = make(pipe, picture, image_input="bridge", first_frame="free")
    assert torch.equal(found, expected)


def test_the_strength_follows_the_input(pipe: FrameBridgePipeline, picture: Image.Image) -> None:
    defaults = {way: pipe.defaults_with(way) for way in ("native", "bridge", "both")}
    assert {way: held["strength"] for way, held in defaults.items()} == STRENGTHS
    assert pipe.defaults == defaults["native"]
    assert pipe.defaults["image_input"] == "native"
    both = {"image_input": "both"}
    latents = [make(pipe, picture, num_inference_steps=1, **more) for more in ({}, both)]
    assert all(torch.equal(one[:, 0], start(pipe, picture)[2]) for one in latents)
    assert not torch.equal(*latents)


def test_guidance_by_the_picture_leaves_the_frame_out_in_one_branch(
    pipe: FrameBridgePipeline, picture: Image.Image
) -> None:
    _, condition = pipe.encode_inputs([picture], [PROMPT], SIZE)
    times: list[Tensor] = []

    def network(latents: Tensor, time: Tensor, _own: Condition, _prior: Tensor) -> Tensor:
        times.append(time)
        return latents

    denoiser = BridgeDenoiser(network, pipe.scheduler.parameterization)
    x = torch.randn(1, 3, *condition.image_latents.shape[1:])
    t = torch.tensor([0.6], dtype=torch.float64)
    GuidedDenoiser(denoiser, condition, 1.0, 2.0)(x, t, x, condition)
    [[shown, unprompted, dropped]] = times
    assert shown[0] == 0
    assert (shown[1:] > 0).all()
    assert torch.equal(unprompted, shown)
    assert (dropped == shown[1]).all()
    found = make(pipe, picture, image_guidance_scale=2.0)
    assert torch.equal(found[:, 0], condition.image_latents)


def test_a_trained_model_keeps_its_own_input(pipe: FrameBridgePipeline, tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path)
    again = FrameBridgePipeline.from_pretrained(tmp_path)
    assert again.defaults["image_input"] == "native"
    with pytest.raises(ConfigError, match="'bridge': this model was trained with 'native'"):
        again.defaults_with("bridge")


def test_a_base_without_a_native_input_names_those_that_have_one(tmp_path: Path) -> None:
    pipe = FrameBridgePipeline.from_pretrained(publish("wan", tmp_path / "wan"))
    assert pipe.defaults["image_input"] == "bridge"
    assert pipe.defaults["strength"] == 0.7
    names = r"Wan 2\.2 5B, LTX-Video 2B, LTX-Video 13B"
    for way in ("native", "both"):
        with pytest.raises(ConfigError, match=rf"'{way}'.*takes no picture natively.*{names}"):
            pipe.defaults_with(way)


def test_a_range_of_times_is_of_the_frames_that_are_sampled(
    pipe: FrameBridgePipeline, picture: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = make(pipe, picture, strength=0.8)
    numbers = {key: value for key, value in pipe.scheduler.config.items() if key[0] != "_"}
    limited = FrameBridgeScheduler(**{**numbers, "times": [0.1, 0.8]})  # the picture's is 0
    monkeypatch.setattr(pipe, "scheduler", limited)
    assert pipe.defaults_with("native")["strength"] == 0.8
    assert pipe.defaults_with("bridge")["strength"] == STRENGTHS["bridge"]
    assert torch.equal(make(pipe, picture), free)
    with pytest.raises(ConfigError, match=r"strength 0\.9: .*use --strength 0\.8 or less"):
        make(pipe, picture, strength=0.9)
