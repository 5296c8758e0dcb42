"""C3D: the network once more with other means, and its preparation of clips in closed form."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fbridge.errors import CheckpointError
from fbridge.evaluation.networks.c3d import C3D

CONVOLUTIONS = {  # channels in and out; what follows is pooled by (time, height, width)
    "conv1a": (3, 64, (1, 2, 2)),
    "conv2a": (64, 128, (2, 2, 2)),
    "conv3a": (128, 256, None),
    "conv3b": (256, 256, (2, 2, 2)),
    "conv4a": (256, 512, None),
    "conv4b": (512, 512, (2, 2, 2)),
    "conv5a": (512, 512, None),
    "conv5b": (512, 512, (2, 2, 2)),
}
DENSE = {"fc6": (8192, 4096), "fc7": (4096, 4096), "fc8": (4096, 101)}


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    tensors: dict[str, Tensor] = {}
    for name, (inputs, outputs, _) in CONVOLUTIONS.items():
        kernel = torch.randn(outputs, inputs, 3, 3, 3, generator=generator)
        tensors[f"{name}/W"] = kernel * math.sqrt(2 / (27 * inputs))
        tensors[f"{name}/b"] = 0.1 * torch.randn(outputs, generator=generator)
    for name, (inputs, outputs) in DENSE.items():
        weight = torch.randn(outputs, inputs, generator=generator)
        tensors[f"{name}/W"] = weight * math.sqrt(2 / inputs)
        tensors[f"{name}/b"] = 0.1 * torch.randn(outputs, generator=generator)
    return tensors


@pytest.fixture(scope="module")
def mean() -> Tensor:
    return 255 * torch.rand(3, 16, 128, 171, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def network(state: dict[str, Tensor], mean: Tensor) -> C3D:
    return C3D.from_state(state, {"mean": mean})


def reference(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """Pooling written out: windows that stand over the edge count what is there."""
    for name, (_, _, pool) in CONVOLUTIONS.items():
        x = F.conv3d(F.pad(x, (1,) * 6), state[f"{name}/W"], state[f"{name}/b"]).clamp_min(0)
        for axis, size in enumerate(pool or (), 2):
            missing = -x.shape[axis] % size
            around = [0, 0] * (4 - axis) + [0, missing]
            x = F.pad(x, around, value=-math.inf).unflatten(axis, (-1, size)).amax(axis + 1)
    assert x.shape[1:] == (512, 1, 4, 4)
    x = x.reshape(len(x), -1)
    for name in ("fc6", "fc7"):
        x = (x @ state[f"{name}/W"].T + state[f"{name}/b"]).clamp_min(0)
    return x @ state["fc8/W"].T + state["fc8/b"]


def noise(count: int, height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    shape = (count, 16, height, width, 3)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def test_size_of_the_network(network: C3D) -> None:
    assert sum(parameter.numel() for parameter in network.parameters()) == 78_409_573


def test_agrees_with_an_independent_network(state: dict[str, Tensor], network: C3D) -> None:
    clips = noise(1, 20, 30)
    expected = reference(state, network.prepare(clips[0]))
    found = network.features(clips)
    assert found.shape == (1, 101)
    spread = float(expected.std())
    assert spread > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * spread)
    assert network.features(clips[:0]).shape == (0, 101)


def test_mean_is_taken_off_blue_first(network: C3D, mean: Tensor) -> None:
    clip = noise(1, 112, 112)[0]
    found = network.prepare(clip)
    assert found.shape == (1, 3, 16, 112, 112)
    for channel, colour in enumerate((2, 1, 0)):
        expected = clip[..., colour].float() - mean[channel, :, 8:120, 8:120]
        torch.testing.assert_close(found[0, channel], expected, rtol=0, atol=1e-4)


def test_the_original_way_over_minus_one_to_one_cancels_out(network: C3D, mean: Tensor) -> None:
    """TGAN-v2: times 128 of (x - 128) / 128, resized, plus 128 minus the mean."""
    clip = noise(1, 64, 64)[0]
    images = 128 * ((clip.permute(0, 3, 1, 2).double() - 128) / 128).flip(1)
    images = F.interpolate(images, (112, 112), mode="bilinear", align_corners=True)
    expected = images.transpose(0, 1) + 128 - mean[:, :, 8:120, 8:120]
    torch.testing.assert_close(network.prepare(clip)[0].double(), expected, rtol=0, atol=5e-3)


def test_corners_stay_corners(state: dict[str, Tensor]) -> None:
    network = C3D.from_state(state, {"mean": torch.zeros(3, 16, 120, 120)})
    ramp = torch.arange(57, dtype=torch.uint8)[None, None, :, None].expand(16, 40, 57, 3)
    expected = torch.arange(112) * 56 / 111
    found = network.prepare(ramp)[0, 1, 3, 50]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_clips_that_cannot_be_measured(network: C3D) -> None:
    good = noise(1, 8, 8)
    for clips in (good[:, :15], good.float(), good[0], good.movedim(-1, 2)):
        with pytest.raises(ValueError, match=r"\(B, 16, H, W, 3\) uint8, not"):
            network.features(clips)


def test_another_state_is_refused(state: dict[str, Tensor], mean: Tensor) -> None:
    with pytest.raises(CheckpointError, match="lack 'fc7/b'"):
        C3D.from_state({k: v for k, v in state.items() if k != "fc7/b"}, {"mean": mean})
    with pytest.raises(CheckpointError, match="size mismatch for mean"):
        C3D.from_state(state, {"mean": mean[:, :, :112]})
