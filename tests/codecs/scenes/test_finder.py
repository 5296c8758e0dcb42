"""Finding the pixels that a noun means."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fbridge.codecs.scenes import finder
from fbridge.codecs.scenes.features import Features
from fbridge.codecs.scenes.finder import Finder, one_thing, without_scraps
from fbridge.codecs.scenes.neighbours import without_neighbours
from fbridge.codecs.scenes.segmenter import MaskDecoder


class Looks(Finder):
    """Sees the picture itself, in few cells."""

    def __init__(self, picture: Tensor) -> None:
        super().__init__(MaskDecoder(), picture, torch.device("cpu"))
        self.sizes: list[tuple[int, ...]] = []

    sure: float = 0.45
    where: tuple[int | slice, int | slice] = (6, 6)
    likely: tuple[int, ...] = tuple(range(1, 26))
    """Classes that every part of the picture shows, the likeliest last: fish and birds."""

    def shown(self, classes: Tensor) -> Tensor:  # noqa: ARG002 (as the finder has it)
        seen = torch.zeros(12, 12)
        seen[self.where] = self.sure
        return seen

    def _look(self, picture: Tensor) -> Features:
        self.sizes.append(tuple(picture.shape[1:]))
        shrunk = torch.nn.functional.interpolate(picture[None], (24, 24), mode="area")
        classes = shrunk.repeat(1, 334, 1, 1)[:, :1000]
        for more, label in enumerate(self.likely):
            classes[:, label] += 5.0 + more
        return Features((shrunk,), classes)


@pytest.fixture(autouse=True)
def bright_things(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every noun means what is bright."""
    monkeypatch.setattr(
        finder, "find_mask", lambda _decoder, seen, _named: (seen.classes[:, 0] > 0.5).float()
    )


def picture_of(rows: slice, columns: slice, side: int = 240) -> Tensor:
    picture = torch.zeros(3, side, side)
    picture[:, rows, columns] = 1
    return picture


def test_a_small_thing_is_looked_at_again_where_it_is_large() -> None:
    picture = picture_of(slice(83, 137), slice(101, 152))
    looks = Looks(picture)
    mask = looks.mask("cat")
    assert mask.shape == picture.shape[1:]
    (_, closer) = looks.sizes
    assert max(closer) < 120, "the second look shows the thing and what is near it"
    wrong = ((mask > 0.5).float() - picture[0]).abs().sum()
    cells = torch.nn.functional.interpolate(picture[None, :1], (24, 24), mode="area")[0, 0] > 0.5
    coarse = cells.float().repeat_interleave(10, 0).repeat_interleave(10, 1)
    assert wrong < 0.7 * (coarse - picture[0]).abs().sum()
    assert not mask[:50].any()


def test_a_large_thing_is_looked_at_once() -> None:
    looks = Looks(picture_of(slice(10, 230), slice(20, 220)))
    looks.mask("cat")
    looks.mask("dog")
    assert len(looks.sizes) == 1


def test_where_nothing_is_found_what_stands_out_is_taken_and_it_is_said() -> None:
    looks = Looks(picture_of(slice(0, 2), slice(0, 2)))
    assert not (looks.mask("cat") > 0.5).any()
    assert looks.remarks == ["no cat is found in the picture; what stands out is taken"]


def test_what_is_not_recognised_is_said() -> None:
    looks = Looks(picture_of(slice(83, 137), slice(101, 152)))
    looks.thing("cat")
    assert not looks.remarks
    looks.sure = 0.01
    assert (looks.thing("dog") > 0.5).any()
    assert looks.remarks == ["no dog is recognised in the picture; what stands out is taken"]
    looks.thing("lamps")
    assert looks.remarks[1] == "no lamps are recognised in the picture; what stands out is taken"


def test_a_misspelt_noun_is_mended_and_that_is_said() -> None:
    looks = Looks(picture_of(slice(83, 137), slice(101, 152)))
    assert torch.equal(looks.thing("lizzard"), looks.thing("lizard"))
    assert looks.remarks == ["'lizzard' is read as 'lizard'"]


def test_a_thing_that_only_its_place_names_needs_no_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Looks, "_told_apart", lambda *_: None)
    looks = Looks(picture_of(slice(83, 137), slice(21, 72)))
    assert looks.mask("left thing")[100, 40] > 0.5
    assert not looks.remarks
    looks.mask("left blorf")
    line = "'left blorf' names no class that the model knows; what stands out is taken"
    assert looks.remarks == [line]


