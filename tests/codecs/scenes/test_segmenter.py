"""What finds the thing that a noun means: features, nouns, hints, and the choice of one thing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fbridge.codecs.scenes.features import CLASSES, WIDTHS, packaged_features
from fbridge.codecs.scenes.nouns import _SAME, is_plural, packaged_nouns
from fbridge.codecs.scenes.segmenter import MaskDecoder, noun_hints, working_size

CAT = Path(__file__).parents[3] / "examples/cat.jpg"
EGYPTIAN_CAT = 285


def test_the_features_know_a_cat() -> None:
    picture = Image.open(CAT).convert("RGB").resize((160, 128))
    pixels = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)[None] / 255
    features = packaged_features()(pixels)
    assert [maps.shape[1] for maps in features.maps] == list(WIDTHS)
    assert [160 // maps.shape[3] for maps in features.maps] == [2, 4, 8, 16, 32]
    best = features.classes.mean((2, 3)).topk(3, 1).indices[0].tolist()
    assert EGYPTIAN_CAT in best
    assert EGYPTIAN_CAT in packaged_nouns().named("cat").nonzero()[:, 0].tolist()


@pytest.mark.parametrize(
    ("noun", "other"),
    [
        ("dog", "cat"), ("sports car", "dog"), ("kitten", "dog"), ("boats", "dog"),
        ("buses", "cat"), ("woman", "dog"), ("butterflies", "car"),
    ],
)  # fmt: skip
def test_nouns_name_classes(noun: str, other: str) -> None:
    table = packaged_nouns()
    assert table.named(noun).any()
    assert not (table.named(noun) & table.named(other)).any()


@pytest.mark.parametrize(
    ("noun", "meant"),
    [
        ("lizzard", "lizard"), ("lizzards", "lizard"), ("horze", "horse"), ("zbera", "zebra"),
        ("red ballon", "balloon"), ("motorcyle", "motorcycle"), ("womann", "woman"),
    ],
)  # fmt: skip
def test_misspelt_nouns_name_what_is_meant(noun: str, meant: str) -> None:
    table = packaged_nouns()
    assert table.slip(noun) == (noun.split()[-1], meant)
    assert torch.equal(table.named(noun), table.named(meant))


@pytest.mark.parametrize("noun", ["lizard", "boats", "pennies", "palm", "grill", "cat", "", "ball"])
def test_words_of_their_own_are_no_slips(noun: str) -> None:
    assert packaged_nouns().slip(noun) == ("", "")


@pytest.mark.parametrize("noun", ["the president", "my grandma", "two toddlers", "queen"])
def test_words_for_people_name_what_people_wear(noun: str) -> None:
    table = packaged_nouns()
    assert torch.equal(table.named(noun), table.named("person"))


def test_a_word_does_not_name_what_is_only_called_after_it() -> None:
    table = packaged_nouns()
    for noun, other in (("trees", "tree sloth"), ("leaf", "leafhopper"), ("sun", "sunglasses")):
        assert table.named(other).any()
        assert not (table.named(noun) & table.named(other)).any()


@pytest.mark.parametrize(
    ("noun", "name"),
    [
        ("kitten", "cat"), ("sparrows", "bird"), ("smartphone", "phone"), ("sneakers", "shoe"),
        ("pencil", "pen"), ("carrot", "vegetable"),  # the nearest
        ("tulip", "flower"), ("donuts", "bagel"), ("leather jacket", "coat"), ("stag", "antelope"),
        ("pit bull", "dog"), ("puffin", "bird"), ("left chick", "bird"), ("emu", "ostrich"),
        ("hornet", "insect"), ("noodle", "spaghetti sauce"), ("reindeer", "antelope"),
        ("house", "building"), ("cottages", "building"),
    ],
)  # fmt: skip
def test_a_word_names_the_classes_of_what_is_alike(noun: str, name: str) -> None:
    table = packaged_nouns()
    assert table.named(noun).any()
    assert (table.named(noun) <= table.named(name)).all()


@pytest.mark.parametrize(
    "noun",
    [
        "croissant", "snowman", "hydrant", "bulldozer", "robot", "painting", "everything", "slide",
        "headphones", "trampoline", "star", "windmill", "egg", "red cap", "kites", "toys",
        "potted plants", "fern", "lego", "chess",
    ],
)  # fmt: skip
def test_a_word_without_a_class_names_none_of_like_spelling_or_another_sense(noun: str) -> None:
    assert not packaged_nouns().named(noun).any()
    assert packaged_nouns().named("toy poodle").any()


def test_a_house_may_look_like_a_barn() -> None:
    """By WordNet's tree it names cinemas, cloisters and palaces."""
    table = packaged_nouns()
    assert (table.named("barn") <= table.named("house")).all()


