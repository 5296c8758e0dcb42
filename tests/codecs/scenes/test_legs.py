"""Legs that a coarse mask shows but faintly."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fbridge.codecs.scenes.legs import find_legs
from fbridge.codecs.scenes.matting import refine

HEIGHT, WIDTH = 240, 320


def bird() -> tuple[Tensor, Tensor]:
    """(H, W) the body of a bird and its legs."""
    y, x = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    body = (x - 160).square() + (y - 90).square() < 50**2
    legs = (y > 130) & (y < 190) & (((x - 145).abs() < 3) | ((x - 175).abs() < 3))
    return body, legs & ~body


def soft(faint: float) -> Tensor:
    """A coarse mask (H, W) in which the legs are but as likely."""
    body, legs = bird()
    likely = torch.where(legs, faint, body.float())
    return torch.nn.functional.avg_pool2d(likely[None, None], 5, 1, 2)[0, 0]


def picture(legs: tuple[float, float, float] = (0.7, 0.4, 0.2)) -> Tensor:
    """A bird with legs of a colour, before green."""
    body, thin = bird()
    draw = torch.rand(3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    shown = torch.tensor([0.3, 0.5, 0.3])[:, None, None] + 0.06 * draw
    shown = torch.where(thin, torch.tensor(legs)[:, None, None], shown)
    return torch.where(body, torch.tensor([0.8, 0.8, 0.7])[:, None, None], shown)


def found(shown: Tensor, mask: Tensor) -> Tensor:
    image = (shown.permute(1, 2, 0) * 255).byte().numpy()
    return torch.from_numpy(find_legs(image, np.ascontiguousarray(mask.numpy())))


def test_faint_legs_are_found_and_nothing_else_is() -> None:
    body, legs = bird()
    assert float(found(picture(), soft(0.4))[legs].float().mean()) > 0.9
    assert float(found(picture(), soft(0.4))[~body & ~legs].float().mean()) < 0.01
    assert not found(picture(), soft(0.0)).any()


def test_a_thing_that_stands_on_legs_keeps_them() -> None:
    _, legs = bird()
    kept, cut = (refine(picture(), soft(0.4)[None], [has])[0] for has in (True, False))
    assert float((kept > 0.5)[legs].float().mean()) > 0.8
    assert float((cut > 0.5)[legs].float().mean()) < 0.2
    assert torch.equal(cut, refine(picture(), soft(0.4)[None])[0])


def test_what_is_like_its_ground_is_no_leg_unless_it_is_likely() -> None:
    _, legs = bird()
    green = (0.33, 0.53, 0.33)
    for faint, likely in ((0.2, False), (0.49, True)):
        share = found(picture(green), soft(faint))[legs].float().mean()
        assert bool(share > 0.5) == likely


def test_legs_are_below_and_narrow() -> None:
    assert not found(picture().flip(1), soft(0.4).flip(0)).any()
    y, x = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    other = (x - 160).square() + (y - 200).square() < 45**2  # another thing below it
    doubtful = torch.where(other & (soft(0.0) < 0.4), 0.4, soft(0.0))
    shown = torch.where(other, torch.tensor([0.7, 0.1, 0.1])[:, None, None], picture())
    assert float(found(shown, doubtful)[other & ~bird()[0]].float().mean()) < 0.02
