"""LPIPS: the distance once more, its limits, and the published figure where weights are there."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fbridge.errors import CheckpointError, DataError
from fbridge.evaluation.networks.lpips import SMALLEST, Lpips

LAYERS = {  # of torchvision's AlexNet: inputs, outputs, kernel, stride, padding, pooled before
    "features.0": (3, 64, 11, 4, 2, False),
    "features.3": (64, 192, 5, 1, 2, True),
    "features.6": (192, 384, 3, 1, 1, True),
    "features.8": (384, 256, 3, 1, 1, False),
    "features.10": (256, 256, 3, 1, 1, False),
}


@pytest.fixture(scope="module")
def trunk() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    tensors = {"classifier.6.bias": torch.zeros(1000)}  # which the file has, and LPIPS leaves
    for name, (inputs, outputs, side, *_) in LAYERS.items():
        kernel = torch.randn(outputs, inputs, side, side, generator=generator)
        tensors[f"{name}.weight"] = kernel * (2 / (inputs * side**2)) ** 0.5
        tensors[f"{name}.bias"] = 0.1 * torch.randn(outputs, generator=generator)
    return tensors


@pytest.fixture(scope="module")
def heads() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        f"lin{number}.model.1.weight": torch.rand(1, layer[1], 1, 1, generator=generator)
        for number, layer in enumerate(LAYERS.values())
    }


def noise(seed: int, height: int = 50, width: int = 70) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (2, height, width, 3)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def reference(trunk: dict[str, Tensor], heads: dict[str, Tensor], a: Tensor, b: Tensor) -> Tensor:
    """Equation 1 of the paper, in double."""
    shift, scale = torch.tensor([-0.03, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.45])
    both = (torch.cat([a, b]).double() / 127.5 - 1 - shift) / scale
    x, total = both.permute(0, 3, 1, 2), torch.zeros(len(a), dtype=torch.float64)
    for number, (name, (_, _, _, stride, padding, pooled)) in enumerate(LAYERS.items()):
        x = F.max_pool2d(x, 3, 2) if pooled else x
        weight, bias = (trunk[f"{name}.{part}"].double() for part in ("weight", "bias"))
        x = F.conv2d(x, weight, bias, stride, padding).clamp_min(0)
        first, second = F.normalize(x, dim=1).chunk(2)
        weights = heads[f"lin{number}.model.1.weight"].double()
        total += ((first - second) ** 2 * weights).sum(1).flatten(1).mean(1)
    return total


def test_agrees_with_an_independent_distance(
    trunk: dict[str, Tensor], heads: dict[str, Tensor]
) -> None:
    network = Lpips.from_state(trunk, heads)
    first, second = noise(0), noise(1)
    found = network.distance(first, second)
    expected = reference(trunk, heads, first, second)
    assert found.shape == (2,)
    assert float(expected.min()) > 0.1
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=0)


def test_equal_frames_are_at_no_distance(
    trunk: dict[str, Tensor], heads: dict[str, Tensor]
) -> None:
    network = Lpips.from_state(trunk, heads)
    first, second = noise(0), noise(1)
    assert torch.equal(network.distance(first, first), torch.zeros(2))
    assert torch.equal(network.distance(first, second), network.distance(second, first))
    assert torch.equal(network.distance(first[1:], second[1:]), network.distance(first, second)[1:])


def test_frames_that_cannot_be_compared(trunk: dict[str, Tensor], heads: dict[str, Tensor]) -> None:
    network = Lpips.from_state(trunk, heads)
    least = noise(0, SMALLEST, SMALLEST)
    assert network.distance(least, least).shape == (2,)
    small = noise(0, SMALLEST - 1, 64)
    with pytest.raises(DataError, match="31 x 31 pixels or more, these have 64 x 30"):
        network.distance(small, small)
    with pytest.raises(ValueError, match="equal shape"):
        network.distance(noise(0), least)
    with pytest.raises(ValueError, match=r"torch\.float32"):
        network.distance(noise(0), noise(0).float())


def test_another_state_is_refused(trunk: dict[str, Tensor], heads: dict[str, Tensor]) -> None:
    with pytest.raises(CheckpointError, match=r"features\.10\.bias"):
        Lpips.from_state({k: v for k, v in trunk.items() if k != "features.10.bias"}, heads)
    with pytest.raises(CheckpointError, match=r"lin4\.model\.1\.weight"):
        Lpips.from_state(trunk, {k: v for k, v in heads.items() if "lin4" not in k})


def test_published_distance_of_black_and_white() -> None:
    """0.8140090703964233, as a mean over maps that were first enlarged to the frames' size."""
    try:
        network = Lpips.load()
    except CheckpointError as error:
        pytest.skip(f"LPIPS' weights are not on this machine: {error}")
    layers = [network._layers(torch.full((1, 3, 64, 64), value)) for value in (-1.0, 1.0)]
    found = 0.0
    with torch.no_grad():
        for first, second, head in zip(*layers, network.heads, strict=True):
            apart = (F.normalize(first, dim=1) - F.normalize(second, dim=1)).square()
            score = (apart * head).sum(1, keepdim=True)
            found += float(F.interpolate(score, (64, 64), mode="bilinear").mean())
    assert found == pytest.approx(0.8140090703964233, abs=1e-4)
    black = torch.zeros(1, 64, 64, 3, dtype=torch.uint8)
    assert float(network.distance(black, black + 255)) == pytest.approx(found, abs=0.05)
