"""The convolution with fewer multiplications against torch's."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from fbridge.evaluation.networks.i3d.winograd import convolved, transformed


@pytest.mark.parametrize("size", [(3, 6, 6), (4, 30, 30), (5, 9, 16), (3, 7, 13)])
def test_equals_the_direct_sum(size: tuple[int, int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(5, *size, generator=generator)
    kernel = torch.randn(7, 5, 3, 3, 3, generator=generator)
    wanted = F.conv3d(x[None].double(), kernel.double())[0]
    found = convolved(x, transformed(kernel))
    assert found.shape == wanted.shape
    torch.testing.assert_close(found.double(), wanted, rtol=0, atol=3e-5 * float(wanted.std()))
