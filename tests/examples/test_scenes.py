"""Composed scenes: deterministic, consistent, and the words mean what they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from examples.embedded.nouns import members
from examples.embedded.scenes.bodies import Scene, draw_aspect, draw_motion, draw_scene
from examples.embedded.scenes.compose import Library
from examples.embedded.scenes.motions import CAMERA_PROGRAMS, OBJECT_PROGRAMS
from examples.embedded.scenes.named import compose_named, crop_photo
from examples.embedded.train_motion import MotionLoss, verb_weights
from fbridge.codecs.render import half_size
from fbridge.data.shape_motions import ANGLE, FADE, GAIN, LOG_SCALE, TX, TY, Body
from fbridge.errors import DataError
from fbridge.words.lexicon import CAMERA_VERBS, OBJECT_VERBS
from tests.examples.materials import draw_materials

BODY = Body(0.3, 0.25, 0.6, 0.7, 0.5, 0.4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Materials of which a tenth is held out."""
    draw_materials(tmp_path)
    return tmp_path


def move(verb: str, camera: str = "static", *, seed: int = 0, frames: int = 24) -> np.ndarray:
    nothing = np.zeros((2, 4, 4), np.float32)
    scene = Scene(nothing, (BODY, None), ((verb, 1.0), None, (camera, 1.0)))
    return draw_motion(scene, frames, np.random.default_rng(seed))


def test_there_is_a_program_for_each_verb() -> None:
    assert tuple(OBJECT_PROGRAMS) == OBJECT_VERBS
    assert tuple(CAMERA_PROGRAMS) == CAMERA_VERBS


@pytest.mark.parametrize("verb", OBJECT_VERBS)
@pytest.mark.parametrize("seed", range(8))
def test_every_motion_starts_at_the_picture_and_stays_finite(verb: str, seed: int) -> None:
    motion = move(verb, seed=seed)
    assert np.abs(motion[0]).max() < 1e-9
    assert np.isfinite(motion).all()
    assert np.abs(motion[:, 1]).max() == 0
    assert (np.abs(motion[:, 0]).max() > 0.02) == (verb != "stay")


@pytest.mark.parametrize("verb", CAMERA_VERBS)
def test_cameras_start_at_the_picture(verb: str) -> None:
    motion = move("stay", verb)
    assert np.abs(motion[0]).max() < 1e-9
    assert (np.abs(motion[:, 2]).max() > 0.01) == (verb != "static")


@pytest.mark.parametrize(
    ("verb", "channel", "sign"),
    [("left", TX, -1), ("right", TX, 1), ("up", TY, -1), ("down", TY, 1), ("fall", TY, 1),
     ("closer", LOG_SCALE, 1), ("away", LOG_SCALE, -1), ("vanish", FADE, 1), ("glow", GAIN, 1),
     ("roll right", ANGLE, 1)],
)  # fmt: skip
def test_words_have_their_direction(verb: str, channel: int, sign: int) -> None:
    for seed in range(20):
        path = sign * move(verb, seed=seed)[:, 0, channel]
        assert path[np.abs(path).argmax()] > 0.1


@pytest.mark.parametrize(
    ("verb", "channel", "sign"),
    [("pan left", TX, 1), ("pan right", TX, -1), ("tilt up", TY, 1), ("zoom in", LOG_SCALE, 1),
     ("zoom out", LOG_SCALE, -1), ("rotate clockwise", ANGLE, -1), ("darken", GAIN, -1)],
)  # fmt: skip
def test_the_scene_moves_against_the_camera(verb: str, channel: int, sign: int) -> None:
    for seed in range(10):
        assert sign * move("stay", verb, seed=seed)[-1, 2, channel] > 0.1


def test_a_jump_leaves_the_ground_and_comes_back() -> None:
    for seed in range(20):
        path = move("jump", seed=seed, frames=200)[:, 0, TY]
        assert path.min() < -0.12
        assert abs(path[-1]) < 0.08


