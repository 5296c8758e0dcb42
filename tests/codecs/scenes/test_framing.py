"""Motions that show no cut and no border."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fbridge.codecs.render import (
    ANGLE,
    CHANNELS,
    LOG_SCALE,
    TX,
    TY,
    bend,
    half_size,
    pixel_grid,
    unmove,
)
from fbridge.codecs.scenes.framing import constrain, held_by, limits, move
from fbridge.codecs.scenes.outline import contacts, grazes, moves_whole
from fbridge.codecs.scenes.render import ZOOM_OUT
from tests.codecs.scenes.pictures import HEIGHT, WIDTH, disc, motion, scene

HALF = torch.tensor(half_size(HEIGHT, WIDTH))
LOW = float(HALF[1])


def cut_by(edge: str) -> Tensor:
    """An object that one of the frame's edges, or two at a corner, cut."""
    places = {"bottom": (0.1, LOW), "left": (-float(HALF[0]), 0.0), "corner": (float(HALF[0]), LOW)}
    return disc(*places[edge], 0.45)


def uncovered(alpha: Tensor, centre: Tensor, extent: Tensor, motions: Tensor) -> float:
    """The greatest distance of the cut pixels, moved, from beyond their edges."""
    grid = pixel_grid(HEIGHT, WIDTH, alpha)
    worst = 0.0
    rows = (
        (alpha[:, 0], grid[:, 0], 0, -1), (alpha[:, -1], grid[:, -1], 0, 1),
        (alpha[0], grid[0], 1, -1), (alpha[-1], grid[-1], 1, 1),
    )  # fmt: skip
    for cover, places, axis, sign in rows:
        points = places[cover > 0.5].clone()
        points[:, axis] = sign * HALF[axis]
        rest = points[None].expand(len(motions), -1, -1) - centre
        bent = 2 * rest - bend(rest[:, None], motions, extent)[:, 0]
        inside = HALF[axis] - sign * move(bent + centre, motions, centre)[..., axis]
        worst = max(worst, float(inside.max())) if len(points) else worst
    return worst


@pytest.mark.parametrize("edge", ["bottom", "left", "corner"])
@pytest.mark.parametrize(
    "asked",
    [
        {"TY": -0.6}, {"TX": 0.7}, {"TX": -0.5}, {"LOG_SCALE": -0.9}, {"LOG_SCALE": 0.5},
        {"ANGLE": 0.4}, {"ANGLE": 6.0}, {"TY": -0.3, "TX": 0.2, "LOG_SCALE": -0.3, "STRETCH": 0.2},
    ],
)  # fmt: skip
def test_the_cut_of_an_object_never_shows(edge: str, asked: dict[str, float]) -> None:
    alpha = cut_by(edge)
    stage = scene(alpha)
    assert not stage.whole[0]
    asked_motion = motion(12, 0, **asked)
    given = constrain(stage, asked_motion)[:, 0]
    place = stage.centre[0], stage.extent[0]
    assert uncovered(alpha, *place, given) < 2 / HEIGHT
    assert not given[0].any()
    assert given.abs().max() > 0.05  # it still moves
    toward_edge = {"bottom": {"TX", "LOG"}, "left": {"TX"}, "corner": set()}[edge]
    if set(asked) == {"TX"} and "TX" in toward_edge and asked["TX"] < 0:
        assert torch.allclose(given, asked_motion[:, 0], atol=1e-4)


@pytest.mark.parametrize("turn", [-2.0, 2.3, 6.3, 8.0])
def test_a_cut_object_that_should_spin_rocks_to_both_sides(turn: float) -> None:
    angle = constrain(scene(cut_by("bottom")), motion(32, 0, ANGLE=turn))[:, 0, ANGLE]
    assert angle.max() > 0.28
    assert angle.min() < -0.28
    assert angle[-1].abs() < 0.1


def test_a_cut_object_that_rolls_away_from_its_edge_is_not_blown_up() -> None:
    alpha = cut_by("left")
    stage = scene(alpha)
    asked = motion(12, 0, TX=0.7, ANGLE=1.2)
    given = constrain(stage, asked)[:, 0]
    assert float(given[:, LOG_SCALE].exp().max()) < 1.7  # 2.3 with all of the turn
    assert given[:, TX].max() > 0.05
    assert uncovered(alpha, stage.centre[0], stage.extent[0], given) < 2 / HEIGHT


def test_a_jump_of_an_object_on_the_lower_edge_goes_up_and_grows_a_little() -> None:
    stage = scene(cut_by("bottom"))
    jump = motion(24)
    jump[:, 0, TY] = -0.3 * (torch.linspace(0, 3.1416, 24)).sin()
    given = constrain(stage, jump)[:, 0]
    assert -0.3 < float(given[:, TY].min()) < -0.05
    assert 0 < float(given[:, LOG_SCALE].max()) < 0.27
    assert float(given[:, LOG_SCALE].diff().abs().max()) < 0.08


def test_an_object_within_the_frame_moves_as_asked() -> None:
    stage = scene(disc(0, 0))
    asked = motion(9, TX=0.4, TY=-0.3, ANGLE=2.0, LOG_SCALE=-0.5)
    assert torch.allclose(constrain(stage, asked), asked, atol=1e-5)


