"""Masks at the picture's resolution."""

from __future__ import annotations

import torch

from fbridge.codecs.matting import (
    fill_behind,
    guided_filter,
    has_no_contour,
    pull_push,
    refine_masks,
    resize,
)


def test_a_flat_mask_stays_flat() -> None:
    picture = torch.rand(1, 3, 40, 50)
    assert torch.allclose(
        guided_filter(picture, torch.full((1, 1, 40, 50), 0.7), 3, 1e-3),
        torch.tensor(0.7),
        atol=1e-5,
    )


def test_the_edge_moves_to_the_pictures_edge() -> None:
    picture = torch.zeros(1, 3, 128, 128)
    picture[..., 61:] = 1
    coarse = torch.zeros(1, 2, 32, 32)
    coarse[:, 0, :, 16:] = 1
    wide = torch.nn.functional.interpolate(coarse, (128, 128), mode="bicubic").clamp(0, 1)
    truth = picture[:, :1]
    fine = refine_masks(picture, coarse)
    assert (fine[:, :1] - truth).abs().mean() < 0.5 * (wide[:, :1] - truth).abs().mean()
    assert fine[:, 1].max() == 0


def test_masks_never_sum_above_one() -> None:
    masks = torch.rand(1, 2, 16, 24)
    fine = refine_masks(torch.rand(1, 3, 64, 96), masks / masks.sum(1, keepdim=True))
    assert fine.min() >= 0
    assert fine.sum(1).max() <= 1 + 1e-5


def test_resize_keeps_the_mean() -> None:
    picture = torch.rand(1, 3, 60, 80)
    assert torch.allclose(resize(picture, (30, 40)).mean(), picture.mean(), atol=1e-2)


def test_what_is_known_stays_and_gaps_lie_between() -> None:
    image = torch.rand(1, 3, 37, 50)
    known = (torch.rand(1, 1, 37, 50) > 0.7).float()
    full = pull_push(image, known)
    assert torch.allclose(full * known, image * known, atol=1e-6)
    assert full.min() >= image.min() - 1e-5
    assert full.max() <= image.max() + 1e-5


def test_a_plain_background_stays_plain_behind_an_object() -> None:
    picture = torch.full((1, 3, 64, 80), 0.8)
    masks = torch.zeros(1, 2, 64, 80)
    picture[..., 20:40, 30:50] = 0
    masks[:, 0, 20:40, 30:50] = 1
    assert torch.allclose(fill_behind(picture, masks), torch.tensor(0.8), atol=1e-4)


def test_only_what_stands_out_is_cut_out() -> None:
    masks = torch.zeros(1, 2, 64, 64)
    masks[:, 0, 20:44, 20:44] = 1
    plain = torch.full((1, 3, 64, 64), 0.5)
    object_on_it = plain + 0.45 * masks[:, :1]
    for picture, expected in ((plain, True), (object_on_it, False)):
        assert has_no_contour(picture, masks, fill_behind(picture, masks)) is expected
