"""Masks at the picture's resolution."""

from __future__ import annotations

import torch

from fbridge.codecs.matting import guided_filter, refine_masks, resize


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
    coarse[:, 0, :, 15:] = 1
    wide = torch.nn.functional.interpolate(coarse, (128, 128), mode="bicubic").clamp(0, 1)
    truth = picture[:, :1]
    fine = refine_masks(picture, coarse)
    assert (fine[:, :1] - truth).abs().mean() < 0.3 * (wide[:, :1] - truth).abs().mean()
    assert fine[:, 1].max() == 0


def test_masks_never_sum_above_one() -> None:
    masks = torch.rand(1, 2, 16, 24)
    fine = refine_masks(torch.rand(1, 3, 64, 96), masks / masks.sum(1, keepdim=True))
    assert fine.min() >= 0
    assert fine.sum(1).max() <= 1 + 1e-5


def test_resize_keeps_the_mean() -> None:
    picture = torch.rand(1, 3, 60, 80)
    assert torch.allclose(resize(picture, (30, 40)).mean(), picture.mean(), atol=1e-2)
