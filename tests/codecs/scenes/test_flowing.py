"""What flows in a picture: which region, and what is said where little shows."""

from __future__ import annotations

import torch
from torch import Tensor

from fbridge.codecs.scenes.currents import smooth_noise
from fbridge.codecs.scenes.finder import Finder
from fbridge.codecs.scenes.flowing import Flowing
from fbridge.codecs.scenes.segmenter import MaskDecoder
from fbridge.words.flows import FlowAct

SIZE = (96, 128)
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


def test_water_is_not_seen_in_a_sky() -> None:
    found = find(sky(0.4), FlowAct("waves", "sea"))
    assert found.acts == ()
    assert found.remarks == ("no sea is found in the picture; it is left out",)


def test_leaves_do_not_take_the_main_thing_along_unless_it_is_green() -> None:
    green = torch.tensor([0.2, 0.45, 0.1])[:, None, None].expand(3, *SIZE)
    grain = 0.08 * torch.randn(SIZE, generator=torch.Generator().manual_seed(1))
    garden = (green + grain).clamp(0, 1)
    dog = garden.clone()
    dog[:, 40:80, 50:80] = (
        torch.tensor([0.1, 0.1, 0.12])[:, None, None] + grain[40:80, 50:80]
    ).clamp(0, 1)
    leaves = FlowAct("leaves", "leaves")
    for picture, least, most in ((garden, 0.9, 1.0), (dog, 0.0, 0.05)):
        [region] = find(picture, leaves).regions
        assert region is not None
        assert least <= float(region[50:70, 58:72].mean()) <= most
