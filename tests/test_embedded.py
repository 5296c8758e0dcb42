"""The model that ships: what it promises on pictures that it was not trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from fbridge.codecs.render import ANGLE, LOG_SCALE, TX, TY
from fbridge.pipeline import FrameBridgePipeline

EXAMPLES = Path(__file__).parents[1] / "examples"
FOLDER = Path(__file__).parents[1] / "models/fbridge/pretrained/motion"
SEEDS = list(range(6))


@pytest.fixture(scope="module")
def pipe() -> FrameBridgePipeline:
    return FrameBridgePipeline.from_pretrained("embedded")


def motions(pipe: FrameBridgePipeline, prompt: str, picture: str = "coffee.jpg") -> Tensor:
    """(seeds, F, 3, 26) what happens to a picture under a prompt."""
    image = Image.open(EXAMPLES / picture).convert("RGB").resize((128, 96))
    latents = pipe(image, prompt, seed=SEEDS, num_frames=12).latents
    return pipe.codec.motions(latents)


@pytest.mark.parametrize(
    ("prompt", "channel", "sign"),
    [
        ("the cup moves left", TX, -1),
        ("the cup slides to the right", TX, 1),
        ("the cup rises", TY, -1),
        ("the cup falls down", TY, 1),
        ("the cup comes closer", LOG_SCALE, 1),
        ("the cup shrinks", LOG_SCALE, -1),
        ("the mug wanders over to the left side", TX, -1),
    ],
)
def test_the_object_does_what_the_words_say(
    pipe: FrameBridgePipeline, prompt: str, channel: int, sign: int
) -> None:
    ends = sign * motions(pipe, prompt)[:, -1, 0, channel]
    assert ends.median() > 0.1
    assert (ends > 0).float().mean() > 0.8


@pytest.mark.parametrize(
    ("prompt", "channel", "sign"),
    [
        ("zoom in", LOG_SCALE, 1),
        ("zoom out", LOG_SCALE, -1),
        ("the camera pans left", TX, 1),
        ("the camera pans right", TX, -1),
    ],
)
def test_the_camera_does_what_the_words_say(
    pipe: FrameBridgePipeline, prompt: str, channel: int, sign: int
) -> None:
    ends = sign * motions(pipe, prompt)[:, -1, 2, channel]
    assert ends.median() > 0.1


def test_a_jump_goes_up(pipe: FrameBridgePipeline) -> None:
    path = motions(pipe, "the cup jumps")[:, :, 0, TY]
    assert (path.amin(1) < -0.08).float().mean() > 0.8


def test_guidance_makes_more_of_the_deed_and_none_of_what_is_not_to_happen(
    pipe: FrameBridgePipeline,
) -> None:
    image = Image.open(EXAMPLES / "coffee.jpg").convert("RGB").resize((128, 96))

    def made(scale: float, negative: str = "") -> Tensor:
        return pipe(
            image, "the cup jumps", negative_prompt=negative, seed=0, num_frames=12,
            guidance_scale=scale,
        ).latents  # fmt: skip

    plain = made(1.0)
    assert made(2.0).square().mean() > 1.2 * plain.square().mean()
    torch.testing.assert_close(made(2.0, "the cup jumps"), plain, atol=1e-4, rtol=0)
    assert (made(2.0, "the cup spins") - made(2.0)).abs().max() > 0.1


def test_nothing_moves_when_nothing_shall(pipe: FrameBridgePipeline) -> None:
    moved = motions(pipe, "nothing moves")
    assert moved[:, :, 0, TX].abs().median() < 0.05
    assert moved[:, :, 2, LOG_SCALE].abs().median() < 0.05


def test_a_spin_turns_at_every_seed_either_way(pipe: FrameBridgePipeline) -> None:
    image = Image.open(EXAMPLES / "coffee.jpg").convert("RGB").resize((128, 96))
    out = pipe(image, "the cup spins", seed=range(8), num_frames=16)
    turned = pipe.codec.motions(out.latents)[:, -1, 0, ANGLE]
    assert turned.abs().min() > 0.5
    assert turned.max() > 1
    assert turned.min() < -1


def test_a_shake_goes_to_and_fro_at_every_seed(pipe: FrameBridgePipeline) -> None:
    image = Image.open(EXAMPLES / "coffee.jpg").convert("RGB").resize((128, 96))
    out = pipe(image, "the cup shakes", seed=range(4), num_frames=32)
    path = pipe.codec.motions(out.latents)[:, :, 0, TX]
    assert (path.amax(1) - path.amin(1)).min() > 0.04
    assert ((path.diff(dim=1).sign().diff(dim=1) != 0).sum(1) >= 6).all()


@pytest.mark.parametrize("prompt", ["cat jumping", "zoom out", "snow falls"])
def test_the_first_frame_is_the_picture(pipe: FrameBridgePipeline, prompt: str) -> None:
    picture = Image.open(EXAMPLES / "cat.jpg").convert("RGB").resize((240, 160))
    first = pipe(picture, prompt, num_frames=4, num_inference_steps=4).frames[0][0]
    assert np.array_equal(first, np.asarray(picture))


@pytest.mark.parametrize(
    "prompts",
    [
        ("the cup spins", "the cup falls", "a cup jumps up and down"),
        ("cat jumping", "the cat jumps", "a cat spins"),
    ],
)
def test_the_noun_alone_decides_what_moves(
    pipe: FrameBridgePipeline, prompts: tuple[str, ...]
) -> None:
    picture = Image.open(EXAMPLES / ("coffee.jpg" if "cup" in prompts[0] else "cat.jpg"))
    small = picture.convert("RGB").resize((160, 120))
    view, _ = pipe.encode_inputs([small] * len(prompts), prompts)
    masks = [shot.masks[0] for shot in view.scenes]
    assert masks[0].mean() > 0.05
    assert all(torch.equal(mask, masks[0]) for mask in masks)


def test_steam_leaves_the_cup_alone(pipe: FrameBridgePipeline) -> None:
    picture = Image.open(EXAMPLES / "coffee.jpg").convert("RGB").resize((160, 120))
    video = pipe(picture, "steam rises from the coffee", num_frames=24).frames[0].astype(int)
    changed = (np.abs(video[-1] - video[0]).max(-1) > 8).mean(1)
    assert changed[:60].max() > 0.05
    assert changed[-30:].max() == 0


def test_it_fits_in_the_package_and_has_a_card() -> None:
    size = sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file())
    assert size < 60e6
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    for word in ("GPL-2", "OFL", "CC-BY", "Apache-2.0", "examples/embedded", "cannot"):
        assert word in card


def test_weights_are_loaded_as_asked() -> None:
    half = FrameBridgePipeline.from_pretrained("embedded", dtype=torch.bfloat16)
    assert half.transformer.dtype == torch.bfloat16
    assert half.codec.decoder.head[0].weight.dtype == torch.bfloat16


def test_no_file_tells_where_it_was_made() -> None:
    for path in FOLDER.rglob("*.json"):
        assert "_name_or_path" not in path.read_text(encoding="utf-8")


def test_any_picture_is_fitted(pipe: FrameBridgePipeline) -> None:
    deep = Image.new("I;16", (1200, 900))
    video = pipe(deep, "jump", num_frames=2, num_inference_steps=2).frames[0]
    assert video.shape == (2, 384, 512, 3)
    sized = pipe(deep, "jump", num_frames=2, num_inference_steps=2, size=(64, 96)).frames[0]
    assert sized.shape == (2, 96, 64, 3)
