"""The from-scratch transformer: shapes, independence, masks, saving."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers.models.embeddings import get_timestep_embedding

from fbridge.backbones.families import as_backbone, family_of
from fbridge.backbones.scratch import PRESETS, build_scratch
from fbridge.backbones.space_time import SpaceTimeTransformer
from fbridge.backbones.space_time_plain import embed_times
from fbridge.errors import ConfigError
from fbridge.types import Condition


def network(
    *, timed: bool = True, patch: int = 1, text_width: int = 16, classes: int = 0
) -> SpaceTimeTransformer:
    torch.manual_seed(1)
    net = SpaceTimeTransformer(
        4,
        4,
        2,
        3,
        patch=patch,
        dim=32,
        depth=2,
        heads=2,
        text_width=text_width,
        timed=timed,
        classes=classes,
    ).eval()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return net


def inputs(batch: int = 3, frames: int = 5) -> tuple[torch.Tensor, torch.Tensor, Condition]:
    prompt_mask = torch.ones(batch, 6, dtype=torch.bool)
    prompt_mask[0, 4:] = False
    condition = Condition(torch.randn(batch, 6, 16), prompt_mask, torch.randn(batch, 3, 4, 2))
    return torch.randn(batch, frames, 4, 4, 2), torch.rand(batch) * 1000, condition


def one(condition: Condition, row: int) -> Condition:
    part = slice(row, row + 1)
    return Condition(
        condition.prompt_embeds[part], condition.prompt_mask[part], condition.image_latents[part]
    )


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
        "picture": (x, time, condition.without_image(), x),
        "words": (
            x,
            time,
            condition.with_prompt(condition.prompt_embeds + 1, condition.prompt_mask),
            x,
        ),
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
    other = condition.prompt_embeds.clone()
    other[0, 4:] = 99
    after = net(x, time, condition.with_prompt(other, condition.prompt_mask), x)
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


def test_a_class_is_told_and_none_is_one_too() -> None:
    net = network(classes=3)
    x, time, condition = inputs()
    answers = {}
    for label in (0, 2, -1):
        told = replace(condition, class_labels=torch.full((3,), label))
        answers[label] = net(x, time, told, x)
    for a, b in ((0, 2), (2, -1), (0, -1)):
        assert (answers[a] - answers[b]).abs().amax((1, 2, 3, 4)).min() > 1e-4
    assert torch.equal(net(x, time, condition, x), answers[-1])
    mixed = net(x, time, replace(condition, class_labels=torch.tensor([0, -1, 2])), x)
    for row, label in enumerate((0, -1, 2)):
        assert torch.allclose(mixed[row], answers[label][row], atol=1e-6)


def test_without_words_a_network_reads_none() -> None:
    net = network(text_width=0, classes=2)
    x, time, condition = inputs()
    before = net(x, time, condition, x)
    other = condition.with_prompt(torch.randn(3, 2, 99), torch.ones(3, 2, dtype=torch.bool))
    assert torch.equal(net(x, time, other, x), before)


@pytest.mark.parametrize("patch", [1, 2])
def test_places_of_another_grid_are_resized(patch: int) -> None:
    net = network(patch=patch)
    rows, columns = 4 // patch, 2 // patch
    assert net._positions(rows, columns) is net.place  # the trained grid is not touched
    with torch.no_grad():
        net.place.zero_()
        net.place[:, 0] = torch.arange(rows).repeat_interleave(columns)
    larger = net._positions(2 * rows, 3)[:, 0].reshape(2 * rows, 3)
    assert torch.equal(larger[:, 0], larger[:, 2])  # nothing changes along a row
    assert (larger[1:-1, 0].diff() > 0).all()
    assert torch.isclose(larger.mean(), net.place[:, 0].mean())
    x = torch.randn(1, 2, 4, 8, 6)
    condition = Condition(
        torch.randn(1, 2, 16), torch.ones(1, 2, dtype=torch.bool), torch.randn(1, 3, 8, 6)
    )
    assert net(x, torch.ones(1), condition, x).shape == x.shape


def test_checkpointed_gradients_are_the_same() -> None:
    net = network()
    x, time, condition = inputs()
    grads = []
    for checkpointing in (False, True):
        if checkpointing:
            net.enable_gradient_checkpointing()
            assert net.is_gradient_checkpointing
        net.zero_grad()
        net(x, time, condition, x).square().mean().backward()
        grads.append([p.grad.clone() for p in net.parameters() if p.grad is not None])
    for plain, checkpointed in zip(*grads, strict=True):
        assert torch.allclose(plain, checkpointed, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(("preset", "millions"), [("tiny", 3.9), ("latte-s2", 34.8)])
def test_presets_have_their_sizes(preset: str, millions: float) -> None:
    net = build_scratch(preset, channels=4, height=32, width=32, condition_channels=4)
    assert sum(p.numel() for p in net.parameters()) == pytest.approx(millions * 1e6, rel=0.01)
    assert net.config.patch == 2


def test_an_odd_grid_has_patches_of_one() -> None:
    for height, width, patch in ((8, 8, 2), (7, 8, 1), (8, 7, 1)):
        net = build_scratch(
            "tiny", channels=4, height=height, width=width, condition_channels=4, timed=False
        )
        assert net.config.patch == patch
        assert not net.config.timed


def test_an_unknown_preset_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"'tinny' is unknown.*did you mean 'tiny'"):
        build_scratch("tinny", channels=1, height=2, width=2, condition_channels=1)
    assert "tiny" in PRESETS


def test_it_is_its_own_backbone_and_is_shown_all_already() -> None:
    net = network()
    family = family_of(net)
    assert as_backbone(net) is net
    assert family.extra_inputs(net) == 2
    family.expand_inputs(net, 2)
    with pytest.raises(ConfigError, match="changed to 1"):
        family.expand_inputs(net, 1)


@pytest.mark.parametrize(("width", "slowest"), [(64, 200.0), (128, 10000.0)])
def test_times_are_embedded_as_diffusers_does(width: int, slowest: float) -> None:
    times = torch.linspace(0, 1000, 33, dtype=torch.float64)
    theirs = get_timestep_embedding(times, width, max_period=slowest)
    assert torch.equal(embed_times(times, width, slowest=slowest), theirs)
