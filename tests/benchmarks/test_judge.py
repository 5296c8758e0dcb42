"""What benchmarks/judge finds of a textured square over a textured ground."""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from benchmarks.judge.measure import Measured, changed, measure_camera, measure_object
from benchmarks.judge.outline import drawn_mask, fitted_box, object_mask
from benchmarks.judge.verdicts import faults, judge, reversals
from tests.benchmarks.square import (
    BOX,
    FRAMES,
    HEIGHT,
    LEFT,
    SIDE,
    TOP,
    WAVE,
    WIDTH,
    Picture,
    ground,
    growing,
    mask,
    scene,
    texture,
    video,
)


def judged(verb: str, frames: list[Picture]) -> tuple[str, Measured]:
    found = measure_object(frames, mask())
    return judge(verb, found.motion), found


def faults_of(verb: str, frames: list[Picture]) -> list[str]:
    verdict, found = judged(verb, frames)
    return faults({"verdict": verdict, **found.row()})


@pytest.mark.parametrize(
    ("verb", "frames", "verdict"),
    [
        ("jump", lambda: video(down=-15), "right"),
        ("jump", lambda: video(down=15), "wrong"),
        ("jump", lambda: video(down=-2), "hardly"),
        ("left", lambda: video(right=-15), "right"),
        ("left", lambda: video(right=15), "wrong"),
        ("left", lambda: video(right=-2), "hardly"),
        ("spin", lambda: video(turn=1), "right"),
        ("spin", lambda: video(turn=0.2), "hardly"),
        ("closer", lambda: growing(1.3), "right"),
        ("closer", lambda: growing(0.75), "wrong"),
        ("closer", lambda: growing(1.03), "hardly"),
    ],
)
def test_a_video_is_judged_by_which_way_and_how_far_its_thing_moves(
    verb: str, frames: Callable[[], list[Picture]], verdict: str
) -> None:
    assert judged(verb, frames())[0] == verdict


def test_a_motion_is_measured_in_heights_scale_and_radians() -> None:
    frames = [scene(-12 * s, -18 * s, 1 + 0.2 * s, 0.5 * s) for s in WAVE]
    found = measure_object(frames, mask())
    at = FRAMES // 2
    assert found.peak == at
    assert found.motion.right[at] == pytest.approx(-12 / HEIGHT, abs=0.005)
    assert found.motion.down[at] == pytest.approx(-18 / HEIGHT, abs=0.005)
    assert found.motion.growth[at] == pytest.approx(math.log(1.2), abs=0.02)
    assert found.motion.turn[at] == pytest.approx(0.5, abs=0.02)
    assert found.lost == 0


def test_a_whole_thing_that_moves_over_a_still_ground_is_clean() -> None:
    verdict, found = judged("jump", video(down=-15))
    assert faults({"verdict": verdict, **found.row()}) == []
    assert found.rigid == pytest.approx(1, abs=0.05)
    assert (found.bg_psnr, found.ghost) == (60, 0)
    assert found.bg_dragged == pytest.approx(0, abs=0.04)


def test_ground_that_the_thing_covers_is_not_dragged() -> None:
    """Points in its way are followed on with its outline, and no longer show the ground."""
    found = measure_object(growing(1.6), mask())
    assert found.bg_dragged == 0
    assert found.bg_swept is not None
    assert found.bg_swept > 0.08


