"""The from-scratch transformer: shapes, independence, masks, saving."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fbridge.backbones.space_time import SpaceTimeTransformer
from fbridge.types import Condition


def network(*, timed: bool = True, patch: int = 1) -> SpaceTimeTransformer:
    torch.manual_seed(1)
    net = SpaceTimeTransformer(
        4, 4, 2, 3, patch=patch, dim=32, depth=2, heads=2, text_width=16, timed=timed
    ).eval()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return net


def inputs(batch: int = 3, frames: int = 5) -> tuple[torch.Tensor, torch.Tensor, Condition]:
    text_mask = torch.ones(batch, 6, dtype=torch.bool)
    text_mask[0, 4:] = False
    condition = Condition(torch.randn(batch, 6, 16), text_mask, torch.randn(batch, 3, 4, 2))
    return torch.randn(batch, frames, 4, 4, 2), torch.rand(batch) * 1000, condition


def one(condition: Condition, row: int) -> Condition:
    part = slice(row, row + 1)
    return Condition(condition.text[part], condition.text_mask[part], condition.picture[part])


@pytest.mark.parametrize("patch", [1, 2])
def test_output_has_the_latents_shape_for_any_number_of_frames(patch: int) -> None:
    net = network(patch=patch)
    for frames in (1, 7):
        x, time, condition = inputs(frames=frames)
        assert net(x, time, condition, x).shape == x.shape


def test_a_fresh_network_predicts_zero() -> None:
    net = SpaceTimeTransformer(4, 4, 2, 3, dim=32, depth=1, heads=2, text_width=16)
    x, time, condition = inputs()
    assert net(x, time, condition, x).abs().max() == 0


@pytest.mark.parametrize("what", ["state", "time", "prior", "picture", "words"])
def test_everything_it_is_given_matters(what: str) -> None:
    net = network()
    x, time, condition = inputs()
    before = net(x, time, condition, x)
    changed = {
        "state": (x + 1, time, condition, x),
        "time": (x, time / 2, condition, x),
        "prior": (x, time, condition, x + 1),
        "picture": (x, time, condition.without_picture(), x),
        "words": (x, time, condition.with_text(condition.text + 1, condition.text_mask), x),
    }[what]
    assert (net(*changed) - before).abs().flatten(1).amax(1).min() > 1e-4


def test_videos_of_a_batch_do_not_see_each_other() -> None:
    net = network()
    x, time, condition = inputs()
    whole = net(x, time, condition, x)
    alone = net(x[1:2], time[1:2], one(condition, 1), x[1:2])
    assert torch.allclose(whole[1:2], alone, atol=1e-5)


def test_masked_words_are_not_read() -> None:
    net = network()
    x, time, condition = inputs()
    other = condition.text.clone()
    other[0, 4:] = 99
    after = net(x, time, condition.with_text(other, condition.text_mask), x)
    assert torch.equal(net(x, time, condition, x)[0], after[0])


def test_without_time_it_needs_neither_time_nor_prior() -> None:
    net = network(timed=False)
    x, _, condition = inputs()
    assert net(x, None, condition).shape == x.shape


def test_saving_changes_nothing(tmp_path: Path) -> None:
    net = network()
    net.save_pretrained(tmp_path)
    again = SpaceTimeTransformer.from_pretrained(tmp_path).eval()
    x, time, condition = inputs()
    assert torch.equal(net(x, time, condition, x), again(x, time, condition, x))
