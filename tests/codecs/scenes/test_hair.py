"""Hair, told from the face and the clothes of its person."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fbridge.codecs.scenes.hair import find_face, find_hair

SIZE = (160, 120)
SKINS = {"light": (225, 180, 160), "brown": (150, 100, 75), "dark": (95, 60, 48)}
Portrait = tuple[Tensor, Tensor, Tensor, Tensor]


def oval(x: float, y: float, width: float, height: float) -> Tensor:
    rows = torch.arange(SIZE[0])[:, None].float()
    columns = torch.arange(SIZE[1]).float()
    return ((columns - x) / width) ** 2 + ((rows - y) / height) ** 2 < 1


def portrait(skin: tuple[int, int, int], hair: tuple[int, int, int]) -> Portrait:
    """Picture, person, face and hair: long hair down to a blue shirt, before a grey wall."""
    face = oval(60, 62, 20, 26)
    locks = oval(60, 55, 33, 40) | (oval(60, 80, 33, 45) & (torch.arange(SIZE[0])[:, None] < 112))
    shirt = oval(60, 160, 52, 55)
    neck = oval(60, 92, 10, 16)
    picture = torch.full((3, *SIZE), 0.55)
    for place, colour in ((locks, hair), (shirt, (40, 60, 150)), (neck, skin), (face, skin)):
        picture[:, place] = torch.tensor(colour)[:, None] / 255
    for x in (52, 68):  # eyes
        picture[:, oval(x, 58, 3, 2)] = 0.1
    grain = 0.03 * torch.randn(3, *SIZE, generator=torch.Generator().manual_seed(0))
    visible = locks & ~face & ~neck & ~shirt
    return (picture + grain).clamp(0, 1), (locks | shirt | neck | face).float(), face, visible


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
