"""What flows in a picture: which region, and what is said where little shows."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fbridge.codecs.scenes import flowing
from fbridge.codecs.scenes.currents import smooth_noise
from fbridge.codecs.scenes.finder import Finder
from fbridge.codecs.scenes.flowing import Flowing
from fbridge.codecs.scenes.segmenter import MaskDecoder
from fbridge.words.flows import FlowAct
from tests.codecs.scenes.pictures import SKINS, portrait

SIZE = (96, 128)
FOUNTAIN = 562
DRAKE = 97
CLOUDS = FlowAct("clouds", "clouds")


class Blind(Finder):
    """Sees a main thing in the middle, and nothing else."""

    def __init__(self, picture: Tensor) -> None:
        super().__init__(MaskDecoder(), picture, torch.device("cpu"))

    def mask(self, noun: str) -> Tensor:  # noqa: ARG002
        """The main thing, whatever the noun."""
        found = torch.zeros(SIZE)
        found[40:80, 50:80] = 1
        return found

    def shown(self, classes: Tensor) -> Tensor:  # noqa: ARG002
        """Nothing is recognised."""
        return torch.zeros(3, 4)


def sky(contrast: float) -> Tensor:
    clouds = contrast * smooth_noise(SIZE, 6, torch.Generator().manual_seed(0))
    blue = torch.tensor([0.45, 0.65, 0.9])[:, None, None].expand(3, *SIZE)
    return torch.lerp(blue, torch.ones(()), clouds.clamp(0, 1))


def find(picture: Tensor, *acts: FlowAct) -> Flowing:
    return Flowing.find(picture, acts, Blind(picture))


def test_a_motion_that_hardly_shows_is_said() -> None:
    assert find(sky(0.4), CLOUDS).remarks == ()
    assert find(sky(0.01), CLOUDS).remarks == ("'clouds' is so even that its motion hardly shows",)


def test_what_shall_stay_still_is_no_part_of_what_flows() -> None:
    picture, pole = sky(0.4), torch.zeros(SIZE)
    pole[:50, 20:30] = 1
    (free,) = find(picture, CLOUDS).regions
    (around,) = Flowing.find(picture, (CLOUDS,), Blind(picture), pole).regions
    assert free is not None
    assert around is not None
    assert free[:40, 22:28].mean() > 0.9
    assert torch.equal(around, free * (1 - pole))


def test_water_is_not_seen_in_a_sky() -> None:
    found = find(sky(0.4), FlowAct("waves", "sea"))
    assert found.acts == ()
    assert found.remarks == ("no sea is found in the picture; it is left out",)
    found = find(sky(0.4), FlowAct("waves", "waves"))
    assert found.remarks == ("no waves are found in the picture; they are left out",)


class Pond(Blind):
    """Sees a duck where the main thing is, and no shore."""

    sure = 1.0

    def shown(self, classes: Tensor) -> Tensor:
        seen = torch.zeros(3, 4)
        seen[2, 2] = self.sure * (DRAKE in classes)
        return seen


def test_water_is_around_a_bird_that_swims() -> None:
    """Grey water, which nothing else tells."""
    rows = torch.arange(SIZE[0])[:, None].expand(SIZE)
    ripples = 0.05 * (1.9 * rows + smooth_noise(SIZE, 6, torch.Generator().manual_seed(0))).sin()
    pond = Pond((0.5 + ripples).expand(3, *SIZE).clone())
    pond.picture[:, :46] = torch.tensor([0.1, 0.2, 0.05])[:, None, None]  # a far bank
    water = [FlowAct("water", "water")]
    [region] = Flowing.find(pond.picture, water, pond).regions
    assert region is not None
    assert float(region[60:, :45].mean()) > 0.8
    assert float(region[:40].mean()) < 0.1
    pond.sure = 0.8  # as a turkey's is
    assert Flowing.find(pond.picture, water, pond).acts == ()


class Zoo(Blind):
    """Sees an animal everywhere."""

    def shown(self, classes: Tensor) -> Tensor:
        """Certain of what is asked for."""
        return torch.full((3, 4), float(0 in classes))


def test_leaves_take_the_main_thing_along_only_if_it_is_a_green_plant() -> None:
    green = torch.tensor([0.2, 0.45, 0.1])[:, None, None].expand(3, *SIZE)
    grain = 0.08 * torch.randn(SIZE, generator=torch.Generator().manual_seed(1))
    tree, dog = (green + grain).clamp(0, 1), (green + grain).clamp(0, 1)
    dog[:, 40:80, 50:80] = 0.1 + grain[40:80, 50:80].abs()
    leaves = [FlowAct("leaves", "leaves")]
    for finder, inside, outside in ((Blind(tree), 1, 0), (Blind(dog), 0, 1), (Zoo(tree), 0, 1)):
        [region] = Flowing.find(finder.picture, leaves, finder).regions
        assert region is not None
        assert float(region[50:70, 58:72].mean()) == pytest.approx(inside, abs=0.1)
        assert float(region[:30].mean()) == pytest.approx(outside, abs=0.1)


class Portraitist(Blind):
    """Sees one person, and hair as all of her."""

    person: Tensor
    animal = False

    def mask(self, noun: str) -> Tensor:  # noqa: ARG002
        return self.person

    def fine(self, noun: str) -> Tensor:
        return self.mask(noun)

    def shown(self, classes: Tensor) -> Tensor:
        seen = 0 not in classes or self.animal
        return torch.full((3, 4), float(seen))


def test_hair_blows_around_a_face_that_stays() -> None:
    picture, person, face, hair = portrait(SKINS["light"], (35, 25, 22))
    finder = Portraitist(picture)
    finder.person = person
    act = FlowAct("hair", "long hair")
    [region] = Flowing.find(picture, [act], finder).regions
    assert region is not None
    assert float(region[hair].mean()) > 0.8
    assert float(region[face].mean()) < 0.3, "its rim may go along"
    assert float(region[74:82, 57:63].max()) == 0, "its mouth may not"
    finder.animal = True  # a mane is where the network sees one
    [region] = Flowing.find(picture, [act], finder).regions
    assert region is not None
    assert float(region[face].mean()) > 0.8
    finder.animal = False
    statue, finder.person, *_ = portrait((140, 140, 140), (60, 60, 60))
    finder.picture = statue
    found = Flowing.find(statue, [act], finder)
    assert found.remarks == ("no long hair is found in the picture; it is left out",)


class Cascade(Blind):
    """Sees a fountain everywhere, as the network does of a waterfall in a forest."""

    def shown(self, classes: Tensor) -> Tensor:
        """Certain of fountains."""
        return torch.full((3, 4), float(FOUNTAIN in classes))


def test_a_fountain_goes_with_water_that_falls_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    scenes: list[Tensor] = []

    def region(picture: Tensor, *_: object, scene: Tensor) -> Tensor:
        scenes.append(scene)
        return torch.zeros_like(picture[0])

    monkeypatch.setattr(flowing, "find_region", region)
    finder = Cascade(torch.zeros(3, *SIZE))
    Flowing.find(finder.picture, [FlowAct("water", "waterfall")], finder)
    Flowing.find(finder.picture, [FlowAct("water", "lake")], finder)
    assert [float(scene.amin()) for scene in scenes] == [1.0, 0.0]