def test_the_first_frame_is_at_rest_and_jitter_is_damped() -> None:
    stage = scene(disc(0, 0))
    noise = torch.randn(32, generator=torch.Generator().manual_seed(0))
    asked = motion(32, TX=0.4)
    asked[:, 0, TX] += 0.01 * noise + 0.2
    given = constrain(stage, asked)
    assert not given[0].any()
    assert given[:, 0, TX].diff(n=2).std() < 0.6 * asked[:, 0, TX].diff(n=2).std()


def test_a_shake_keeps_its_size_and_what_stands_still_stays_so() -> None:
    stage = scene(disc(0, 0))
    asked = motion(32)
    asked[:, 0, TX] = 0.1 * (torch.arange(32) * 2 * 3.1416 / 6).sin()
    given = constrain(stage, asked)
    assert given[:, 0, TX].std() > 0.85 * asked[:, 0, TX].std()
    assert not given[:, 1:].any()


@pytest.mark.parametrize(
    "asked",
    [
        {"TX": 0.5}, {"TY": -0.4, "TX": 0.3}, {"ANGLE": 0.6}, {"ANGLE": 6.2}, {"LOG_SCALE": 0.5},
        {"LOG_SCALE": -0.15}, {"LOG_SCALE": -0.6}, {"TX": 0.4, "LOG_SCALE": -0.3, "ANGLE": 0.2},
    ],
)  # fmt: skip
def test_the_camera_never_sees_beyond_the_picture(asked: dict[str, float]) -> None:
    stage = scene(torch.zeros(HEIGHT, WIDTH))
    asked_motion = motion(12, 2, **asked)
    given = constrain(stage, asked_motion)[:, 2]
    grid = pixel_grid(HEIGHT, WIDTH, torch.zeros(()))
    seen = bend(unmove(grid, given, torch.zeros(2)), given, HALF).abs() / HALF
    room = ZOOM_OUT if min(asked.get("LOG_SCALE", 0.0), 0.0) else 1.0
    assert float(seen.max()) <= room + 1e-4
    assert not given[0].any()
    if set(asked) == {"LOG_SCALE"}:
        most = max(asked["LOG_SCALE"], -float(torch.tensor(ZOOM_OUT).log()))
        assert float(given[-1, LOG_SCALE]) == pytest.approx(most, abs=1e-4)
    if "ANGLE" in asked:
        assert torch.allclose(given[:, ANGLE], asked_motion[:, 2, ANGLE], atol=1e-5)


def test_a_rippling_view_stays_within_the_picture() -> None:
    stage = scene(torch.zeros(HEIGHT, WIDTH))
    asked = motion(9)
    wave = torch.randn(18, generator=torch.Generator().manual_seed(1))
    asked[:, 2, 8:] = torch.linspace(0, 0.06, 9)[:, None] * wave
    given = constrain(stage, asked)[:, 2]
    grid = pixel_grid(HEIGHT, WIDTH, torch.zeros(()))
    seen = bend(unmove(grid, given, torch.zeros(2)), given, HALF).abs() / HALF
    assert float(seen.max()) <= 1 + 1e-4


def test_what_fills_the_frame_moves_it_whole() -> None:
    alpha = disc(0, 0, 0.9)
    assert moves_whole(alpha)
    given = constrain(scene(alpha), motion(9, TX=0.08, ANGLE=1.0))
    assert not given[:, 0].any()
    assert float(given[-1, 2, TX]) == pytest.approx(0.08, abs=1e-4)
    assert float(given[-1, 2, ANGLE]) == pytest.approx(1.0, abs=1e-4)
    assert float(given[-1, 2, LOG_SCALE]) > 0.2


def test_a_picture_that_rolls_whole_is_hardly_turned() -> None:
    """What is left between the corners of a turned frame was shown 2.4 times as large."""
    for turn in (0.76, 3.5):
        given = constrain(scene(disc(0, 0, 0.9)), motion(32, TX=0.4, ANGLE=turn))[:, 2]
        assert float(given[-1, TX]) == pytest.approx(0.4, abs=1e-3)
        assert float(given[:, ANGLE].abs().max()) == pytest.approx(0.15, abs=0.01)
        assert float(given[:, LOG_SCALE].max().exp()) < 1.75
    turned = constrain(scene(disc(0, 0, 0.9)), motion(32, ANGLE=3.5))[:, 2]
    assert float(turned[-1, ANGLE]) == pytest.approx(3.5, abs=1e-3), "what spins does turn"


@pytest.mark.parametrize(
    "asked", [{"TX": 0.3}, {"TX": -0.4}, {"TY": -0.3}, {"ANGLE": 0.2}, {"LOG_SCALE": 0.3}]
)
def test_what_spans_the_frame_moves_in_it_and_shows_no_cut(asked: dict[str, float]) -> None:
    """Such as the shoulders of a portrait."""
    alpha = (pixel_grid(HEIGHT, WIDTH, torch.zeros(()))[..., 1].abs() < 0.25).float()
    stage = scene(alpha)
    given = constrain(stage, motion(12, 0, **asked))
    assert uncovered(alpha, stage.centre[0], stage.extent[0], given[:, 0]) < 2 / HEIGHT
    assert given[:, 0].abs().max() > 0.05
    assert not given[:, 2].any()


