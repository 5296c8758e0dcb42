"""Composed scenes: deterministic, consistent, and the words mean what they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from examples.embedded.scenes.compose import Library, compose, draw_motion
from examples.embedded.scenes.shards import Shard, write_shard
from examples.embedded.scenes.verbs import CAMERA_VERBS, OBJECT_VERBS
from fbridge.data.shape_motions import ANGLE, FADE, GAIN, LOG_SCALE, TX, TY, Body
from fbridge.errors import DataError
from fbridge.loaders.text_encoder import load_text_encoder

BODY = Body(0.3, 0.25, 0.6, 0.7, 0.5, 0.4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Forty drawn cut-outs and as many backgrounds, so that a tenth of each is held out."""
    (tmp_path / "cutouts").mkdir()
    (tmp_path / "photos").mkdir()
    for i in range(40):
        cutout = Image.new("RGBA", (60, 50))
        ImageDraw.Draw(cutout).ellipse((5, 5, 55, 45), fill=(250, 6 * i, 20, 255))
        cutout.save(tmp_path / f"cutouts/thing{i}.png")
        (tmp_path / f"cutouts/thing{i}.txt").write_text("red egg\n")
        Image.new("RGB", (300, 200), (10, 20, 5 * i)).save(tmp_path / f"photos/sky{i}.jpg")
    return tmp_path


def move(verb: str, camera: str = "static", *, seed: int = 0, frames: int = 24) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return draw_motion([(verb, 1.0)], (camera, 1.0), [BODY], frames, rng)


@pytest.mark.parametrize("verb", [v.name for v in OBJECT_VERBS])
@pytest.mark.parametrize("seed", range(8))
def test_every_motion_starts_at_the_picture_and_stays_finite(verb: str, seed: int) -> None:
    motion = move(verb, seed=seed)
    assert np.abs(motion[0]).max() < 1e-9
    assert np.isfinite(motion).all()
    assert np.abs(motion[:, 1]).max() == 0
    assert (np.abs(motion[:, 0]).max() > 0.02) == (verb != "stay")


@pytest.mark.parametrize("verb", [v.name for v in CAMERA_VERBS])
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


def test_the_picture_is_made_of_its_layers(folder: Path) -> None:
    library = Library.load(folder)
    for seed in range(20):
        scene = compose(library, np.random.default_rng(seed), size=(64, 96))
        assert scene.masks.shape == (2, 64, 96)
        assert scene.masks.min() >= 0
        assert scene.masks.sum(0).max() <= 1 + 1e-5
        outside = (scene.masks.sum(0) == 0)[..., None]
        close = np.abs(scene.picture - scene.background) * outside
        assert np.quantile(close, 0.98) < 0.06
        assert scene.script.caption
        if scene.script.names_objects and len(scene.bodies) == 2:
            assert "egg" in scene.script.caption


def test_shards_are_the_same_every_time(folder: Path, tmp_path: Path) -> None:
    library, encode = Library.load(folder), load_text_encoder()
    paths = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for path in paths:
        write_shard(library, encode, path, seed=3, scenes=6)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    shard, rows = Shard(paths[0]), torch.arange(6)
    assert shard.pixels("picture", rows).shape[:2] == (6, 3)
    assert shard.pixels("picture", rows).max() <= 1
    motions = [shard.motions(rows, 5, np.random.default_rng(s)) for s in (0, 0, 1)]
    assert motions[0].shape == (6, 5, 3, 26)
    assert torch.equal(motions[0], motions[1])
    assert not torch.equal(motions[0], motions[2])
    text, mask = shard.text(rows)
    again, again_mask = encode(shard.captions)
    assert torch.equal(mask, again_mask)
    assert torch.allclose(text[mask], again[mask], atol=2e-3)
