"""Opacity at the picture's own size."""

from __future__ import annotations

import pytest
import torch

from fbridge.codecs.scenes.matting import guided_filter, refine
from tests.codecs.scenes.pictures import texture

SIZE = (144, 192)


def truth() -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(SIZE[0]), torch.arange(SIZE[1]), indexing="ij")
    return (((x - 90) / 50.0).square() + ((y - 70) / 42.0).square() < 1).float()


def picture(alpha: torch.Tensor) -> torch.Tensor:
    behind = torch.nn.functional.interpolate(texture()[None], SIZE, mode="bilinear")[0]
    return alpha * torch.tensor([0.8, 0.5, 0.2])[:, None, None] + (1 - alpha) * behind


def coarse(alpha: torch.Tensor, shift: int = 0) -> torch.Tensor:
    soft = torch.nn.functional.avg_pool2d(alpha[None, None].roll(shift, -1), 15, 1, 7)
    return torch.nn.functional.interpolate(soft, (30, 40), mode="area")[0]


def test_edges_are_the_pictures_edges() -> None:
    alpha = truth()
    fine = refine(picture(alpha), coarse(alpha, shift=3))[0]
    inside = fine > 0.5
    overlap = (inside & (alpha > 0.5)).sum() / (inside | (alpha > 0.5)).sum()
    assert overlap > 0.96
    assert fine.shape == SIZE


def test_holes_and_specks_are_gone() -> None:
    alpha = truth()
    rough = coarse(alpha)
    rough[0, 14:16, 18:20] = 0
    rough[0, 2, 2] = 1
    fine = refine(picture(alpha), rough)[0]
    assert fine[60:80, 80:100].min() > 0.9
    assert fine[:16, :16].max() < 0.1


def test_a_small_thing_that_is_nowhere_sure_is_cut_out_by_its_colours() -> None:
    y, x = torch.meshgrid(torch.arange(SIZE[0]), torch.arange(SIZE[1]), indexing="ij")
    alpha = ((x - 90).square() + (y - 70).square() < 14**2).float()
    faint = torch.full(SIZE, 0.02)
    faint[alpha > 0] = 0.3
    faint[62:74, 84:98] = 0.7
    fine = refine(picture(alpha), faint[None])[0] > 0.5
    assert (fine & (alpha > 0.5)).sum() > 0.9 * (fine | (alpha > 0.5)).sum()


def test_a_hole_of_three_percent_is_filled_and_one_of_a_tenth_is_seen_through() -> None:
    """Such as the dark inside of a cup, and between a cup and its handle."""
    for share, filled in ((0.03, True), (0.1, False)):
        y, x = torch.meshgrid(torch.arange(SIZE[0]), torch.arange(SIZE[1]), indexing="ij")
        hole = (x - 90).square() + (y - 70).square() < share * truth().sum() / torch.pi
        alpha = truth() * ~hole
        fine = refine(picture(alpha), alpha[None])[0]
        assert bool(fine[70, 90] > 0.9) == filled


@pytest.mark.parametrize(("doubt", "filled"), [(0.3, True), (0.02, False)])
def test_a_hole_is_of_the_thing_where_the_mask_is_in_doubt_about_it(
    doubt: float, filled: bool
) -> None:
    """The windows of a car, of colours of their own, and what is seen beside a cup's handle."""
    y, x = torch.meshgrid(torch.arange(SIZE[0]), torch.arange(SIZE[1]), indexing="ij")
    hole = (x - 90).square() + (y - 70).square() < 0.15 * truth().sum() / torch.pi
    rough = torch.where(hole, torch.tensor(doubt), truth())
    shown = torch.where(hole, torch.tensor([0.1, 0.2, 0.9])[:, None, None], picture(truth()))
    fine = refine(shown, rough[None])[0]
    assert bool(fine[70, 90] > 0.9) == filled


def test_two_objects_never_cover_more_than_all() -> None:
    masks = torch.cat([coarse(truth()), coarse(truth(), shift=20)])
    fine = refine(picture(truth()), masks)
    assert fine.shape == (2, *SIZE)
    assert fine.min() >= 0
    assert fine.sum(0).max() <= 1 + 1e-5


def test_no_object_gives_an_empty_mask_and_all_a_full_one() -> None:
    flat = torch.full((3, *SIZE), 0.5)
    assert refine(flat, torch.zeros(1, 20, 30)).max() == 0
    assert refine(flat, torch.ones(1, 20, 30)).min() > 0.99


def test_a_flat_mask_passes_the_guided_filter() -> None:
    image = torch.rand(3, 40, 50, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(
        guided_filter(image, torch.full((40, 50), 0.7), 4, 1e-4), torch.tensor(0.7), atol=1e-3
    )