def test_words_that_are_alike_are_in_the_table() -> None:
    assert all(packaged_nouns().named(noun).any() for noun in _SAME.values())


def test_what_is_no_noun_names_nothing() -> None:
    for noun in ("", "qwrtzpl"):
        assert not packaged_nouns().named(noun).any()
    assert (packaged_nouns().named("dog") <= packaged_nouns().named("animal")).all()
    assert packaged_nouns().name_of(EGYPTIAN_CAT) == "egyptian cat"


@pytest.mark.parametrize(
    ("noun", "several"),
    [
        ("dogs", True), ("people", True), ("red balls", True), ("bus", False), ("glass", False),
        ("dog", False), ("", False), ("camera lens", False), ("lenses", True),
    ],
)  # fmt: skip
def test_plurals(noun: str, several: bool) -> None:
    assert is_plural(noun) == several


def test_hints_are_high_where_the_class_is_seen() -> None:
    classes = torch.zeros(1, CLASSES, 4, 4)
    classes[0, 7, 0, 0] = 9
    named = torch.zeros(1, CLASSES, dtype=torch.bool)
    unknown = noun_hints(classes, named)
    assert unknown[:, [0, 1, 3]].abs().max() < 1e-4
    named[0, 7] = True
    hints = noun_hints(classes, named)[0]
    assert hints.isfinite().all()
    for channel in (0, 1, 2):
        assert hints[channel].argmax() == 0
        assert hints[channel, 0, 0] > hints[channel, 1:].max() + (0.5 if channel < 2 else 0)
    assert (hints[3] == 1).all()


@given(st.integers(16, 3000), st.integers(16, 3000))
def test_working_sizes_fit_the_network(height: int, width: int) -> None:
    size = working_size(height, width)
    assert all(side % 32 == 0 and 128 <= side <= 576 for side in size)


def test_the_decoder_takes_any_aspect() -> None:
    decoder = MaskDecoder()
    for height, width in ((128, 192), (192, 128)):
        maps = tuple(
            torch.rand(1, c, height // s, width // s)
            for c, s in zip(WIDTHS, (2, 4, 8, 16, 32), strict=True)
        )
        hints = torch.rand(1, 4, height // 32, width // 32)
        assert decoder(maps, hints).shape == (1, 1, height // 4, width // 4)


def test_nouns_with_hyphens_are_known_without_them() -> None:
    known = packaged_nouns()
    assert known.named("fast go kart").nonzero()[:, 0].tolist() == [573]
    assert known.named("merry go round").tolist() == known.named("merry-go-round").tolist()
    assert not torch.equal(known.named("small arm"), known.named("small-arm"))


def test_a_sailboat_is_looked_for_as_any_boat() -> None:
    known = packaged_nouns()
    assert torch.equal(known.named("sailboats"), known.named("boat"))


@pytest.mark.parametrize(
    ("noun", "names"),
    [
        ("train", ["bullet train", "steam locomotive", "passenger car"]),
        ("monitor", ["crt screen", "television"]),
        ("cup", ["mug", "espresso"]),
        ("robin", ["finch", "thrush"]),
        ("stuffed sheep", ["teddy bear"]),
        ("bottle cap", ["bottlecap"]),
    ],
)
def test_a_noun_names_all_that_looks_like_it(noun: str, names: list[str]) -> None:
    table = packaged_nouns()
    assert all((table.named(name) <= table.named(noun)).all() for name in names)


def test_a_noun_does_not_name_what_shares_its_name() -> None:
    table = packaged_nouns()
    for noun, other in (("monitor", "lizard"), ("stuffed sheep", "sheep"), ("lantern", "pumpkin")):
        assert not (table.named(noun) & table.named(other)).all(), noun
        assert not torch.equal(table.named(noun), table.named(other)), noun
    assert not (table.named("monitor") & table.named("lizard")).any()
    assert not (table.named("stuffed sheep") & table.named("animal")).any()
    assert torch.equal(table.named("stuffed pepper"), table.named("pepper"))
