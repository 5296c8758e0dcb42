"""What the camera zooms in on comes to the middle, as far as the picture reaches."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fbridge.codecs.render import CHANNELS, LOG_SCALE, TX, TY, half_size
from fbridge.codecs.scenes.aiming import aim_of, towards
from fbridge.codecs.scenes.finder import Finder
from fbridge.codecs.scenes.framing import cover, move
from fbridge.words.intent import Act, read_prompt

SIZE = (60, 90)
HALF = torch.tensor(half_size(*SIZE))


class Sees(Finder):
    """Finds one part of the picture, whatever is asked for."""

    def __init__(self, rows: slice = slice(5, 15), columns: slice = slice(60, 80)) -> None:
        self.picture, self.remarks = torch.rand(3, *SIZE), []
        self.found = torch.zeros(SIZE)
        self.found[rows, columns] = 1
        self.animal = False

    def thing(self, noun: str) -> Tensor:  # noqa: ARG002
        return self.found

    def shown(self, classes: Tensor) -> Tensor:  # noqa: ARG002
        return torch.full((4, 6), 0.9 * self.animal)

    def is_person(self, noun: str) -> bool:
        return noun != "cat"


def zoom(most: float, frames: int = 6) -> Tensor:
    motion = torch.zeros(frames, 3, CHANNELS)
    motion[:, 2, LOG_SCALE] = torch.linspace(0, most, frames)
    return motion


@pytest.mark.parametrize("aim", [(0.1, -0.1), (0.2, 0.0), (-1.0, 0.6), (1.1, -0.8)])
def test_what_is_zoomed_in_on_nears_the_middle_and_no_border_is_seen(
    aim: tuple[float, float],
) -> None:
    camera = (zoom(0.4) + towards(zoom(0.4), torch.tensor(aim), SIZE))[:, 2]
    assert torch.allclose(cover(camera, half_size(*SIZE)), camera, atol=1e-5)
    point = torch.tensor(aim).expand(len(camera), 1, 2)
    away = move(point, camera, torch.zeros(2))[:, 0].norm(dim=1)
    assert (away.diff() <= 1e-6).all()
    reach = HALF * (1 - torch.tensor(-0.4).exp())  # what the middle of the frame may be, at the end
    inside = bool((torch.tensor(aim).abs() <= reach).all())
    assert (float(away[-1]) < 1e-6) == inside


def test_nothing_is_added_where_the_camera_zooms_to_the_middle_or_out() -> None:
    assert not towards(zoom(0.4), torch.zeros(2), SIZE).any()
    assert not towards(zoom(-0.4), HALF, SIZE).any()


def test_corners_and_things_are_aimed_at() -> None:
    for prompt, expected in (
        ("zoom in to the top left", (-HALF[0], -HALF[1])),
        ("zoom in on the right side of the picture", (HALF[0], 0.0)),
        ("zoom in on the middle", (0.0, 0.0)),
        ("zoom in", (0.0, 0.0)),
    ):
        aim = aim_of(read_prompt(prompt).camera, Sees())[1]
        assert torch.allclose(aim, torch.tensor(expected)), prompt
    x, y = aim_of(read_prompt("zoom in on the bird").camera, Sees())[1] / HALF
    assert (float(x), float(y)) == pytest.approx((2 * 70 / 90 - 1, 2 * 10 / 60 - 1), abs=0.02)


def test_a_face_is_aimed_at_and_where_none_is_found_the_top_of_its_person() -> None:
    """A round of skin above blue clothes; and of an animal all."""
    sees = Sees(slice(10, 60), slice(50, 80))
    sees.picture = torch.tensor([0.1, 0.2, 0.6])[:, None, None].repeat(1, *SIZE)
    whole = torch.tensor([2 * 65 / 90 - 1, 2 * 35 / 60 - 1]) * HALF
    head = torch.tensor([2 * 65 / 90 - 1, 2 * 15 / 60 - 1]) * HALF
    told = "no face is found in the picture; the camera goes to the top of "
    for goal, aim, said in (
        ("face of man", head, "the man"),
        ("face", head, "the main thing"),
        ("face of cat", whole, ""),
    ):
        sees.remarks.clear()
        assert torch.allclose(aim_of(Act("zoom in", goal=goal), sees)[1], aim, atol=0.02), goal
        assert sees.remarks == ([told + said] if said else [])
    y, x = torch.meshgrid(torch.arange(60), torch.arange(90), indexing="ij")
    round_of_skin = (x - 65) ** 2 + (y - 22) ** 2 < 100
    sees.picture[:, round_of_skin] = torch.tensor([0.85, 0.6, 0.5])[:, None]
    aim = aim_of(Act("zoom in", goal="face of man"), sees)[1]
    assert torch.allclose(aim, torch.tensor([2 * 65 / 90 - 1, 2 * 22 / 60 - 1]) * HALF, atol=0.08)
    assert torch.equal(aim_of(Act("zoom in", goal="face"), sees)[1], aim)
    sees.animal = True
    assert torch.allclose(aim_of(Act("zoom in", goal="face"), sees)[1], whole, atol=0.02)


def test_a_pan_to_a_thing_goes_where_it_is_seen() -> None:
    camera, aim = aim_of(read_prompt("pan to the bird").camera, Sees())
    assert (camera.verb, aim.any().item()) == ("tilt up", False)
    assert aim_of(Act("pan right", goal="left"), Sees())[0].verb == "pan left"
    assert not towards(zoom(0.4), aim, SIZE)[..., [TX, TY]].any()
