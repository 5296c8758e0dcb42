"""Correlation against direct products, and what encoders of frames are made of."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fbridge.errors import DataError
from fbridge.evaluation.networks.flow_parts import Correlation, Encoder, grid, padded


def test_correlation_is_products_of_features() -> None:
    generator = torch.Generator().manual_seed(0)
    one, two = (torch.randn(2, 16, 16, 24, generator=generator) for _ in range(2))
    likeness = Correlation(one, two, radius=1)
    shift = torch.tensor([2.0, -1.0]).reshape(1, 2, 1, 1)
    found = likeness.around(grid(one) + shift)
    assert found.shape == (2, 4 * 9, 16, 24)
    y, x = 7, 11
    for place, (dx, dy) in enumerate((dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)):
        direct = (one[1, :, y, x] * two[1, :, y - 1 + dy, x + 2 + dx]).sum() / 4
        assert found[1, place, y, x] == pytest.approx(float(direct), abs=1e-5)
    assert found[0, 4, 0, 0].abs() < 1e-6  # above the frame there is nothing


def test_coarser_levels_are_means() -> None:
    generator = torch.Generator().manual_seed(1)
    one, two = (torch.randn(1, 4, 16, 16, generator=generator) for _ in range(2))
    found = Correlation(one, two, radius=0).around(grid(one) * 0 + 8)
    blocks = two.unflatten(3, (4, 4)).unflatten(2, (4, 4)).mean((3, 5))  # of four by four places
    direct = (one[0, :, 3, 5] * blocks[0, :, 2, 2]).sum() / 2
    assert found[0, 2, 3, 5] == pytest.approx(float(direct), abs=1e-5)


def test_a_turned_correlation_is_of_the_other_frame() -> None:
    generator = torch.Generator().manual_seed(2)
    one, two = (torch.randn(1, 8, 16, 16, generator=generator) for _ in range(2))
    places = grid(one) + 0.25
    turned = Correlation(one, two, radius=2).turned.around(places)
    assert torch.allclose(turned, Correlation(two, one, radius=2).around(places), atol=1e-5)


@pytest.mark.parametrize("bottleneck", [False, True])
def test_encoders_see_an_eighth(*, bottleneck: bool) -> None:
    encoder = Encoder((8, 12, 16), 20, nn.InstanceNorm2d, bottleneck=bottleneck).eval()
    frames = torch.rand(2, 3, 48, 64, generator=torch.Generator().manual_seed(3))
    assert encoder(frames).shape == (2, 20, 6, 8)
    names = set(encoder.state_dict())
    assert {"conv1.weight", "layer2.0.downsample.0.weight", "layer3.1.conv2.bias"} <= names
    assert ("layer1.0.conv3.weight" in names) == bottleneck
    assert "layer1.0.downsample.0.weight" not in names


def test_frames_are_filled_up_on_all_sides() -> None:
    frames = torch.rand(1, 3, 130, 133, generator=torch.Generator().manual_seed(4))
    filled, (rows, columns) = padded(frames, 8)
    assert filled.shape == (1, 3, 136, 136)
    assert torch.equal(filled[:, :, rows, columns], frames)
    assert (rows.start, columns.start) == (3, 1)
    assert torch.equal(filled[0, 0, 0, 1:134], frames[0, 0, 0])
    with pytest.raises(DataError, match="128 x 128 pixels or more, these have 130 x 127"):
        padded(torch.zeros(1, 3, 127, 130), 8)
