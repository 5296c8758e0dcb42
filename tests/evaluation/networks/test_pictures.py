"""Sizes, crops, kernels and colours of frames, against the rules they come from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from fbridge.evaluation.networks.pictures import CLIP, IMAGENET, by_pillow, fitted, in_parts, middle


def noise(frames: int, height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(frames * height + width)
    shape = (frames, height, width, 3)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("height", "width", "side", "expected"),
    [
        (256, 256, 224, (224, 224)),
        (720, 1280, 224, (224, 398)),
        (1280, 720, 256, (455, 256)),
        (320, 720, 224, (224, 504)),  # 720 * (224 / 320) is a hair below 504
        (720, 320, 224, (504, 224)),
        (880, 880, 224, (224, 224)),
        (100, 300, 224, (224, 672)),
    ],
)
def test_shorter_side(height: int, width: int, side: int, expected: tuple[int, int]) -> None:
    assert fitted(height, width, side) == expected


@pytest.mark.parametrize(("size", "first"), [(4, 0), (5, 0), (6, 1), (7, 2), (8, 2), (9, 2)])
def test_middle_rounds_half_to_even(size: int, first: int) -> None:
    ramp = torch.arange(size).expand(1, 1, 4, size)
    assert middle(ramp, 4)[0, 0, 0].tolist() == list(range(first, first + 4))
    assert middle(ramp.transpose(2, 3), 4)[0, 0, :, 0].tolist() == list(range(first, first + 4))


def test_pillow_keeps_what_needs_no_resize() -> None:
    frames = noise(2, 20, 30)
    expected = frames.permute(0, 3, 1, 2).float() / 255
    assert torch.equal(by_pillow(frames, (20, 30)), expected)


def bicubic(size: int, wanted: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Keys' kernel (a = -1/2), stretched over all that an output pixel stands for."""
    scale = size / wanted
    reach = max(scale, 1.0)
    centres = (np.arange(wanted)[:, None] + 0.5) * scale
    away = np.abs((np.arange(size)[None] + 0.5 - centres) / reach)
    near = (1.5 * away - 2.5) * away**2 + 1
    far = ((-0.5 * away + 2.5) * away - 4) * away + 2
    weights = np.where(away < 1, near, np.where(away < 2, far, 0))
    return weights / weights.sum(1, keepdims=True)


@pytest.mark.parametrize(("height", "width"), [(40, 60), (11, 17)])
def test_pillow_is_antialiased_bicubic_in_bytes(height: int, width: int) -> None:
    frames = noise(1, height, width)
    rows, columns = bicubic(height, 16), bicubic(width, 24)
    wide = np.einsum("hwc,jw->chj", frames[0].numpy().astype(float), columns)
    both = np.einsum("ih,chj->cij", rows, np.floor(wide + 0.5).clip(0, 255))
    found = by_pillow(frames, (16, 24))[0].numpy() * 255
    assert found == pytest.approx(np.round(found), abs=1e-4)
    assert np.abs(found - both.clip(0, 255)).max() < 1  # where a half is rounded otherwise


def test_colours() -> None:
    image = torch.tensor([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1)
    assert IMAGENET.standardised(image).abs().max() < 1e-6
    white = CLIP.standardised(torch.ones(1, 3, 1, 1)).flatten().tolist()
    assert white == pytest.approx([1.93033625, 2.07488384, 2.14589699], abs=1e-6)


def test_parts_make_the_whole() -> None:
    frames = noise(19, 2, 3)
    sizes = []

    def network(part: Tensor) -> Tensor:
        sizes.append(len(part))
        return part.float().mean(dim=(1, 2))

    found = in_parts(network, frames, torch.device("cpu"))
    assert torch.equal(found, frames.float().mean(dim=(1, 2)))
    assert sum(sizes) == 19
    assert max(sizes) < 19


@pytest.mark.parametrize(
    "frames",
    [torch.zeros(2, 4, 4, 3), torch.zeros(4, 4, 3, dtype=torch.uint8),
     torch.zeros(2, 3, 4, 4, dtype=torch.uint8)],
)  # fmt: skip
def test_frames_that_are_none(frames: Tensor) -> None:
    with pytest.raises(ValueError, match=r"must be \(T, H, W, 3\) uint8, not"):
        in_parts(lambda part: part, frames, torch.device("cpu"))
