"""Hair, told from the face and the clothes of its person."""

from __future__ import annotations

import pytest

from fbridge.codecs.scenes.hair import ON_HEADS, find_face, find_hair
from fbridge.words.vocabulary import flow_nouns
from tests.codecs.scenes.pictures import SKINS, portrait


@pytest.mark.parametrize("tone", SKINS)
def test_hair_is_what_is_around_the_face(tone: str) -> None:
    picture, person, face, hair = portrait(SKINS[tone], (35, 25, 22))
    found = find_hair(picture, person)
    assert found is not None
    assert float(found[hair].mean()) > 0.85
    assert float(found[face].mean()) < 0.1
    assert float(found[130:].mean()) < 0.02, "the shirt"
    assert float(found[person == 0].mean()) < 0.05


def test_the_face_is_where_skin_is_widest_and_high() -> None:
    picture, person, _, _ = portrait(SKINS["light"], (35, 25, 22))
    image = (picture.permute(1, 2, 0) * 255).byte().numpy().copy()
    face = find_face(image, person.numpy() > 0.5)
    assert face is not None
    assert face.x == pytest.approx(60, abs=3)
    assert face.y == pytest.approx(62, abs=8)
    assert face.radius == pytest.approx(20, abs=3)


def test_without_skin_or_without_hair_nothing_is_found() -> None:
    statue, person, _, _ = portrait((140, 140, 140), (60, 60, 60))
    assert find_hair(statue, person) is None
    bald, person, _, _ = portrait(SKINS["light"], SKINS["light"])
    assert find_hair(bald, person) is None


def test_words_for_hair_on_heads_are_words_that_flow() -> None:
    assert {flow_nouns().get(word) for word in ON_HEADS} == {"hair"}
