"""Drawn clips: deterministic, exact, and the words mean what is to be seen."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from fbridge.data.shape_motions import VERBS
from fbridge.data.shapes import (
    COLOURS,
    FPS,
    FRAMES,
    ROUND,
    SHAPES,
    SIZE,
    draw_clip,
    write_clips,
)
from fbridge.data.video_files import read_video

NAMES = [verb.name for verb in VERBS]


def dark(verb: str, number: int, shape: str = "circle") -> np.ndarray:
    """(F, H, W) how black each pixel is, of a black shape on its pale ground."""
    frames = draw_clip(3, number, shape=shape, colour="black", verb=verb).frames
    return (frames.max(-1) < 70).astype(float)


def middle(mask: np.ndarray) -> np.ndarray:
    """(x, y) of a mask (H, W), in pixels."""
    rows, columns = np.nonzero(mask)
    return np.array([columns.mean(), rows.mean()])


def test_a_clip_depends_on_its_seed_and_number_alone() -> None:
    first, again, next_one, other = (draw_clip(*at) for at in ((0, 5), (0, 5), (0, 6), (1, 5)))
    assert first.frames.shape == (FRAMES, SIZE, SIZE, 3)
    assert (first.frames == again.frames).all()
    assert first.caption == again.caption
    assert (first.frames != next_one.frames).any()
    assert (first.frames != other.frames).any()


def test_words_name_what_is_drawn_and_all_of_it_is_drawn() -> None:
    clips = [draw_clip(4, number) for number in range(400)]
    for clip in clips:
        article = "an" if clip.colour == "orange" else "a"
        assert f"{article} {clip.colour} {clip.shape}" in clip.caption
        assert not (clip.verb == "spin" and clip.shape in ROUND)
    assert {clip.verb for clip in clips} == set(NAMES)
    assert {clip.shape for clip in clips} == set(SHAPES)
    assert {clip.colour for clip in clips} == set(COLOURS)


@pytest.mark.parametrize("colour", list(COLOURS))
def test_a_shape_has_its_colour(colour: str) -> None:
    frame = draw_clip(3, 0, shape="square", colour=colour, verb="stay").frames[0] / 255
    distance = np.abs(frame - np.array(COLOURS[colour])).max(-1)
    assert (distance < 0.08).sum() > 100


def test_shapes_differ_and_fill_about_their_half_size() -> None:
    line = np.linspace(-1.4, 1.4, 141)
    x, y = np.meshgrid(line, line)
    masks = {name: distance(x, y) < 0 for name, distance in SHAPES.items()}
    for name, mask in masks.items():
        assert 0.79 < np.abs(x[mask]).max() < 1.15, name
        assert 0.75 < np.abs(y[mask]).max() < 1.15, name
    for one, two in combinations(masks.values(), 2):
        assert (one & two).sum() / (one | two).sum() < 0.85


@pytest.mark.parametrize("name", list(SHAPES))
def test_distances_are_pixels_at_the_edge(name: str) -> None:
    line = np.linspace(-1.2, 1.2, 481)
    x, y = np.meshgrid(line, line)
    distance = SHAPES[name](x, y)
    slope = np.hypot(*np.gradient(distance, line, line))
    assert np.median(slope[np.abs(distance) < 0.03]) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(
    ("verb", "axis", "sign"),
    [("left", 0, -1), ("right", 0, 1), ("up", 1, -1), ("down", 1, 1), ("fall", 1, 1)],
)
def test_directions(verb: str, axis: int, sign: int) -> None:
    for number in range(10):
        mask = dark(verb, number)
        seen = next(m for m in mask[::-1] if m.sum() > 20)
        assert sign * (middle(seen) - middle(mask[0]))[axis] > 4


@pytest.mark.parametrize("number", range(5))
def test_sizes(number: int) -> None:
    def growth(verb: str) -> float:
        mask = dark(verb, number)
        return mask[-1].sum() / mask[0].sum()

    assert growth("closer") > 1.25
    assert growth("away") < 0.6
    assert growth("vanish") == 0
    assert growth("stay") == 1


@pytest.mark.parametrize("verb", ["jump", "bounce", "swing", "spin"])
def test_these_move_in_every_clip(verb: str) -> None:
    for number in range(10):
        mask = dark(verb, number, "heart")
        assert max(np.abs(mask[0] - later).sum() for later in mask[1:]) > 0.2 * mask[0].sum()


def test_files_are_pairs_that_look_like_the_clips_and_are_left_alone(tmp_path: Path) -> None:
    write_clips(tmp_path, 2, seed=7, first=3)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["00003.mp4", "00003.txt", "00004.mp4", "00004.txt"]
    clip, video = draw_clip(7, 4), read_video(tmp_path / "00004.mp4")
    assert (tmp_path / "00004.txt").read_text() == clip.caption + "\n"
    assert video.fps == pytest.approx(FPS)
    assert np.abs(video.frames.astype(float) - clip.frames).mean() < 3
    (tmp_path / "00003.txt").write_text("mine")
    (tmp_path / "00004.mp4").unlink()
    write_clips(tmp_path, 2, seed=7, first=3)
    assert (tmp_path / "00003.txt").read_text() == "mine"
    assert (read_video(tmp_path / "00004.mp4").frames == video.frames).all()