def test_a_rubber_sheet_is_not_clean() -> None:
    """All moves with the middle of the square, less the farther away."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    distance = np.hypot(columns - LEFT - SIDE / 2, rows - TOP - SIDE / 2)
    pull = 20 * np.exp(-((distance / 40) ** 2))
    places = [rows + np.float32(share) * pull for share in WAVE]
    sheet = [cv2.remap(scene(), columns, place, cv2.INTER_LINEAR) for place in places]
    assert faults_of("jump", [frame.astype(np.uint8) for frame in sheet]) == ["ground dragged"]


def test_a_thing_of_which_only_a_part_moves_is_not_clean() -> None:
    """The upper part jumps off the lower one, which is as it was in the first frame."""
    frames, cut = video(down=-20), TOP + 28
    for k, frame in enumerate(frames):
        frame[cut - round(20 * WAVE[k]) : cut] = ground()[cut - round(20 * WAVE[k]) : cut]
        frame[cut:] = scene()[cut:]
    assert faults_of("jump", frames) == ["thing torn", "ghost left"]


def test_a_ghost_is_seen() -> None:
    """The square is still there where the moved one does not cover it."""
    moved = video(right=-30)
    cover = [np.abs(f.astype(int) - ground()).max(2, keepdims=True) > 0 for f in moved]
    assert faults_of("left", moved) == []
    ghost = [np.where(c, f, scene()) for c, f in zip(cover, moved, strict=True)]
    assert faults_of("left", ghost) == ["ghost left"]


def test_a_dragged_ground_is_seen() -> None:
    """The square goes left, and all to the left of it as well."""
    frames = []
    for share in WAVE:
        frame = scene(right=-15 * share)
        shifted = np.roll(frame, -round(8 * share), axis=1)
        frame[:, : LEFT - 16] = shifted[:, : LEFT - 16]
        frames.append(frame)
    found = judged("left", frames)[1]
    assert found.bg_dragged is not None
    assert found.bg_dragged > 0.15
    assert found.bg_swept is not None
    assert found.bg_swept > 0.15
    assert found.bg_psnr is not None
    assert found.bg_psnr < 30


def test_the_camera_is_followed_by_the_whole_picture() -> None:
    wide = texture(2, HEIGHT, WIDTH + 20, 0, 255)
    frames = [wide[:, k : k + WIDTH].copy() for k in range(0, 20, 2)]
    found = measure_camera(frames)
    assert judge("pan right", found.motion) == "right"
    assert judge("pan left", found.motion) == "wrong"
    assert found.most == pytest.approx(18 / HEIGHT, abs=0.01)


def test_to_shake_and_to_swing_is_to_turn_back() -> None:
    still = measure_object([scene()] * FRAMES, mask()).motion
    wave = np.sin(np.linspace(0, 4 * math.pi, FRAMES))
    shaken, pushed = still._replace(right=0.02 * wave), still._replace(right=0.02 * WAVE)
    assert [judge("shake", motion) for motion in (shaken, pushed, still)] == [
        "right", "hardly", "hardly",
    ]  # fmt: skip
    assert judge("swing", still._replace(turn=0.2 * wave)) == "right"
    assert judge("swing", still._replace(turn=np.linspace(0, 1, FRAMES))) == "hardly"
    assert reversals(wave, 0.5) == 4
    assert reversals(np.array([0.0, 0.1, 0, 0.1]), 0.5) == 0


def test_the_thing_is_found_in_its_box() -> None:
    x, y = 6 / WIDTH, 6 / HEIGHT
    found, how = object_mask(scene(), (BOX[0] - x, BOX[1] - y, BOX[2] + x, BOX[3] + y))
    assert how == "grabcut"
    assert ((found > 0) & (mask() > 0)).sum() / ((found > 0) | (mask() > 0)).sum() > 0.85
    found, how = object_mask(scene(), (0, 0, 1, 1))
    assert how == "ellipse"
    assert found.mean() == pytest.approx(math.pi * 0.38**2, abs=0.02)


def test_a_box_follows_the_crop_of_its_picture() -> None:
    assert fitted_box((0.25, 0.1, 0.75, 1), (200, 100), (100, 100)) == pytest.approx((0, 0.1, 1, 1))
    assert fitted_box(BOX, (200, 100), (100, 50)) == pytest.approx(BOX)


def test_an_outline_is_filled_and_follows_the_crop_of_its_picture() -> None:
    left, top, right, bottom = BOX
    outline = ((left, top), (right, top), (right, bottom), (left, bottom))
    drawn = drawn_mask([outline], (WIDTH, HEIGHT), (WIDTH, HEIGHT))
    assert ((drawn > 0) & (mask() > 0)).sum() / ((drawn > 0) | (mask() > 0)).sum() > 0.9
    triangle, far = ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)), ((0.9, 0.9), (1.0, 0.9), (1.0, 1.0))
    both = drawn_mask([triangle, far], (200, 100), (200, 100))
    assert both.mean() == pytest.approx(0.505, abs=0.02)
    assert drawn_mask([triangle], (200, 100), (100, 100)).mean() == pytest.approx(0.5, abs=0.02)
    assert drawn_mask([far], (200, 100), (100, 100)).sum() == 0


def test_change_is_the_share_of_pixels_that_differ_most() -> None:
    first = np.zeros((10, 10, 3), np.uint8)
    half = first.copy()
    half[:5] = 200
    assert changed([first, half, first]) == 0.5
