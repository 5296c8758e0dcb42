"""I3D: the network against an independent one, its preparation of frames, and golden numbers."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from fbridge.errors import CheckpointError
from fbridge.evaluation.distances.frechet import frechet_distance
from fbridge.evaluation.networks.i3d.layers import MaxPool
from fbridge.evaluation.networks.i3d.network import I3D, load_i3d, prepare
from tests.evaluation.networks.i3d.noise import FEATURES, PUBLISHED, SEEDS, noise

MIXED = {  # inputs, then channels of the six units
    "Mixed_3b": (192, 64, 96, 128, 16, 32, 32),
    "Mixed_3c": (256, 128, 128, 192, 32, 96, 64),
    "Mixed_4b": (480, 192, 96, 208, 16, 48, 64),
    "Mixed_4c": (512, 160, 112, 224, 24, 64, 64),
    "Mixed_4d": (512, 128, 128, 256, 24, 64, 64),
    "Mixed_4e": (512, 112, 144, 288, 32, 64, 64),
    "Mixed_4f": (528, 256, 160, 320, 32, 128, 128),
    "Mixed_5b": (832, 256, 160, 320, 32, 128, 128),
    "Mixed_5c": (832, 384, 192, 384, 48, 128, 128),
}


def units() -> dict[str, tuple[int, int, int]]:
    """Path of every unit, with inputs, outputs and kernel size."""
    found = {
        "Conv3d_1a_7x7": (3, 64, 7),
        "Conv3d_2b_1x1": (64, 64, 1),
        "Conv3d_2c_3x3": (64, 192, 3),
    }
    for block, (n, a, b, c, d, e, f) in MIXED.items():
        found[f"{block}/Branch_0/Conv3d_0a_1x1"] = (n, a, 1)
        found[f"{block}/Branch_1/Conv3d_0a_1x1"] = (n, b, 1)
        found[f"{block}/Branch_1/Conv3d_0b_3x3"] = (b, c, 3)
        found[f"{block}/Branch_2/Conv3d_0a_1x1"] = (n, d, 1)
        found[f"{block}/Branch_2/Conv3d_0b_3x3"] = (d, e, 3)
        found[f"{block}/Branch_3/Conv3d_0b_1x1"] = (n, f, 1)
    return found


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """A random canonical state whose signals neither vanish nor explode."""
    generator = torch.Generator().manual_seed(0)
    tensors: dict[str, Tensor] = {}
    for path, (inputs, outputs, size) in units().items():
        kernel = torch.randn(size, size, size, inputs, outputs, generator=generator)
        norm = f"{path}/BatchNorm_0"
        tensors[f"params/{path}/Conv_0/kernel"] = kernel * math.sqrt(2e-2 / (inputs * size**3))
        tensors[f"params/{norm}/bias"] = 0.2 * torch.randn(outputs, generator=generator)
        tensors[f"batch_stats/{norm}/mean"] = 0.02 * torch.randn(
            1, 1, 1, 1, outputs, generator=generator
        )
        tensors[f"batch_stats/{norm}/var"] = 0.02 * torch.rand(
            1, 1, 1, 1, outputs, generator=generator
        )
    head = "params/Logits/Conv3d_0c_1x1/Conv_0"
    tensors[f"{head}/kernel"] = torch.randn(1, 1, 1, 1024, 400, generator=generator) / 32
    tensors[f"{head}/bias"] = torch.randn(400, generator=generator)
    return tensors


@pytest.fixture(scope="module")
def network(state: dict[str, Tensor]) -> I3D:
    return I3D.from_state(state)


@pytest.fixture(scope="module")
def genuine() -> I3D:
    try:
        return load_i3d()
    except CheckpointError as error:
        pytest.skip(f"the genuine I3D weights are not on this machine: {error}")


def padded(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...], value: float) -> Tensor:
    """TensorFlow's SAME padding, written from its definition axis by axis."""
    for axis in range(3):
        size = x.shape[axis + 2]
        total = max((math.ceil(size / stride[axis]) - 1) * stride[axis] + kernel[axis] - size, 0)
        around = [0, 0, 0, 0, 0, 0]
        around[4 - 2 * axis : 6 - 2 * axis] = [total // 2, total - total // 2]
        x = F.pad(x, around, value=value)
    return x


def pooled(x: Tensor, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> Tensor:
    return F.max_pool3d(padded(x, kernel, stride, -math.inf), kernel, stride)


def reference(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """I3D once more: normalisation not folded, torch's own pooling padded with -inf."""

    def unit(x: Tensor, path: str, stride: int = 1) -> Tensor:
        kernel = state[f"params/{path}/Conv_0/kernel"].permute(4, 3, 0, 1, 2)
        norm = f"{path}/BatchNorm_0"
        x = F.conv3d(padded(x, kernel.shape[2:], (stride,) * 3, 0), kernel, stride=stride)
        mean, var = (state[f"batch_stats/{norm}/{name}"].flatten() for name in ("mean", "var"))
        return F.relu(F.batch_norm(x, mean, var, bias=state[f"params/{norm}/bias"], eps=1e-3))

    def mixed(x: Tensor, block: str) -> Tensor:
        one = unit(x, f"{block}/Branch_0/Conv3d_0a_1x1")
        two = unit(x, f"{block}/Branch_1/Conv3d_0a_1x1")
        three = unit(x, f"{block}/Branch_2/Conv3d_0a_1x1")
        four = pooled(x, (3, 3, 3), (1, 1, 1))
        branches = [
            one,
            unit(two, f"{block}/Branch_1/Conv3d_0b_3x3"),
            unit(three, f"{block}/Branch_2/Conv3d_0b_3x3"),
            unit(four, f"{block}/Branch_3/Conv3d_0b_1x1"),
        ]
        return torch.cat(branches, dim=1)

    x = pooled(unit(x, "Conv3d_1a_7x7", stride=2), (1, 3, 3), (1, 2, 2))
    x = unit(unit(x, "Conv3d_2b_1x1"), "Conv3d_2c_3x3")
    x = pooled(x, (1, 3, 3), (1, 2, 2))
    for block in MIXED:
        if block == "Mixed_4b":
            x = pooled(x, (3, 3, 3), (2, 2, 2))
        if block == "Mixed_5b":
            x = pooled(x, (2, 2, 2), (2, 2, 2))
        x = mixed(x, block)
    x = F.avg_pool3d(x, (2, 7, 7), stride=1).flatten(2).mean(dim=2)
    head = "params/Logits/Conv3d_0c_1x1/Conv_0"
    return x @ state[f"{head}/kernel"].flatten(0, 3) + state[f"{head}/bias"]


def test_size_of_the_network(state: dict[str, Tensor], network: I3D) -> None:
    assert len(state) == 230
    assert sum(tensor.numel() for tensor in state.values()) == 12_704_544
    assert sum(parameter.numel() for parameter in network.parameters()) == 12_689_984


@pytest.mark.parametrize("frames", [9, 18])
def test_agrees_with_an_independent_network(
    state: dict[str, Tensor], network: I3D, frames: int
) -> None:
    generator = torch.Generator().manual_seed(frames)
    clip = 2 * torch.rand(1, 3, frames, 224, 224, generator=generator) - 1
    expected = reference(state, clip)
    found = network(clip)
    assert found.shape == (1, 400)
    spread = float((expected - state["params/Logits/Conv3d_0c_1x1/Conv_0/bias"]).std())
    assert spread > 0.1
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * spread)


def test_features_do_not_depend_on_the_batch(network: I3D) -> None:
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (2, 9, 20, 30, 3), generator=generator, dtype=torch.uint8)
    together = network.features(frames)
    assert together.shape == (2, 400)
    assert not together.requires_grad
    assert torch.equal(together[1:], network.features(frames[1:]))
    assert network.features(frames[:0]).shape == (0, 400)


def test_frames_that_cannot_be_measured(network: I3D) -> None:
    good = torch.zeros(1, 9, 8, 8, 3, dtype=torch.uint8)
    with pytest.raises(ValueError, match="at least 9 frames, not 8"):
        network.features(good[:, :8])
    with pytest.raises(ValueError, match=r"uint8, not .* torch\.float32"):
        network.features(good.float())
    with pytest.raises(ValueError, match=r"\(B, T, H, W, 3\)"):
        network.features(good.movedim(-1, 2))
    with pytest.raises(ValueError, match="at least 9 frames, not 8"):
        network(torch.zeros(1, 3, 8, 224, 224))
    with pytest.raises(ValueError, match="I3D needs"):
        network(torch.zeros(1, 3, 9, 256, 256))


def test_another_state_is_refused(state: dict[str, Tensor]) -> None:
    missing = "params/Mixed_5b/Branch_2/Conv3d_0b_3x3/Conv_0/kernel"
    partial = {name: tensor for name, tensor in state.items() if name != missing}
    with pytest.raises(CheckpointError, match=f"lacks '{missing}'"):
        I3D.from_state(partial)


@pytest.mark.parametrize("size", [4, 5, 6, 7])
@pytest.mark.parametrize(
    ("kernel", "stride"),
    [((1, 3, 3), (1, 2, 2)), ((3, 3, 3), (2, 2, 2)), ((2, 2, 2), (2, 2, 2)), ((3,) * 3, (1,) * 3)],
)
def test_pooling(size: int, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> None:
    x = torch.rand(2, 3, size, size + 1, size + 2, generator=torch.Generator().manual_seed(size))
    assert torch.equal(MaxPool(kernel, stride)(x), pooled(x, kernel, stride))


def test_prepared_frames_keep_colours_and_range() -> None:
    frames = torch.zeros(1, 9, 6, 10, 3, dtype=torch.uint8)
    frames[..., 0], frames[..., 2] = 255, 51
    clip = prepare(frames)
    assert clip.shape == (1, 3, 9, 224, 224)
    for channel, value in enumerate((1.0, -1.0, -0.6)):
        expected = torch.full((9, 224, 224), value)
        torch.testing.assert_close(clip[0, channel], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(224, 224), (448, 224), (448, 672)])
def test_whole_reductions_pick_pixels(height: int, width: int) -> None:
    """No half-pixel centres and no antialiasing: output i is input i * H / 224."""
    generator = torch.Generator().manual_seed(0)
    shape = (1, 1, height, width, 3)
    frames = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    picked = frames[:, :, :: height // 224, :: width // 224].movedim(-1, 1).float()
    torch.testing.assert_close(prepare(frames), 2 * picked / 255 - 1)


def test_enlargement_reads_between_pixels_and_repeats_the_last() -> None:
    row = torch.arange(112, dtype=torch.uint8)
    frames = row[None, None, :, None, None].expand(1, 1, 112, 224, 3)
    expected = (torch.arange(224) / 2).clamp(max=111)
    found = (prepare(frames)[0, 0, 0, :, 0] + 1) * 255 / 2
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_genuine_network_reproduces_a_published_distance(genuine: I3D) -> None:
    """Eight black against eight white clips of 30 frames: 151.39244 by the original code."""
    black = torch.zeros(1, 30, 64, 64, 3, dtype=torch.uint8)
    first = genuine.features(black).expand(8, -1)
    second = genuine.features(black + 255).expand(8, -1)
    assert frechet_distance(first, second) == pytest.approx(151.392, abs=5e-3)


def test_features_of_noise_have_the_published_distance() -> None:
    """The example of fvd-comparison: 128 clips a side give 10.1381 by the original code."""
    sides = load_file(FEATURES)
    assert {tuple(side.shape) for side in sides.values()} == {(128, 400)}
    assert frechet_distance(sides["1"], sides["2"]) == pytest.approx(PUBLISHED, abs=1e-3)


@pytest.mark.parametrize("seed", SEEDS)
def test_genuine_network_on_noise(genuine: I3D, seed: int) -> None:
    """The first clips have the features whose distance is the published one."""
    kept = load_file(FEATURES)[str(seed)]
    found = torch.cat([genuine(clip) for clip in noise(seed, 4)])
    torch.testing.assert_close(found, kept[:4], rtol=0, atol=1e-4)
