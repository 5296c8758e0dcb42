"""Motion of known translations, and flicker of known brightness."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from fbridge.evaluation.metrics.motion import flicker, flow_magnitudes, optical_flow


def textured(height: int, width: int) -> Tensor:
    """(H, W, 3) smooth noise that a search can hold on to."""
    generator = torch.Generator().manual_seed(2)
    small = torch.rand(1, 3, height // 4, width // 4, generator=generator)
    large = torch.nn.functional.interpolate(small, (height, width), mode="bicubic")
    return (large[0].permute(1, 2, 0) * 255).clamp(0, 255).byte()


def moving(right: int, down: int, frames: int = 4, side: int = 96) -> Tensor:
    scene = textured(side + 4 * frames, side + 4 * frames)
    return torch.stack(
        [
            scene[16 - down * n : 16 - down * n + side, 16 - right * n : 16 - right * n + side]
            for n in range(frames)
        ]
    )


@pytest.mark.parametrize(("right", "down"), [(3, 1), (2, 0), (1, -2)])
def test_a_translation_has_its_length(right: int, down: int) -> None:
    clip = moving(right, -down).flip(1) if down < 0 else moving(right, down)
    found = flow_magnitudes(clip)
    assert found.shape == (3,)
    assert found.mean() == pytest.approx(math.hypot(right, down), rel=0.06)
    middle = optical_flow(clip)[:, 32:64, 32:64].mean((0, 1, 2))
    assert middle[0] == pytest.approx(right, abs=0.15)
    assert middle[1] == pytest.approx(down, abs=0.15)


def test_a_still_clip_does_not_move() -> None:
    clip = textured(64, 64).expand(5, -1, -1, -1)
    assert float(flow_magnitudes(clip).max()) == 0
    assert float(flicker(clip)) == 0


def test_small_frames_are_enlarged_and_counted_in_their_own_pixels() -> None:
    clip = moving(1, 0, side=24)
    assert optical_flow(clip).shape == (3, 24, 24, 2)
    assert flow_magnitudes(clip).mean() == pytest.approx(1.0, rel=0.2)


def test_flicker_is_the_second_difference_of_brightness() -> None:
    def levels(*values: int) -> Tensor:
        return torch.tensor(values, dtype=torch.uint8).reshape(-1, 1, 1, 1).expand(-1, 8, 8, 3)

    assert float(flicker(levels(10, 20, 30, 40))) == pytest.approx(0, abs=1e-9)
    assert float(flicker(levels(10, 20, 10, 20))) == pytest.approx(20)
    assert float(flicker(levels(10, 20))) == 0
