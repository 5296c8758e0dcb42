"""Finding a thing once more where it is shown larger."""

from __future__ import annotations

import torch
from torch import Tensor

from fbridge.codecs.matting import resize
from fbridge.codecs.scenes.closer import Area, alone, elsewhere, sharper

SIDE = 240


def thing(rows: slice, columns: slice) -> Tensor:
    mask = torch.zeros(SIDE, SIDE)
    mask[rows, columns] = 1
    return mask


def seen_at(mask: Tensor, probability: float = 0.9) -> Tensor:
    """(12, 12) probability of a noun that is seen in a mask."""
    return resize(mask[None, None], (12, 12))[0, 0] * probability


class Eye:
    """Finds a mask in each part of the picture, and remembers where it looked."""

    def __init__(self, truth: Tensor) -> None:
        self.truth = truth
        self.areas: list[Area] = []

    def __call__(self, area: Area) -> Tensor:
        self.areas.append(area)
        return self.truth[area]


CUP, CHAIR = thing(slice(140, 180), slice(20, 60)), thing(slice(20, 220), slice(10, 230))


def test_a_cup_is_found_alone_on_the_chair_that_was_found_for_it() -> None:
    eye = Eye(CUP)
    found = alone(CHAIR, seen_at(CUP), eye)
    assert found is not None
    assert torch.equal(found, CUP)
    assert len(eye.areas) == 1


def test_the_part_of_the_picture_grows_until_it_cuts_nothing_off() -> None:
    guitar = thing(slice(140, 180), slice(20, 130))
    eye = Eye(guitar)
    found = alone(CHAIR, seen_at(CUP), eye)
    assert found is not None
    assert torch.equal(found, guitar)
    rows, columns = zip(*eye.areas, strict=True)
    assert columns[-1].stop > 130 > columns[0].stop
    assert len({(part.start, part.stop) for part in rows}) == 1, "wider only where it was cut"


def test_a_head_is_no_thing_of_its_own() -> None:
    dog, head = thing(slice(20, 220), slice(80, 160)), thing(slice(20, 60), slice(80, 120))
    assert alone(dog, seen_at(head), Eye(dog)) is None


def test_half_of_a_thing_that_falls_in_two_is_none_of_its_own() -> None:
    halves = thing(slice(60, 180), slice(40, 110)) + thing(slice(60, 180), slice(114, 190))
    whole = thing(slice(60, 180), slice(40, 190))
    assert alone(whole, seen_at(thing(slice(80, 120), slice(120, 160))), Eye(halves)) is None


def test_a_noun_that_is_hardly_seen_or_seen_all_over_is_not_looked_for() -> None:
    eye = Eye(CUP)
    assert alone(CHAIR, seen_at(CUP, 0.3), eye) is None
    assert alone(CHAIR, seen_at(CHAIR), eye) is None
    assert not eye.areas


def test_where_nothing_is_found_the_mask_stays() -> None:
    assert alone(CHAIR, seen_at(CUP), Eye(torch.zeros(SIDE, SIDE))) is None
    assert elsewhere(MAN, seen_at(HORSE, 0.3), Eye(torch.zeros(SIDE, SIDE))) is None


MAN, HORSE = thing(slice(40, 200), slice(40, 100)), thing(slice(60, 180), slice(130, 220))


def test_a_horse_is_looked_for_beside_the_man_who_was_found_for_it() -> None:
    eye = Eye(HORSE + MAN)
    found = elsewhere(MAN, seen_at(HORSE, 0.3), eye)
    assert found is not None
    assert torch.equal(found, HORSE)
    assert eye.areas == [(slice(0, SIDE), slice(100, SIDE))]
    cut = thing(slice(60, 180), slice(90, 220))
    assert elsewhere(MAN, seen_at(HORSE, 0.3), Eye(cut)) is None, "a part of something"
    below = thing(slice(210, 235), slice(60, 90))
    assert elsewhere(MAN, seen_at(below, 0.3), eye) is None, "too narrow for a look"


def test_what_is_seen_in_the_mask_or_hardly_anywhere_is_not_looked_for_beside_it() -> None:
    eye = Eye(HORSE)
    assert elsewhere(MAN, seen_at(HORSE, 0.05), eye) is None
    assert elsewhere(MAN, seen_at(HORSE, 0.3) + seen_at(MAN, 0.1), eye) is None
    assert elsewhere(torch.zeros(SIDE, SIDE), seen_at(HORSE), eye) is None
    assert not eye.areas
    dog = thing(slice(100, 160), slice(130, 170))
    assert elsewhere(MAN, seen_at(HORSE - dog), Eye(dog)) is None, "not where the noun is seen"


def test_a_small_thing_is_the_mean_of_both_looks_and_another_thing_is_not() -> None:
    found = sharper(0.8 * CUP, Eye(0.2 * CUP))
    assert torch.allclose(found[150, 40], torch.tensor(0.5), atol=1e-4)
    assert sharper(CHAIR, Eye(CUP)) is CHAIR, "large"
    assert sharper(CUP, Eye(1 - CUP), 0.5) is CUP, "another one"
