"""Scenes: deterministic, and the truth that comes with them is what is to be seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fbridge.data.scenes import (
    DEMO_SEED,
    KNOWN,
    SCENE_FPS,
    SCENE_FRAMES,
    SCENE_SIZE,
    demo_videos,
    draw_scene,
    write_scenes,
)
from fbridge.data.shape_motions import VERBS
from fbridge.data.shapes import COLOURS, ROUND, SHAPES, noun
from fbridge.data.video_files import read_video

SCENES = [draw_scene(4, number) for number in range(150)]


def test_a_scene_depends_on_its_seed_and_number_alone() -> None:
    first, again, next_one, other = (draw_scene(*at) for at in ((0, 5), (0, 5), (0, 6), (1, 5)))
    assert first.frames.shape == (SCENE_FRAMES, SCENE_SIZE, SCENE_SIZE, 3)
    assert (first.frames == again.frames).all()
    assert first.caption == again.caption
    assert (first.frames != next_one.frames).any()
    assert (first.frames != other.frames).any()


def test_captions_name_all_things_and_how_they_move() -> None:
    wordings = {verb.name: verb.wordings for verb in VERBS}
    for scene in SCENES:
        told = scene.caption.split(" and ") if len(scene.things) == 2 else [scene.caption]
        if "up and down" in scene.caption:
            told = scene.caption.replace("up and down", "up & down").split(" and ")
            told = [part.replace("up & down", "up and down") for part in told]
        for part, thing in zip(told, scene.things, strict=True):
            name = noun(thing.colour, thing.shape)
            assert part in {w.format(name) for w in wordings[thing.verb] if "and fro" not in w}, (
                scene.caption
            )
            assert not (thing.verb == "spin" and thing.shape in ROUND)
    things = [thing for scene in SCENES for thing in scene.things]
    assert {thing.verb for thing in things} == set(KNOWN)
    assert {thing.shape for thing in things} == set(SHAPES)
    assert {thing.colour for thing in things} == set(COLOURS)
    shares = np.mean([len(scene.things) == 2 for scene in SCENES])
    assert 0.2 < shares < 0.5


def test_two_things_differ_in_colour_and_shape() -> None:
    for scene in SCENES:
        if len(scene.things) == 2:
            one, two = scene.things
            assert one.colour != two.colour
            assert one.shape != two.shape


def test_covers_are_where_the_colours_are() -> None:
    for scene in SCENES:
        front = scene.things[-1]
        whole = front.cover > 0.99
        if whole.sum() > 50:
            seen = scene.frames[whole] / 255
            assert np.abs(seen - np.array(COLOURS[front.colour])).max() < 0.1


def test_things_are_whole_in_the_first_frame() -> None:
    for scene in SCENES:
        for thing in scene.things:
            first = thing.cover[0]
            assert first.sum() > 25
            edges = (first[0], first[-1], first[:, 0], first[:, -1])
            assert max(float(edge.max()) for edge in edges) < 0.9


def test_what_is_asked_for_is_drawn() -> None:
    scene = draw_scene(0, 3, things=2, shape="star", colour="red", verb="left")
    thing = scene.things[0]
    assert (thing.shape, thing.colour, thing.verb) == ("star", "red", "left")
    assert len(scene.things) == 2
    assert "a red star" in scene.caption


def test_takes_differ_in_the_motion_alone() -> None:
    for number in range(20):
        scene = draw_scene(4, number)
        takes = [draw_scene(4, number, take=take) for take in (1, 1, 2)]
        for take in takes:
            assert (take.frames[0] == scene.frames[0]).all()
            assert take.caption == scene.caption
        assert (takes[0].frames == takes[1].frames).all()
        if any(thing.verb != "stay" for thing in scene.things):
            assert (takes[0].frames != scene.frames).any()
            assert (takes[0].frames != takes[2].frames).any()


def test_another_rate_and_size_show_the_same() -> None:
    scene = draw_scene(2, 9)
    finer = draw_scene(2, 9, count=2 * SCENE_FRAMES - 1, size=2 * SCENE_SIZE)
    small = finer.frames[::2].reshape(SCENE_FRAMES, SCENE_SIZE, 2, SCENE_SIZE, 2, 3).mean((2, 4))
    assert np.abs(small - scene.frames).mean() < 1.5


def test_written_scenes_are_kept(tmp_path: Path) -> None:
    write_scenes(tmp_path, 2, seed=7, first=3)
    video = read_video(tmp_path / "00004.mp4")
    scene = draw_scene(7, 4)
    assert video.fps == pytest.approx(SCENE_FPS)
    assert np.abs(video.frames.astype(float) - scene.frames).mean() < 3
    (tmp_path / "00003.txt").write_text("mine")
    (tmp_path / "00004.mp4").unlink()
    write_scenes(tmp_path, 2, seed=7, first=3)
    assert (tmp_path / "00003.txt").read_text() == "mine"
    assert (read_video(tmp_path / "00004.mp4").frames == video.frames).all()


def test_the_demo_lies_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FBRIDGE_CACHE", str(tmp_path))
    folder = demo_videos(2)
    assert folder.is_relative_to(tmp_path)
    assert sorted(path.stem for path in folder.glob("*.mp4")) == ["00000", "00001"]
    assert (folder / "00001.txt").read_text().strip() == draw_scene(DEMO_SEED, 1).caption
