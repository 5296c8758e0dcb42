"""The judge of scenes says yes to what was drawn and no to what was not."""

from __future__ import annotations

from collections import Counter

import numpy as np

from fbridge.data.scene_judge import (
    RULES,
    background_of,
    judge,
    moved,
    shape_of,
    track,
    turn_of,
)
from fbridge.data.scenes import KNOWN, draw_scene
from fbridge.data.shapes import COLOURS, SHAPES

SCENES = [draw_scene(9, number, things=1) for number in range(32)]


def test_it_agrees_with_what_was_drawn() -> None:
    right: Counter[str] = Counter()
    for scene in SCENES:
        (thing,) = scene.things
        verdict = judge(scene.frames, thing.colour, thing.shape, thing.verb)
        right.update({name: getattr(verdict, name) for name in ("colour", "shape", "motion")})
    assert right["colour"] == len(SCENES)
    assert right["shape"] >= len(SCENES) - 1
    assert right["motion"] >= len(SCENES) - 2


def test_it_denies_other_shapes_and_motions() -> None:
    denied, asked = 0, 0
    for number, scene in enumerate(SCENES):
        (thing,) = scene.things
        seen = track(scene.frames, thing.colour)
        assert seen is not None
        other = [name for name in SHAPES if name != thing.shape][number % 7]
        assert shape_of(seen, turned=thing.verb in ("spin", "fall")) != other
        down, done = {"down", "fall"}, moved(seen, thing.shape)
        for verb in KNOWN:
            if verb != thing.verb and {verb, thing.verb} != down:
                asked += 1
                denied += not RULES[verb](done)
    assert denied / asked > 0.97


def test_a_colour_that_is_not_there_is_not_found() -> None:
    for scene in SCENES[:6]:
        (thing,) = scene.things
        for colour in COLOURS:
            if colour != thing.colour:
                assert track(scene.frames, colour) is None, (scene.caption, colour)


def test_both_of_two_things_are_judged() -> None:
    right = 0
    for number in range(8):
        scene = draw_scene(9, number, things=2)
        for thing in scene.things:
            verdict = judge(scene.frames, thing.colour, thing.shape, thing.verb)
            right += verdict.colour + verdict.shape + verdict.motion
    assert right >= 0.85 * 8 * 2 * 3


def test_a_blurred_blob_is_no_star() -> None:
    y, x = np.mgrid[:64, :64]
    cover = np.exp(-((x - 30) ** 2 + (y - 34) ** 2) / 120)[..., None]
    frame = cover * np.array(COLOURS["red"]) + (1 - cover) * 0.6
    frames = np.repeat((frame * 255).astype(np.uint8)[None], 9, 0)
    verdict = judge(frames, "red", "star", "stay")
    assert (verdict.colour, verdict.shape, verdict.motion) == (True, False, True)


def test_a_turn_is_measured() -> None:
    scene = draw_scene(0, 1, things=1, shape="triangle", colour="blue", verb="spin")
    seen = track(scene.frames, "blue")
    assert seen is not None
    assert abs(turn_of(seen, "triangle")) > 60
    assert turn_of(seen, "circle") == 0


def test_the_background_is_found_behind_things() -> None:
    plain = draw_scene(3, 2, things=1, verb="vanish").frames[-1] / 255
    shown = draw_scene(3, 2, things=1, verb="vanish").frames[0] / 255
    assert np.abs(background_of(shown) - plain).mean() < 0.02


def test_every_verb_has_a_rule() -> None:
    assert set(RULES) == set(KNOWN)
