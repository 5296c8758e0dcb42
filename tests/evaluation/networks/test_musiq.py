"""MUSIQ: the names in the converted file, its patches, and torch's own layers beside it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fbridge.errors import CheckpointError
from fbridge.evaluation.networks import musiq
from fbridge.evaluation.networks.musiq import Musiq


def shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of musiq_spaq_ckpt-358bb6af.pth."""
    found: dict[str, tuple[int, ...]] = {
        "conv_root.weight": (64, 3, 7, 7),
        "block1.conv1.weight": (64, 64, 1, 1),
        "block1.conv2.weight": (64, 64, 3, 3),
        "block1.conv3.weight": (256, 64, 1, 1),
        "block1.conv_proj.weight": (256, 64, 1, 1),
        "transformer_encoder.posembed_input.position_emb": (1, 100, 384),
        "transformer_encoder.scaleembed_input.scale_emb": (3, 384),
        "transformer_encoder.cls": (1, 1, 384),
    }

    def pair(name: str, *shape: int) -> None:
        found[f"{name}.weight"] = shape
        found[f"{name}.bias"] = shape[:1]

    for name, width in (("gn_root", 64), ("block1.gn1", 64), ("block1.gn2", 64)):
        pair(name, width)
    pair("block1.gn3", 256)
    pair("block1.gn_proj", 256)
    pair("embedding", 384, 16384)
    pair("head", 1, 384)
    pair("transformer_encoder.encoder_norm", 384)
    for number in range(14):
        at = f"transformer_encoder.transformer.encoderblock_{number}"
        pair(f"{at}.norm1", 384)
        pair(f"{at}.norm2", 384)
        for name in ("query", "key", "value", "out"):
            pair(f"{at}.attention.{name}", 384, 384)
        pair(f"{at}.mlp.fc1", 1152, 384)
        pair(f"{at}.mlp.fc2", 384, 1152)
    return found


def state() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(shape, generator=generator) * 0.05 + ("norm" in name or "gn" in name)
        for name, shape in shapes().items()
    }


@pytest.fixture(scope="module")
def network() -> Musiq:
    return Musiq.from_state(state())


def frames(*size: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (2, *size, 3), dtype=torch.uint8, generator=generator)


def test_the_converted_file_fits_and_no_other() -> None:
    with pytest.raises(CheckpointError, match=r"MUSIQ weights do not fit: .*position_emb"):
        Musiq.from_state(
            state() | {"transformer_encoder.posembed_input.position_emb": torch.zeros(1, 49, 384)}
        )


def test_ratings_are_of_single_frames(network: Musiq) -> None:
    both = network.ratings(frames(96, 64))
    assert both.shape == (2,)
    assert torch.allclose(network.ratings(frames(96, 64)[1:]), both[1:], atol=1e-4)
    assert abs(float(both[0] - both[1])) > 1e-4


def test_long_frames_are_shrunk_to_512() -> None:
    assert musiq._fitted(frames(500, 640)).shape == (2, 3, 400, 512)
    small = musiq._fitted(frames(500, 512))
    assert torch.equal(small, frames(500, 512).permute(0, 3, 1, 2) / 255)


def test_kernels_have_no_mean_and_unit_deviation(network: Musiq) -> None:
    x = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    kernel = network.conv_root.weight
    flat = kernel.flatten(1)
    normal = ((flat - flat.mean(1, keepdim=True)) / (flat.std(1, keepdim=True) + 1e-5)).view_as(
        kernel
    )
    direct = F.conv2d(F.pad(x, (2, 3, 2, 3)), normal, stride=2)  # TensorFlow's SAME
    assert network.conv_root(x).shape == (1, 64, 16, 16)
    assert torch.allclose(network.conv_root(x), direct, atol=1e-5)


def test_patches_are_of_three_sizes() -> None:
    picture = torch.rand(1, 3, 128, 96, generator=torch.Generator().manual_seed(3))
    patches, places, scales = musiq._patches(picture)
    counts = [7 * 6, 12 * 9, 4 * 3]  # 224 x 168, 384 x 288, 128 x 96
    assert patches.shape == (1, sum(counts), 3, 32, 32)
    assert scales.bincount().tolist() == counts
    own = patches[0, -12:]
    assert torch.equal(own[5], picture[0, :, 32:64, 64:96])  # second row, last column
    assert places[-12:].tolist() == [
        10 * row + column for row in (0, 2, 5, 7) for column in (0, 3, 6)
    ]
    # 168 columns are filled up to 192 with zeros, half of them at the left
    assert not patches[0, 0, :, :, :12].any()
    assert not patches[0, 5, :, :, -12:].any()


@pytest.mark.parametrize("count", [1, 3, 10, 12, 16, 33])
def test_places_are_the_nearest(count: int) -> None:
    nearest = F.interpolate(torch.arange(10.0).reshape(1, 1, 10), count, mode="nearest")
    assert musiq._places(1, count).tolist() == nearest.flatten().int().tolist()


def test_a_layer_is_torchs(network: Musiq) -> None:
    layer = torch.nn.TransformerEncoderLayer(
        384, 6, 1152, 0.0, "gelu", 1e-6, batch_first=True, norm_first=True
    ).eval()
    at = "transformer_encoder.transformer.encoderblock_0."
    own = {name.removeprefix(at): value for name, value in state().items() if at in name}
    given = {}
    for part in ("weight", "bias"):
        given[f"self_attn.in_proj_{part}"] = torch.cat(
            [own[f"attention.{name}.{part}"] for name in ("query", "key", "value")]
        )
        for theirs, ours in (
            ("self_attn.out_proj", "attention.out"),
            ("linear1", "mlp.fc1"),
            ("linear2", "mlp.fc2"),
            ("norm1", "norm1"),
            ("norm2", "norm2"),
        ):
            given[f"{theirs}.{part}"] = own[f"{ours}.{part}"]
    layer.load_state_dict(given)
    x = torch.randn(2, 5, 384, generator=torch.Generator().manual_seed(4))
    first = network.transformer_encoder.transformer["encoderblock_0"]
    with torch.inference_mode():
        assert torch.allclose(first(x), layer(x), atol=1e-4)
