"""AMT-S: the names in the authors' file, and guesses that can be followed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from fbridge.errors import CheckpointError, DataError
from fbridge.evaluation.networks.amt import Amt

WIDTHS = (20, 32, 44, 56)


def shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of amt-s.pth."""
    found: dict[str, tuple[int, ...]] = {}

    def conv(name: str, outputs: int, inputs: int, kernel: int = 3) -> None:
        found[f"{name}.weight"] = (outputs, inputs, kernel, kernel)
        found[f"{name}.bias"] = (outputs,)

    def rectified(name: str, outputs: int, inputs: int) -> None:
        conv(f"{name}.0", outputs, inputs)
        found[f"{name}.1.weight"] = (outputs,)

    _add_encoder(conv)
    before = 3
    for number, width in enumerate(WIDTHS, 1):
        rectified(f"encoder.pyramid{number}.0", width, before)
        rectified(f"encoder.pyramid{number}.1", width, width)
        before = width
    for number, inputs, width, outputs in (
        (4, 113, 112, 48),
        (3, 136, 132, 36),
        (2, 100, 96, 24),
        (1, 64, 60, 24),
    ):
        at = f"decoder{number}.convblock"
        rectified(f"{at}.0", width, inputs)
        for name, wide in (("conv1", width), ("conv2", 20), ("conv3", width), ("conv4", 20)):
            rectified(f"{at}.1.{name}", wide, wide)
        conv(f"{at}.1.conv5", width, width)
        found[f"{at}.1.prelu.weight"] = (width,)
        found[f"{at}.2.weight"] = (width, outputs, 4, 4)
        found[f"{at}.2.bias"] = (outputs,)
    for number, width in ((4, 44), (3, 32), (2, 20)):
        at = f"update{number}"
        conv(f"{at}.convc1", 64, 2 * 4 * 7 * 7, 1)
        conv(f"{at}.convf1", 40, 4, 7)
        conv(f"{at}.convf2", 20, 40)
        conv(f"{at}.conv", 68, 84)
        for name, inputs, outputs in (
            ("gru", 68 + 4 + width, 76),
            ("feat_head", 76, width),
            ("flow_head", 76, 4),
        ):
            conv(f"{at}.{name}.0", 76, inputs)
            conv(f"{at}.{name}.2", outputs, 76)
    rectified("comb_block", 18, 9)
    conv("comb_block.2", 3, 18)
    return found


def _add_encoder(conv: Callable[..., None]) -> None:
    conv("feat_encoder.conv1", 32, 3, 7)
    conv("feat_encoder.conv2", 84, 96, 1)
    before = 32
    for number, width in enumerate((32, 64, 96), 1):
        for block, inputs in enumerate((before, width)):
            at = f"feat_encoder.layer{number}.{block}"
            conv(f"{at}.conv1", width // 4, inputs, 1)
            conv(f"{at}.conv2", width // 4, width // 4)
            conv(f"{at}.conv3", width, width // 4, 1)
            if number > 1 and block == 0:
                conv(f"{at}.downsample.0", width, inputs, 1)
        before = width


def state(*, random: bool = False) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(shape, generator=generator) * (0.05 if random else 0)
        for name, shape in shapes().items()
    }


def noise(seed: int, size: tuple[int, int] = (128, 144)) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, 3, *size, generator=generator)


def test_the_authors_file_fits_and_no_other() -> None:
    assert round(sum(v.numel() for v in state().values()) / 1e6, 1) == 3.0  # as published
    assert not Amt.from_state(state()).training
    wider = state()
    wider["update2.conv.weight"] = torch.zeros(69, 84, 3, 3)
    with pytest.raises(CheckpointError, match=r"AMT-S weights do not fit: .*update2.conv.w"):
        Amt.from_state(wider)


def test_without_weights_the_guess_is_the_mean() -> None:
    first, last = noise(0), noise(1)
    with torch.inference_mode():
        guess = Amt.from_state(state())(first, last)
    assert torch.allclose(guess, (first + last) / 2, atol=1e-5)


def test_flows_tell_where_pixels_come_from() -> None:
    """The last layer's constants alone: three flows to the first frame, nothing of the last."""
    steady = state()
    constants = torch.zeros(24)
    constants[0:6] = torch.tensor([3.0, 2.0] * 3)  # right and down
    constants[12:15] = 50.0  # nothing of the last frame
    steady["decoder1.convblock.2.bias"] = constants
    first, last = noise(0), noise(1)
    with torch.inference_mode():
        guess = Amt.from_state(steady)(first, last)
    assert torch.allclose(guess[:, :, :-2, :-3], first[:, :, 2:, 3:], atol=1e-4)


def test_turned_round_in_time_the_refined_flows_change_places() -> None:
    """Correlation and updates are the only ones to tell first and last apart, by their order."""
    network = Amt.from_state(state(random=True))
    with torch.inference_mode():
        one, other = network(noise(0), noise(1)), network(noise(1), noise(0))
        again = network(noise(0), noise(1))
    assert torch.equal(one, again)
    assert one.shape == (1, 3, 128, 144)
    assert not torch.allclose(one, other, atol=1e-3)


def test_errors_are_of_every_second_frame() -> None:
    network = Amt.from_state(state())
    levels = torch.tensor([10, 20, 30, 90, 50, 60], dtype=torch.uint8)
    frames = levels.reshape(-1, 1, 1, 1).expand(-1, 130, 150, 3).contiguous()
    errors = network.errors(frames)
    assert errors.shape == (2,)  # the sixth has no frame behind it
    assert errors.tolist() == pytest.approx([0, 50], abs=1)
    with pytest.raises(DataError, match="128 x 128 pixels or more"):
        network.errors(frames[:, :100])