def test_spins_go_either_way() -> None:
    ends = [move("spin", seed=seed)[-1, 0, ANGLE] for seed in range(30)]
    assert min(ends) < -2
    assert max(ends) > 2


def test_held_out_pictures_are_never_trained_on(folder: Path) -> None:
    kept, held = Library.load(folder), Library.load(folder, held_out=True)
    assert len(kept.cutouts) + len(held.cutouts) == 40
    assert 0 < len(held.cutouts) < 15
    colours = [{c.picture.getpixel((30, 25)) for c in lib.cutouts} for lib in (kept, held)]
    assert not colours[0] & colours[1]


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cutouts"):
        Library.load(tmp_path)


def test_one_of_several_things_is_named(folder: Path) -> None:
    library = Library.load(folder)
    for seed in range(20):
        named = compose_named(library, np.random.default_rng(seed), (64, 96))
        assert named.picture.shape == (64, 96, 3)
        assert named.mask.shape == (64, 96)
        assert 0.008 < named.mask.mean() < 1
        assert named.noun == "" or named.noun in {c.noun for c in library.cutouts}
        red = named.picture[..., 0] - named.picture[..., 2]
        assert red[named.mask > 0.9].mean() > np.median(red[named.mask < 0.1])


def test_crops_of_photographs_keep_mask_and_picture_together() -> None:
    picture = Image.new("RGB", (200, 150), (0, 0, 90))
    ImageDraw.Draw(picture).rectangle((60, 40, 120, 110), fill=(250, 0, 0))
    mask = picture.getchannel("R").point(lambda v: 255 if v > 120 else 0)
    for seed in range(10):
        named = crop_photo(picture, mask, np.random.default_rng(seed), (96, 128))
        red = named.picture[..., 0]
        assert red[named.mask > 0.9].min() > red[named.mask < 0.1].max()


def test_bodies_fit_their_masks() -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        scene = draw_scene(rng, draw_aspect(rng))
        half_w, half_h = half_size(*scene.masks.shape[1:])
        for mask, body in zip(scene.masks, scene.bodies, strict=True):
            if body is None:
                assert not mask.any()
                continue
            assert body.room_left + 2 * body.half_width + body.room_right == pytest.approx(
                2 * half_w
            )
            assert body.room_up + 2 * body.half_height + body.room_down == pytest.approx(2 * half_h)


def test_the_same_step_draws_the_same_batch() -> None:
    loss = MotionLoss([[1.0] * 3] * 26, None)
    (one, told, _), (again, told_again, _), (other, *_) = map(loss.batch, (5, 5, 6))
    assert torch.equal(one, again)
    assert torch.equal(told.image_latents, told_again.image_latents)
    assert one.shape[2:] == (26, 3, 1)
    assert one.shape != other.shape or not torch.equal(one, other)


def test_a_verb_of_small_motion_weighs_more() -> None:
    scale = [[0.1] * 3] * 26
    weights = verb_weights(scale)
    assert set(weights) == {None, *OBJECT_VERBS, *CAMERA_VERBS}
    assert weights["shake"] > 5 * weights["left"] > 5 * weights["spin"]
    assert weights["stay"] == weights[None] == 1
    drawn = MotionLoss(scale, None).batch(1)[2]
    assert set(drawn.unique().tolist()) <= set(torch.tensor(list(weights.values())).tolist())


def test_nouns_name_the_classes_below_them() -> None:
    lemmas = {
        10: ["animal"], 20: ["dog", "domestic dog"], 30: ["beagle"], 40: ["pug"], 50: ["entity"],
    }  # fmt: skip
    above = {30: [20], 40: [20], 20: [10], 10: [50], 50: []}
    named = members(lemmas, above, [30, 40])
    assert named["dog"] == named["animal"] == {0, 1}
    assert named["beagle"] == {0}
    assert "entity" not in named
    assert named["woman"] == named["person"]
