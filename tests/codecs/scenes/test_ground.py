"""Things before plain grounds."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fbridge.codecs.scenes.ground import with_the_rest

SIZE = (60, 90)
BODY, RIM, APART = (slice(20, 40), slice(30, 60)), (slice(40, 45), slice(32, 58)), slice(5, 12)


def scene(noise: float = 1.0) -> NDArray[np.uint8]:
    """A dark thing with a darker rim on a ground that grows lighter to the right, and a spot."""
    draw = np.random.default_rng(0)
    picture = np.empty((*SIZE, 3))
    picture[:] = np.linspace(180, 220, SIZE[1])[None, :, None] + draw.normal(0, noise, (*SIZE, 3))
    picture[BODY] = (120, 60, 40)
    picture[RIM] = (40, 20, 20)
    picture[APART, APART] = (200, 0, 0)
    return picture.clip(0, 255).round().astype(np.uint8)


def pixels(*places: tuple[slice, slice]) -> NDArray[np.bool_]:
    out = np.zeros(SIZE, bool)
    for place in places:
        out[place] = True
    return out


def test_a_rim_goes_with_the_thing_and_what_lies_apart_does_not() -> None:
    body = pixels(BODY)
    found = with_the_rest(scene(), body, ~body)
    assert np.array_equal(found, pixels(BODY, RIM))


@pytest.mark.parametrize("fades", [True, False])
def test_a_shadow_that_fades_away_stays_and_a_part_with_an_edge_goes_along(fades: bool) -> None:
    body, picture = pixels(BODY), scene().astype(float)
    picture[APART, APART] = picture[30, 5]
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    away = np.hypot(x - 60, y - 30)
    depth = 50 * np.exp(-((away / 7) ** 2)) if fades else 30.0 * (away < 6)
    picture -= (depth * ~body)[..., None]
    found = with_the_rest(picture.clip(0, 255).round().astype(np.uint8), body, ~body)
    assert found[28:33, 61:64].any() == found[28:33, 61:64].all() != fades


def test_other_things_that_move_are_left_to_them() -> None:
    body = pixels(BODY)
    assert np.array_equal(with_the_rest(scene(), body, ~pixels(BODY, RIM)), body)


@pytest.mark.parametrize("noise", [20.0, 60.0])
def test_nothing_is_added_before_a_busy_ground(noise: float) -> None:
    body = pixels(BODY)
    assert np.array_equal(with_the_rest(scene(noise), body, ~body), body)


def test_what_is_much_larger_than_the_thing_is_another_thing() -> None:
    picture = scene()
    picture[40:, 20:70] = (40, 20, 20)
    body = pixels(BODY)
    assert np.array_equal(with_the_rest(picture, body, ~body), body)


def test_the_missing_half_of_a_thing_is_its_own() -> None:
    """Both together are a whole book, however large the half is."""
    half = slice(40, 58), BODY[1]
    picture = scene()
    picture[half] = (150, 60, 90)
    body = pixels(BODY)
    assert np.array_equal(with_the_rest(picture, body, ~body), pixels(BODY, half))
    picture[40:46, 60:88] = (150, 60, 90)  # a pencil beside it, which touches it
    assert np.array_equal(with_the_rest(picture, body, ~body), body)


def test_nothing_stays_nothing() -> None:
    none = np.zeros(SIZE, bool)
    assert not with_the_rest(scene(), none, ~none).any()
    everything = ~none
    assert with_the_rest(scene(), everything, none).all()


def test_what_colours_took_from_a_thing_comes_back_before_a_plain_ground() -> None:
    """A white page of a book before black, and neither what is as black nor a rim."""
    picture, body = scene(), pixels(BODY, RIM)
    top, left = (int(places.min()) for places in np.nonzero(body))
    inner = np.zeros_like(body)
    inner[top + 8 : top + 20, left + 8 : left + 20] = True
    hole = body & ~inner
    assert np.array_equal(with_the_rest(picture, hole, ~body, inner), body)
    plain = picture.copy()
    plain[inner] = plain[0, 0]
    assert np.array_equal(with_the_rest(plain, hole, ~body, inner), hole)
    rim = body & ~hole
    rim[top + 11 :] = False
    assert np.array_equal(with_the_rest(picture, body & ~rim, ~body, rim), body & ~rim)
