"""RAFT: the names in the authors' file, and what it does with weights that can be followed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from fbridge.errors import CheckpointError
from fbridge.evaluation.networks import raft
from fbridge.evaluation.networks.raft import Raft


def shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of raft-things.pth, without what batch normalisation counts."""
    found: dict[str, tuple[int, ...]] = {}

    def conv(name: str, outputs: int, inputs: int, *kernel: int) -> None:
        found[f"{name}.weight"] = (outputs, inputs, *kernel)
        found[f"{name}.bias"] = (outputs,)

    def norm(name: str, width: int) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            found[f"{name}.{part}"] = (width,)

    for net in ("fnet", "cnet"):
        _add_encoder(net, conv, norm)
    update = "update_block"
    conv(f"{update}.encoder.convc1", 256, 324, 1, 1)
    conv(f"{update}.encoder.convc2", 192, 256, 3, 3)
    conv(f"{update}.encoder.convf1", 128, 2, 7, 7)
    conv(f"{update}.encoder.convf2", 64, 128, 3, 3)
    conv(f"{update}.encoder.conv", 126, 256, 3, 3)
    for letter in "zrq":
        conv(f"{update}.gru.conv{letter}1", 128, 384, 1, 5)
        conv(f"{update}.gru.conv{letter}2", 128, 384, 5, 1)
    conv(f"{update}.flow_head.conv1", 256, 128, 3, 3)
    conv(f"{update}.flow_head.conv2", 2, 256, 3, 3)
    conv(f"{update}.mask.0", 256, 128, 3, 3)
    conv(f"{update}.mask.2", 576, 256, 1, 1)
    return found


def _add_encoder(net: str, conv: Callable[..., None], norm: Callable[[str, int], None]) -> None:
    batch = net == "cnet"
    conv(f"{net}.conv1", 64, 3, 7, 7)
    conv(f"{net}.conv2", 256, 128, 1, 1)
    before = 64
    if batch:
        norm(f"{net}.norm1", 64)
    for number, width in enumerate((64, 96, 128), 1):
        for block, inputs in enumerate((before, width)):
            at = f"{net}.layer{number}.{block}"
            conv(f"{at}.conv1", width, inputs, 3, 3)
            conv(f"{at}.conv2", width, width, 3, 3)
            shrinks = number > 1 and block == 0
            if shrinks:
                conv(f"{at}.downsample.0", width, inputs, 1, 1)
            if batch:
                norm(f"{at}.norm1", width)
                norm(f"{at}.norm2", width)
                if shrinks:
                    norm(f"{at}.norm3", width)
                    norm(f"{at}.downsample.1", width)
        before = width


def state(*, random: bool = False) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        f"module.{name}": torch.ones(shape)
        if name.endswith("running_var")
        else torch.randn(shape, generator=generator) * (0.04 if random else 0)
        for name, shape in shapes().items()
    }


def clip(size: tuple[int, int] = (136, 144)) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (3, *size, 3), dtype=torch.uint8, generator=generator)


def test_the_authors_file_fits_and_no_other() -> None:
    learnt = [
        torch.Size(shape).numel()
        for name, shape in shapes().items()
        if "running" not in name and ".norm3." not in name  # the latter is told twice
    ]
    assert sum(learnt) == 5_257_536  # as published
    network = Raft.from_state(state())
    assert not network.training
    less = state()
    del less["module.update_block.gru.convq2.bias"]
    with pytest.raises(CheckpointError, match="RAFT weights do not fit"):
        Raft.from_state(less)


def test_without_a_change_nothing_moves() -> None:
    flows = Raft.from_state(state()).flows(clip())
    assert flows.shape == (2, 2, 136, 144)
    assert not flows.any()


def test_changes_add_up_and_are_told_in_pixels() -> None:
    steady = state()
    steady["module.update_block.flow_head.conv2.bias"] = torch.tensor([0.5, -0.25])
    flows = Raft.from_state(steady).flows(clip())
    inside = flows[:, :, 8:-8, 8:-8]
    assert torch.allclose(inside[:, 0], torch.tensor(raft.UPDATES * 0.5 * 8), atol=1e-3)
    assert torch.allclose(inside[:, 1], torch.tensor(raft.UPDATES * -0.25 * 8), atol=1e-3)


def test_neighbours_are_compared_one_pair_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raft, "UPDATES", 2)
    network = Raft.from_state(state(random=True))
    frames = clip((128, 128))
    both = network.flows(frames)
    assert both.abs().max() > 0
    assert torch.equal(both[1:], network.flows(frames[1:]))
    assert not torch.equal(both[0], both[1])


def test_pixels_are_weighted_means_of_nine_places() -> None:
    generator = torch.Generator().manual_seed(2)
    flow = torch.randn(1, 2, 3, 4, generator=generator)
    mask = torch.randn(1, 576, 3, 4, generator=generator)
    found = raft._enlarged(flow, mask)
    assert found.shape == (1, 2, 24, 32)
    y, x, v, u = 1, 2, 5, 3  # a place, and a pixel in it
    weights = mask.reshape(9, 8, 8, 3, 4)[:, v, u, y, x].softmax(0).reshape(3, 3)
    around = 8 * flow[0, :, y - 1 : y + 2, x - 1 : x + 2]
    direct = (weights * around).sum((1, 2))
    assert found[0, :, 8 * y + v, 8 * x + u].tolist() == pytest.approx(direct.tolist(), abs=1e-5)
