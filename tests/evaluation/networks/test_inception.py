"""InceptionV3 of FID: once more from its table, its parameters counted, and its two resizes."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fbridge.errors import CheckpointError
from fbridge.evaluation.networks.inception import InceptionV3, prepare

Unit = tuple[int, int, int, int, int]
"""Channels in and out, height and width of the kernel, stride."""
VALID = {"Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_4a_3x3"}
STEM: dict[str, Unit] = {
    "Conv2d_1a_3x3": (3, 32, 3, 3, 2),
    "Conv2d_2a_3x3": (32, 32, 3, 3, 1),
    "Conv2d_2b_3x3": (32, 64, 3, 3, 1),
    "Conv2d_3b_1x1": (64, 80, 1, 1, 1),
    "Conv2d_4a_3x3": (80, 192, 3, 3, 1),
}
BLOCKS = {  # channels and side behind each block, as in table 1 of Szegedy et al. 2015
    "Mixed_5b": (256, 35), "Mixed_5c": (288, 35), "Mixed_5d": (288, 35), "Mixed_6a": (768, 17),
    "Mixed_6b": (768, 17), "Mixed_6c": (768, 17), "Mixed_6d": (768, 17), "Mixed_6e": (768, 17),
    "Mixed_7a": (1280, 8), "Mixed_7b": (2048, 8), "Mixed_7c": (2048, 8),
}  # fmt: skip


def five(n: int, pooled: int) -> dict[str, Unit]:
    return {
        "branch1x1": (n, 64, 1, 1, 1),
        "branch5x5_1": (n, 48, 1, 1, 1), "branch5x5_2": (48, 64, 5, 5, 1),
        "branch3x3dbl_1": (n, 64, 1, 1, 1), "branch3x3dbl_2": (64, 96, 3, 3, 1),
        "branch3x3dbl_3": (96, 96, 3, 3, 1),
        "branch_pool": (n, pooled, 1, 1, 1),
    }  # fmt: skip


def seven(c: int) -> dict[str, Unit]:
    return {
        "branch1x1": (768, 192, 1, 1, 1),
        "branch7x7_1": (768, c, 1, 1, 1), "branch7x7_2": (c, c, 1, 7, 1),
        "branch7x7_3": (c, 192, 7, 1, 1),
        "branch7x7dbl_1": (768, c, 1, 1, 1), "branch7x7dbl_2": (c, c, 7, 1, 1),
        "branch7x7dbl_3": (c, c, 1, 7, 1), "branch7x7dbl_4": (c, c, 7, 1, 1),
        "branch7x7dbl_5": (c, 192, 1, 7, 1),
        "branch_pool": (768, 192, 1, 1, 1),
    }  # fmt: skip


def last(n: int) -> dict[str, Unit]:
    return {
        "branch1x1": (n, 320, 1, 1, 1),
        "branch3x3_1": (n, 384, 1, 1, 1), "branch3x3_2a": (384, 384, 1, 3, 1),
        "branch3x3_2b": (384, 384, 3, 1, 1),
        "branch3x3dbl_1": (n, 448, 1, 1, 1), "branch3x3dbl_2": (448, 384, 3, 3, 1),
        "branch3x3dbl_3a": (384, 384, 1, 3, 1), "branch3x3dbl_3b": (384, 384, 3, 1, 1),
        "branch_pool": (n, 192, 1, 1, 1),
    }  # fmt: skip


MIXED: dict[str, dict[str, Unit]] = {
    "Mixed_5b": five(192, 32), "Mixed_5c": five(256, 64), "Mixed_5d": five(288, 64),
    "Mixed_6a": {
        "branch3x3": (288, 384, 3, 3, 2),
        "branch3x3dbl_1": (288, 64, 1, 1, 1), "branch3x3dbl_2": (64, 96, 3, 3, 1),
        "branch3x3dbl_3": (96, 96, 3, 3, 2),
    },
    "Mixed_6b": seven(128), "Mixed_6c": seven(160), "Mixed_6d": seven(160), "Mixed_6e": seven(192),
    "Mixed_7a": {
        "branch3x3_1": (768, 192, 1, 1, 1), "branch3x3_2": (192, 320, 3, 3, 2),
        "branch7x7x3_1": (768, 192, 1, 1, 1), "branch7x7x3_2": (192, 192, 1, 7, 1),
        "branch7x7x3_3": (192, 192, 7, 1, 1), "branch7x7x3_4": (192, 192, 3, 3, 2),
    },
    "Mixed_7b": last(1280), "Mixed_7c": last(2048),
}  # fmt: skip
UNITS = STEM | {f"{b}.{u}": unit for b, units in MIXED.items() for u, unit in units.items()}


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """A random state whose signals neither vanish nor explode."""
    generator = torch.Generator().manual_seed(0)
    tensors: dict[str, Tensor] = {}
    for name, (inputs, outputs, height, width, _) in UNITS.items():
        kernel = torch.randn(outputs, inputs, height, width, generator=generator)
        tensors[f"{name}.conv.weight"] = kernel * math.sqrt(2 / (inputs * height * width))
        for part, low in (
            ("weight", 0.8),
            ("running_var", 0.5),
            ("bias", -0.1),
            ("running_mean", 0.0),
        ):
            tensors[f"{name}.bn.{part}"] = low + torch.rand(outputs, generator=generator) / 2
    tensors["fc.weight"] = torch.randn(1008, 2048, generator=generator) / 45
    tensors["fc.bias"] = torch.randn(1008, generator=generator)
    return tensors


@pytest.fixture(scope="module")
def network(state: dict[str, Tensor]) -> InceptionV3:
    return InceptionV3.from_state(state)


def reference(state: dict[str, Tensor], x: Tensor) -> tuple[Tensor, dict[str, tuple[int, int]]]:
    """The graph once more from the table, normalisation and averages written out."""

    def unit(x: Tensor, name: str) -> Tensor:
        _, _, height, width, stride = UNITS[name]
        keeps = stride == 1 and name not in VALID
        padding = (height // 2, width // 2) if keeps else (0, 0)
        x = F.conv2d(x, state[f"{name}.conv.weight"], stride=stride, padding=padding)
        mean, var, scale, shift = (
            state[f"{name}.bn.{part}"][:, None, None]
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        return ((x - mean) / (var + 1e-3).sqrt() * scale + shift).clamp_min(0)

    def chain(x: Tensor, block: str, *names: str) -> Tensor:
        for name in names:
            x = unit(x, f"{block}.{name}")
        return x

    def average(x: Tensor) -> Tensor:
        ones = torch.ones_like(x)
        return F.avg_pool2d(x, 3, 1, 1) / F.avg_pool2d(ones, 3, 1, 1)  # of what is there

    shapes = {}
    x = unit(unit(unit(x, "Conv2d_1a_3x3"), "Conv2d_2a_3x3"), "Conv2d_2b_3x3")
    x = unit(unit(F.max_pool2d(x, 3, 2), "Conv2d_3b_1x1"), "Conv2d_4a_3x3")
    x = F.max_pool2d(x, 3, 2)
    for block, units in MIXED.items():
        if block == "Mixed_7c":
            side = F.max_pool2d(F.pad(x, (1, 1, 1, 1), value=-math.inf), 3, 1)
        elif "branch_pool" in units:
            side = average(x)
        else:
            side = F.max_pool2d(x, 3, 2)
        heads = dict.fromkeys(name.split("_")[0] for name in units if name != "branch_pool")
        parts = []
        for head in heads:
            names = [name for name in units if name.split("_")[0] == head]
            split = [name for name in names if name[-1] in "ab"]
            trunk = chain(x, block, *(name for name in names if name not in split))
            parts += [chain(trunk, block, name) for name in split] if split else [trunk]
        x = torch.cat(
            [*parts, chain(side, block, *(["branch_pool"] * ("branch_pool" in units)))], 1
        )
        shapes[block] = (x.shape[1], x.shape[2])
    return x.flatten(2).mean(dim=2), shapes


def test_size_of_the_network(state: dict[str, Tensor], network: InceptionV3) -> None:
    """Keras' InceptionV3 has 23,851,784: of 1000 classes, with means and variances, no scales."""
    channels = sum(outputs for _, outputs, *_ in UNITS.values())
    keras = 23_851_784
    expected = keras - channels + 8 * 2049
    assert sum(parameter.numel() for parameter in network.parameters()) == expected
    assert len(state) == 5 * 94 + 2