def test_what_spans_the_frame_and_should_shrink_takes_the_frame_along() -> None:
    alpha = (pixel_grid(HEIGHT, WIDTH, torch.zeros(()))[..., 1].abs() < 0.25).float()
    given = constrain(scene(alpha), motion(12, 0, LOG_SCALE=-0.2))
    assert not given[:, 0].any()
    assert given[-1, 2, LOG_SCALE] < -0.1


def test_a_whole_object_vanishes_into_darkness() -> None:
    given = constrain(scene(disc(0, 0, 0.9)), motion(9, FADE=1.0))
    assert given.shape[-1] == CHANNELS
    assert float(given[-1, 2].min()) < -2


def test_contacts_are_where_the_frame_cuts() -> None:
    ranges = contacts(cut_by("bottom"))
    assert ranges[:3].isnan().all()
    assert torch.allclose(ranges[3], torch.tensor([0.1 - 0.45, 0.1 + 0.45]), atol=0.03)
    assert contacts(disc(0, 0)).isnan().all()
    assert not moves_whole(cut_by("corner"))
    assert moves_whole((pixel_grid(HEIGHT, WIDTH, torch.zeros(()))[..., 1] > 0.2).float())


@pytest.mark.parametrize("unseen", [0.01, 0.04, 0.06])
@pytest.mark.parametrize("edge", ["left", "top"])
def test_an_edge_that_takes_a_little_of_a_round_thing_only_grazes_it(
    edge: str, unseen: float
) -> None:
    inside = 0.45 * (1 - 2 * unseen)
    place = {"left": (inside - float(HALF[0]), 0.0), "top": (0.1, inside - LOW)}[edge]
    alpha = disc(*place, 0.45)
    begin, end, beyond = grazes(alpha)[{"left": 0, "top": 2}[edge]].tolist()
    pixels = 0.45 * HEIGHT / (2 * LOW)
    assert beyond == pytest.approx(2 * unseen * pixels, abs=0.8)
    assert (begin + end) / 2 == pytest.approx({"left": 36, "top": 52}[edge], abs=1)
    assert contacts(alpha).isnan().all()
    asked = motion(9, TX=0.4, TY=0.3, ANGLE=2.0)
    assert torch.allclose(constrain(scene(alpha), asked), asked, atol=1e-5)


@pytest.mark.parametrize("unseen", [0.2, 0.3, 0.5, 0.7])
def test_what_an_edge_takes_more_of_is_cut(unseen: float) -> None:
    alpha = disc(0.1, 0.45 * (1 - 2 * unseen) - LOW, 0.45)
    assert grazes(alpha).isnan().all()
    assert not contacts(alpha)[2].isnan().any()


def test_a_straight_thing_is_cut_however_little_of_it_is_seen_to_end() -> None:
    """Such as legs: nothing tells how far they go on."""
    alpha = torch.zeros(HEIGHT, WIDTH)
    alpha[20:, 40:60] = 1
    assert grazes(alpha).isnan().all()
    assert not contacts(alpha)[3].isnan().any()


def test_what_the_frame_makes_of_a_motion_is_told() -> None:
    whole, free, cut = disc(0, 0, 0.9), disc(0, 0), cut_by("bottom")
    assert limits(whole, "jump") == "the frame is filled by the {}; all of the picture goes with it"
    assert limits(whole, "jump", surely=True) == ""
    assert limits(cut, "jump") == "the lower edge cuts the {}; it stays there and grows"
    rocks = "the lower edge cuts the {}; it rocks to and fro in place of turning"
    assert limits(cut, "spin") == limits(cut, "roll left") == rocks
    assert limits(cut, "left") == limits(whole, "stay") == ""
    assert {limits(free, verb) for verb in ("jump", "spin", "roll left", "away")} == {""}
    spanning = (pixel_grid(HEIGHT, WIDTH, torch.zeros(()))[..., 1].abs() < 0.25).float()
    assert limits(spanning, "away") == "opposite edges cut the {}; all of the picture goes with it"
    assert limits(spanning, "closer") == ""


def test_the_edge_is_named_that_a_cut_thing_would_have_to_leave() -> None:
    alpha = cut_by("bottom")
    assert held_by(alpha, "jump") == "lower"
    assert held_by(alpha, "up") == "lower"
    assert held_by(alpha, "fall") is None
    assert held_by(alpha, "spin") is None
    assert held_by(cut_by("left"), "roll right") == "left"
    assert held_by(disc(0, 0), "jump") is None
    assert held_by(disc(0, 0, 0.9), "jump") is None


def test_what_is_cut_grows_by_three_tenths_at_most_as_it_moves_away() -> None:
    given = constrain(scene(cut_by("bottom")), motion(12, 0, TY=-0.8))[:, 0]
    assert 1.2 < float(given[:, LOG_SCALE].exp().max()) < 1.31
    assert given[:, TY].min() < -0.04