def test_a_mask_that_misses_the_place_where_the_noun_is_seen_is_said() -> None:
    looks = Looks(picture_of(slice(83, 137), slice(101, 152)))
    looks.where = (0, 11)
    assert (looks.thing("door") > 0.5).any()
    told = "the door is not told from what is around it; what stands out is taken"
    assert looks.remarks == [told]


def test_a_noun_is_all_over_where_most_of_its_mask_shows_it() -> None:
    looks = Looks(picture_of(slice(20, 220), slice(20, 220)))
    assert not looks.is_all_over("cat"), "it is seen in one place of a hundred"
    looks.where = (slice(2, 10), slice(2, 9))
    assert looks.is_all_over("cat")
    assert looks.is_all_over(""), "no thing is named that might not be there"
    assert not looks.is_all_over("gizmo")


def test_what_is_no_main_thing_was_found_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child on a beach, say: people are hardly seen where they are."""
    looks = Looks(picture_of(slice(83, 137), slice(101, 152)))
    looks.where = (0, 11)
    monkeypatch.setitem(looks._masks, "", picture_of(slice(0, 40), slice(0, 240))[0])
    looks.thing("child")
    assert not looks.remarks
    looks.thing("lamp")
    told = "the lamp is not told from what is around it; another thing may be taken"
    assert looks.remarks == [told]
    looks.sure = 0.05  # so faintly a noun is seen anywhere
    looks.thing("cup")
    hardly = "the cup is hardly recognised in the picture; another thing may be taken"
    assert looks.remarks == [told, hardly]


def test_the_main_thing_under_the_name_of_one_that_is_hardly_seen_is_said() -> None:
    looks = Looks(picture_of(slice(83, 137), slice(101, 152)))
    looks.sure, looks.where = 0.1, (5, 6)
    assert (looks.thing("lamp") > 0.5).any()
    told = "the lamp is hardly recognised in the picture; what stands out is taken"
    assert looks.remarks == [told]
    looks.where = (0, 11)
    looks.thing("cup")
    beside = "the cup is not told from what is around it; what stands out is taken"
    assert looks.remarks == [told, beside]
    looks.sure, looks.where = 0.3, (5, 6)
    looks.thing("cat")
    assert len(looks.remarks) == 2


def test_the_only_thing_of_its_kind_is_looked_for_as_if_nothing_were_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        finder,
        "find_mask",
        lambda _decoder, seen, _named, _focus=None: (seen.classes[:, 0] > 0.5).float(),
    )
    small = picture_of(slice(100, 120), slice(110, 130))[0]
    monkeypatch.setattr(finder, "alone", lambda _mask, _seen, _look: small)
    looks = Looks(picture_of(slice(83, 137), slice(101, 152)))
    for noun in ("cat", "large cat", "front cat"):
        assert torch.equal(looks.mask(noun), small), noun
    assert not looks.remarks
    assert not torch.equal(looks.mask("larger cat"), small), "one that is larger is one of several"
    assert looks.remarks == [
        "the larger cat is not told from what is around it; what stands out is taken"
    ]


TABBY, BANANA = 281, 954


def test_what_is_among_the_likeliest_where_its_mask_is_was_found() -> None:
    looks = Looks(picture_of(slice(83, 137), slice(101, 152)))
    looks.likely = (BANANA, TABBY, 1, 2, 3, 4, 5, 6, 7)
    for looks.sure, looks.where in ((0.01, (6, 6)), (0.1, (5, 6))):
        looks.thing("cat")  # the eighth
    assert not looks.remarks
    looks.thing("banana")  # the ninth
    assert looks.remarks == [
        "the banana is hardly recognised in the picture; what stands out is taken"
    ]
    rows, columns = looks.sizes[-1]
    assert 54 < rows < 75, "it is looked for where its mask is"
    assert 51 < columns < 75


def test_what_is_hardly_seen_and_unlikely_where_its_mask_is_may_be_another_thing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = Looks(picture_of(slice(83, 137), slice(101, 152)))
    looks.sure, looks.where = 0.1, (5, 6)
    monkeypatch.setitem(looks._masks, "", picture_of(slice(0, 40), slice(0, 240))[0])
    looks.thing("child")
    assert not looks.remarks, "people are hardly seen by the network's classes"
    looks.thing("banana")
    assert looks.remarks == [
        "the banana is hardly recognised in the picture; another thing may be taken"
    ]
    looks.likely = tuple(range(1, 20))
    looks.thing("lemon")
    assert len(looks.remarks) == 1


def test_one_thing_keeps_its_own_parts() -> None:
    mask = torch.zeros(40, 60)
    mask[5:25, 5:25] = 0.9  # the thing
    mask[28:32, 8:14] = 0.8  # a part of it
    mask[5:20, 40:55] = 1.0  # another one
    nowhere = torch.zeros(4, 6)
    kept = one_thing(mask, nowhere)
    assert torch.equal(kept[:, :30], mask[:, :30])
    assert not kept[:, 38:].any()
    alone = mask * (torch.arange(60) < 30)
    assert torch.equal(one_thing(alone, nowhere), alone)


def test_a_small_part_far_from_the_thing_is_none_of_it() -> None:
    mask = torch.zeros(40, 60)
    mask[5:25, 5:25] = 0.9  # the thing
    mask[28:32, 8:14] = 0.8  # what shows of it below a bar
    scrap = mask.clone()
    scrap[34:38, 50:54] = 0.8
    assert torch.equal(without_scraps(scrap), mask)
    assert torch.equal(without_scraps(mask), mask)


def test_pieces_of_a_thing_that_is_seen_faintly_are_no_scraps() -> None:
    mask = torch.zeros(40, 64)
    mask[4:36, 28:36] = 0.35
    mask[4:10, 28:36] = 0.6
    mask[32:36, 28:36] = 0.6
    assert torch.equal(without_scraps(mask), mask)


def test_scraps_are_left_out_of_one_thing_and_not_of_several() -> None:
    picture = picture_of(slice(20, 120), slice(20, 120))
    picture[:, 200:230, 200:230] = 1
    looks = Looks(picture)
    assert not (looks.mask("cat")[180:, 180:] > 0.1).any()
    assert (looks.mask("cats")[205:225, 205:225] > 0.5).all()


def test_things_of_a_kind_are_told_where_their_noun_is_seen_surely() -> None:
    looks = Looks(picture_of(slice(20, 120), slice(20, 120)))
    assert (looks.alike("cat")[40:100, 40:100] > 0.5).all()
    assert not (looks.alike("cat")[160:] > 0.5).any()
    looks.sure = 0.2
    assert not looks.alike("cat").any()
    assert not looks.alike("").any()


def test_a_neighbour_in_which_the_noun_is_not_seen_is_left_out() -> None:
    """A bird at a flower: its bill joins them."""
    mask, seen = torch.zeros(40, 64), torch.zeros(5, 8)
    mask[8:32, 36:60] = 0.9  # a bird
    mask[14:32, 6:24] = 0.9  # a flower
    mask[18:20, 24:36] = 0.9  # the bill
    seen[1:4, 5:7] = 0.8
    kept = without_neighbours(mask, seen)
    assert torch.equal(kept[:, 30:], mask[:, 30:]), "the bill is the bird's"
    assert not kept[:, :23].any()
    assert torch.equal(one_thing(mask, seen), kept)
    seen[2:4, 1:3] = 0.3
    assert torch.equal(without_neighbours(mask, seen), mask), "such as a motorcycle's wheel"
    seen[2:4, 1:3] = 0
    assert torch.equal(without_neighbours(mask, 0.5 * seen), mask), "it may be what is meant"
    beside = seen.clone()
    beside[1:4, 5:7], beside[0, 0] = 0.15, 0.9
    assert torch.equal(without_neighbours(mask, beside), mask), "neither of both is meant"
    mask[14:32, 24:36] = 0.9  # no neck
    assert torch.equal(without_neighbours(mask, seen), mask)


def test_of_two_things_the_one_in_which_the_noun_is_seen_is_taken() -> None:
    mask, seen = torch.zeros(40, 60), torch.zeros(4, 6)
    mask[5:35, 5:25] = 0.9  # a telephone
    mask[5:20, 40:52] = 0.8  # a pencil case
    seen[1, 4] = 0.6
    kept = one_thing(mask, seen)
    assert torch.equal(kept[:, 38:], mask[:, 38:])
    assert not kept[:, :30].any()
    seen[2, 1] = 0.1
    assert not one_thing(mask, seen)[:, 38:].any(), "seen in both, the larger one"