def test_agrees_with_an_independent_network(state: dict[str, Tensor], network: InceptionV3) -> None:
    image = 2 * torch.rand(1, 3, 299, 299, generator=torch.Generator().manual_seed(1)) - 1
    expected, shapes = reference(state, image)
    assert shapes == BLOCKS
    found = network(image)
    assert found.shape == (1, 2048)
    assert float(expected.std()) > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_features_and_logits(state: dict[str, Tensor], network: InceptionV3) -> None:
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (2, 20, 30, 3), generator=generator, dtype=torch.uint8)
    found = network.features(frames)
    assert found.shape == (2, 2048)
    torch.testing.assert_close(found[1:], network.features(frames[1:]), rtol=1e-4, atol=1e-5)
    assert not torch.equal(found[:1], network.features(frames[:1], resize="clean"))
    expected = found @ state["fc.weight"].T
    torch.testing.assert_close(network.logits(found), expected)


@pytest.mark.parametrize("counted", [True, False])
def test_states_with_and_without_counters(state: dict[str, Tensor], counted: bool) -> None:
    counters = {f"{name}.bn.num_batches_tracked": torch.tensor(0) for name in UNITS}
    InceptionV3.from_state(state | counters if counted else state)


def test_another_state_is_refused(state: dict[str, Tensor]) -> None:
    partial = {k: v for k, v in state.items() if k != "Mixed_7c.branch_pool.conv.weight"}
    with pytest.raises(CheckpointError, match=r"Missing key.*Mixed_7c\.branch_pool"):
        InceptionV3.from_state(partial)
    thousand = state | {"fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}
    with pytest.raises(CheckpointError, match="size mismatch"):
        InceptionV3.from_state(thousand)


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_tf1_picks_pixels_of_whole_reductions(factor: int) -> None:
    generator = torch.Generator().manual_seed(factor)
    shape = (1, 299 * factor, 299, 3)
    frames = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    expected = (frames[:, ::factor].permute(0, 3, 1, 2).float() - 128) / 128
    assert torch.equal(prepare(frames), expected)


def test_tf1_reads_between_pixels_and_repeats_the_last() -> None:
    row = torch.arange(64, dtype=torch.uint8)
    frames = row[None, None, :, None].expand(1, 5, 64, 3)
    expected = (torch.arange(299) * 64 / 299).clamp(max=63)
    found = prepare(frames)[0, 1, 200] * 128 + 128
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_clean_is_antialiased_and_not_rounded() -> None:
    checks = (torch.arange(598)[:, None] + torch.arange(598)) % 2 * 255
    frames = checks.to(torch.uint8)[None, :, :, None].expand(1, -1, -1, 3)
    inner = prepare(frames, resize="clean")[..., 5:-5, 5:-5] * 128 + 128
    assert (inner - 127.5).abs().max() < 0.01  # a grey that no byte has
    assert torch.equal(prepare(frames).unique(), torch.tensor([-1.0]))  # as tf1 picks black ones


def test_clean_keeps_size_colours_and_range() -> None:
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (2, 299, 299, 3), generator=generator, dtype=torch.uint8)
    expected = (frames.permute(0, 3, 1, 2).float() - 128) / 128
    assert torch.equal(prepare(frames, resize="clean"), expected)
    edges = torch.zeros(1, 30, 30, 3, dtype=torch.uint8)
    edges[:, :15] = 255
    found = prepare(edges, resize="clean")
    assert (float(found.min()), float(found.max())) == (-1.0, 127 / 128)
