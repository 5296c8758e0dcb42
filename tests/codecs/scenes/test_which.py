"""One of several things of a kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from fbridge.codecs.scenes.finder import Finder
from fbridge.codecs.scenes.nouns import packaged_nouns
from fbridge.codecs.scenes.which import Answer, choose, coloured, parted
from fbridge.generate.load import load_pipeline

SIDE = 60
PLACES = {"red": slice(4, 18), "blue": slice(24, 36), "white": slice(40, 56)}
"""Columns of three things."""


def picture() -> Tensor:
    found = torch.full((3, SIDE, SIDE), 0.5)
    colours = {"red": (0.9, 0.1, 0.1), "blue": (0.1, 0.2, 0.9), "white": (0.95, 0.95, 0.95)}
    for name, columns in PLACES.items():
        found[:, 20:44, columns] = torch.tensor(colours[name])[:, None, None]
    return found


def masks(*names: str) -> Tensor:
    """One mask of all, as is found without a focus."""
    found = torch.zeros(1, SIDE, SIDE)
    for name in names:
        found[:, 20:44, PLACES[name]] = 0.9
    return found


def chosen(told: tuple[str, ...], *names: str, several: bool = False) -> tuple[set[str], Answer]:
    mask, answer = choose(
        masks(*(names or PLACES)), torch.ones(4, 4), picture(), told, several=several
    )
    if mask is None:
        return set(), answer
    return {name for name, columns in PLACES.items() if mask[30, columns].min() > 0.5}, answer


@pytest.mark.parametrize(
    ("told", "name"),
    [
        (("red",), "red"),
        (("blue",), "blue"),
        (("white",), "white"),
        (("left",), "red"),
        (("right",), "white"),
        (("middle",), "blue"),
        (("largest",), "white"),
        (("smallest",), "blue"),
        (("large",), "white"),
        (("small",), "blue"),
        (("second",), "blue"),
        (("left", "second"), "blue"),
        (("right", "third"), "red"),
        (("third",), "white"),
    ],
)
def test_colour_place_or_size_tells_which(told: tuple[str, ...], name: str) -> None:
    assert chosen(told) == ({name}, Answer.FITS)


def test_of_four_things_the_one_in_a_corner_is_found() -> None:
    mask = torch.zeros(1, SIDE, SIDE)
    for row, column in ((4, 12), (10, 40), (36, 4), (40, 46)):
        mask[:, row : row + 12, column : column + 12] = 0.9
    found = {}
    for told in (("top", "left"), ("right", "top"), ("bottom", "left"), ("bottom", "right")):
        one, answer = choose(mask, torch.ones(4, 4), picture(), told, several=False)
        assert one is not None
        assert answer is Answer.FITS
        found[told] = tuple((one > 0.5).nonzero()[0].tolist())
    assert found == {
        ("top", "left"): (4, 12),
        ("right", "top"): (10, 40),
        ("bottom", "left"): (36, 4),
        ("bottom", "right"): (40, 46),
    }


def test_several_of_a_colour_are_all_meant() -> None:
    assert chosen(("red",), several=True) == ({"red"}, Answer.FITS)
    assert chosen(("left",), several=True)[0] == set(PLACES)


def test_where_there_is_no_such_thing_it_is_said() -> None:
    assert chosen(("green",)) == (set(), Answer.OTHER)
    assert chosen(("red",), "red") == (set(), Answer.FITS), (
        "of one thing there is nothing to choose"
    )
    assert chosen(("blue",), "red") == (set(), Answer.OTHER)
    assert chosen(("right",), "red") == (set(), Answer.OTHER)
    assert chosen(("left",), "red") == (set(), Answer.FITS)
    assert chosen(("fourth",)) == (set(), Answer.OTHER)
    assert chosen(("second",), "red") == (set(), Answer.OTHER)


def test_things_that_touch_are_not_taken_for_the_one_at_a_side() -> None:
    """Two men side by side are one part of the mask, in the middle of the picture."""
    touching = torch.zeros(1, SIDE, SIDE)
    touching[:, 20:44, 14:50] = 0.9
    for told in ("right", "left", "top", "middle"):
        expected = Answer.FITS if told == "middle" else Answer.JOINED
        for several in (False, True):
            mask, answer = choose(touching, torch.ones(4, 4), picture(), (told,), several=several)
            assert mask is None
            assert answer is (Answer.FITS if several else expected)


def discs(*places: tuple[int, int, int]) -> Tensor:
    """(SIDE, SIDE) a mask of discs, each given by its row, column and radius."""
    y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    return (
        torch.stack([((y - r) ** 2 + (x - c) ** 2 < size**2) for r, c, size in places]).any(0) * 0.9
    )


@pytest.mark.parametrize(
    ("told", "places", "columns"),
    [
        ("left", ((30, 18, 13), (30, 41, 12)), slice(6, 31)),
        ("right", ((30, 18, 13), (30, 41, 12)), slice(29, 53)),
        ("left", ((18, 30, 13), (41, 30, 12)), None),  # head and shoulders
        ("left", ((30, 24, 16), (30, 45, 7)), None),  # a car and its wheel
        ("left", ((30, 24, 14), (30, 32, 14)), None),  # nothing narrower between them
        ("middle", ((30, 18, 13), (30, 41, 12)), None),
    ],
)
def test_two_things_that_touch_come_apart_where_they_are_narrow(
    told: str, places: tuple[tuple[int, int, int], ...], columns: slice | None
) -> None:
    found = parted(discs(*places), torch.ones(4, 4), (told,))
    if columns is None:
        assert found is None
        return
    assert found is not None
    first, last = (found > 0.5).any(0).nonzero()[[0, -1], 0].tolist()
    assert abs(first - columns.start) <= 1
    assert abs(last - (columns.stop - 1)) <= 1


def test_what_shows_no_noun_in_one_half_does_not_come_apart() -> None:
    both = discs((30, 18, 13), (30, 41, 12))
    seen = torch.zeros(4, 4)
    seen[:, 3] = 0.9
    assert parted(both, seen, ("left",)) is None
    assert parted(both, torch.full((4, 4), 0.1), ("left",)) is None


def test_what_reaches_down_farther_is_in_front() -> None:
    far_and_near = torch.zeros(1, SIDE, SIDE)
    far_and_near[:, 4:40, 4:30] = 0.9  # larger, and it ends higher
    far_and_near[:, 24:52, 36:56] = 0.9
    near, far = slice(36, 56), slice(4, 30)
    for told, columns in {"front": near, "back": far}.items():
        mask, answer = choose(far_and_near, torch.ones(4, 4), picture(), (told,), several=False)
        assert mask is not None
        assert answer is Answer.FITS
        assert (mask > 0.5).any(0).nonzero()[[0, -1], 0].tolist() == [
            columns.start,
            columns.stop - 1,
        ]


def test_of_one_thing_none_is_the_smaller_one() -> None:
    for told, expected in {
        "smallest": Answer.JOINED, "largest": Answer.JOINED, "small": Answer.FITS,
        "large": Answer.FITS,
    }.items():  # fmt: skip
        answer = choose(masks("white"), torch.ones(4, 4), picture(), (told,), several=False)[1]
        assert answer is expected


def test_of_things_that_touch_one_may_be_the_middle_one_or_wear_the_colour() -> None:
    broad = torch.zeros(1, SIDE, SIDE)
    broad[:, 20:44, 4:56] = 0.9  # the red, the blue and the white one
    for told in ("middle", "red", "blue"):
        _, answer = choose(broad, torch.ones(4, 4), picture(), (told,), several=False)
        assert answer is Answer.JOINED
    tall = torch.zeros(1, SIDE, SIDE)
    tall[:, 2:58, 4:56] = 0.9  # one man with something red
    red = torch.ones(4, 4), picture(), ("red",)
    assert choose(tall, *red, several=False)[1] is Answer.FITS
    assert choose(masks("red"), *red, several=False)[1] is Answer.FITS


def test_where_the_noun_is_hardly_seen_the_colour_tells() -> None:
    seen = torch.zeros(4, 4)
    seen[2, 3] = 0.2  # more at the white one
    assert choose(masks(*PLACES), seen, picture(), ("red",), several=False)[1] is Answer.FITS
    assert choose(masks(*PLACES), 4 * seen, picture(), ("red",), several=False)[0] is None


def test_another_thing_is_found_where_the_look_is_led() -> None:
    """The first mask shows one thing alone, a second one the other."""
    both = torch.cat([masks("white"), masks("red")])
    mask, answer = choose(both, torch.ones(4, 4), picture(), ("left",), several=False)
    assert answer is Answer.FITS
    assert mask is not None
    assert mask[30, PLACES["red"]].min() > 0.5
    assert not mask[:, 30:].any()


def test_a_piece_of_a_thing_is_no_other_thing() -> None:
    piece = masks("white")
    piece[:, :, :50] = 0
    both = torch.cat([masks("white"), piece])
    for told in ("left", "right", "smallest"):
        mask, _ = choose(both, torch.ones(4, 4), picture(), (told,), several=False)
        assert mask is None


def test_a_colour_within_a_name_tells_nothing() -> None:
    known = packaged_nouns()
    for noun, adjectives in {
        "golden retriever": "", "red fox": "", "small golden retrievers": "small",
        "golden ball": "golden", "left parrot": "left", "blue gizmo": "blue", "cat": "",
    }.items():  # fmt: skip
        assert known.adjectives(noun) == adjectives


def test_colours_are_told_by_hue_and_greys_by_brightness() -> None:
    for name, columns in PLACES.items():
        share = coloured(picture(), name)[20:44, columns].float().mean()
        assert share == 1
        assert not coloured(picture(), name)[:15].any()
    assert coloured(picture(), "grey")[:15].all()


@torch.no_grad()
def test_of_two_cats_in_a_photograph_the_one_that_is_meant_is_found() -> None:
    codec = load_pipeline("embedded").pipeline.components["codec"]
    one = Image.open(Path(__file__).parents[3] / "examples" / "cat.jpg").convert("RGB")
    one = one.resize((224, 224))
    tinted = np.asarray(one).astype(np.float32)[:, ::-1] * [0.25, 0.45, 1.0]
    pixels = np.concatenate([np.asarray(one), tinted.astype(np.uint8)], 1)
    finder = Finder(
        codec.decoder, torch.from_numpy(pixels).permute(2, 0, 1) / 255, torch.device("cpu")
    )
    for noun, left in (("left cat", True), ("right cat", False), ("blue cat", False)):
        mask = finder.mask(noun)
        share = float(mask[:, :224].sum() / mask.sum())
        assert (share > 0.95) if left else (share < 0.05), noun
        assert mask.mean() > 0.05


def test_of_many_things_a_small_one_counts_beside_two_that_touch() -> None:
    """Strawberries: two of them are one part of the mask, and the lowest is a fifth of it."""
    many = torch.zeros(5, 40, 40)
    many[:, 2:12, 2:22] = 1.0  # two that touch
    for row, column in ((4, 28), (16, 4), (16, 16)):
        many[:, row : row + 7, column : column + 7] = 1.0
    many[:, 30:36, 14:20] = 1.0
    mask, _ = choose(many, torch.ones(4, 4), picture(), ("bottom",), several=False)
    assert mask is not None
    assert mask[33, 17] > 0.5
    assert not mask[:26].any()
    few = many.clone()
    few[:, 12:26] = 0
    few[:, :, 24:] = 0  # two that touch, and a scrap
    assert choose(few, torch.ones(4, 4), picture(), ("bottom",), several=False)[0] is None
