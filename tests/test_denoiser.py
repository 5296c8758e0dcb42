from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fbridge.denoiser import BridgeDenoiser, ExactFirstFrame, GuidedDenoiser
from fbridge.types import Condition
from tests.oracles import BRIDGES, predicts
from tests.strategies import videos

T = torch.tensor([0.2, 0.7], dtype=torch.float64)


def condition(words: float, picture: float, *, tokens: int = 3, count: int = 2) -> Condition:
    return Condition(
        prompt_embeds=torch.full((count, tokens, 4), words, dtype=torch.float64),
        prompt_mask=torch.ones(count, tokens, dtype=torch.bool),
        image_latents=torch.full((count, 1, 2, 2), picture, dtype=torch.float64),
    )


class Recorder:
    """A denoiser that tells words, picture, state, prior and time apart and counts its calls."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.conditions: list[Condition] = []

    def __call__(self, x: Tensor, t: Tensor, prior: Tensor, condition: Condition, /) -> Tensor:
        assert (
            len(x)
            == len(t)
            == len(prior)
            == len(condition.prompt_embeds)
            == len(condition.image_latents)
        )
        self.batches.append(len(x))
        self.conditions.append(condition)
        real = condition.prompt_mask[..., None]
        words = (condition.prompt_embeds * real).sum((1, 2)) / real.sum((1, 2)) / 4
        picture = condition.image_latents.mean((1, 2, 3))
        # products make it matter which words met which picture
        told = words + 10 * picture + 100 * words * picture + 1000 * t
        return x + 2 * prior + told[:, None, None, None, None]


FULL, EMPTY = condition(1.5, 0.5), condition(-0.25, 9.0, count=1)


def by_hand(text_scale: float, picture_scale: float) -> Tensor:
    ask = Recorder()
    x, prior = videos(2, 0), videos(2, 1)
    none, picture = (ask(x, T, prior, condition(-0.25, level)) for level in (0.0, 9.0))
    full = ask(x, T, prior, FULL)
    return none + picture_scale * (picture - none) + text_scale * (full - picture)


@pytest.mark.parametrize(
    ("text_scale", "picture_scale", "batch"),
    [(1.0, 1.0, 2), (6.0, 1.0, 4), (6.0, 2.0, 6), (2.0, 2.0, 4), (0.0, 1.0, 2), (0.0, 0.0, 2)],
)
def test_guidance_is_the_two_scale_rule_in_one_call(
    text_scale: float, picture_scale: float, batch: int
) -> None:
    denoiser = Recorder()
    guided = GuidedDenoiser(denoiser, EMPTY, text_scale, picture_scale)
    x, prior = videos(2, 0), videos(2, 1)
    found = guided(x, T, prior, FULL)
    torch.testing.assert_close(found, by_hand(text_scale, picture_scale), rtol=1e-12, atol=1e-9)
    assert denoiser.batches == [batch]


def test_no_guidance_passes_the_condition_through() -> None:
    denoiser = Recorder()
    GuidedDenoiser(denoiser, EMPTY, 1.0)(videos(2, 0), T, videos(2, 1), FULL)
    assert denoiser.conditions[0] is FULL


@pytest.mark.parametrize("tokens", [1, 7])
def test_negative_prompts_of_another_length_are_padded_and_masked(tokens: int) -> None:
    denoiser = Recorder()
    other = condition(-0.25, 9.0, tokens=tokens, count=1)
    found = GuidedDenoiser(denoiser, other, 6.0)(videos(2, 0), T, videos(2, 1), FULL)
    torch.testing.assert_close(found, by_hand(6.0, 1.0), rtol=1e-12, atol=1e-9)
    mask = denoiser.conditions[0].prompt_mask
    assert mask.shape == (4, max(tokens, 3))
    assert mask.sum(1).tolist() == [3, 3, tokens, tokens]


def test_guidance_asks_for_no_class_where_it_asks_for_no_words() -> None:
    denoiser = Recorder()
    told = replace(FULL, class_labels=torch.tensor([3, 5]))
    GuidedDenoiser(denoiser, replace(EMPTY, class_labels=torch.tensor([7])), 6.0, 2.0)(
        videos(2, 0), T, videos(2, 1), told
    )
    label = denoiser.conditions[0].class_labels
    assert label is not None
    assert label.tolist() == [3, 5, -1, -1, -1, -1]
    GuidedDenoiser(denoiser, EMPTY, 6.0)(videos(2, 0), T, videos(2, 1), FULL)
    assert denoiser.conditions[1].class_labels is None


def test_a_class_stays_with_other_words_and_without_picture() -> None:
    told = replace(FULL, class_labels=torch.tensor([3, 5]))
    assert told.with_prompt(FULL.prompt_embeds, FULL.prompt_mask).class_labels is told.class_labels
    assert told.without_image().class_labels is told.class_labels


def test_guidance_leaves_its_inputs_alone() -> None:
    x, prior = videos(2, 0), videos(2, 1)
    GuidedDenoiser(Recorder(), EMPTY, 3.0, 2.0)(x, T, prior, FULL)
    assert torch.equal(x, videos(2, 0))
    assert torch.equal(prior, videos(2, 1))
    assert torch.equal(FULL.image_latents, condition(1.5, 0.5).image_latents)


class Net:
    """A network that remembers what it was called with and answers ones."""

    def __call__(
        self, latents: Tensor, time: Tensor, condition: Condition, prior: Tensor, /
    ) -> Tensor:
        self.seen = (latents, time, condition, prior)
        return torch.ones_like(latents)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_bridge_denoiser_is_network_and_parameterization(dtype: torch.dtype) -> None:
    net, parameterization = Net(), predicts("psi-noise", BRIDGES["vp"])
    x, prior = videos(2, 0).to(dtype), videos(2, 1).to(dtype)
    denoiser = BridgeDenoiser(net, parameterization)
    found = denoiser(x, T, prior, FULL)
    torch.testing.assert_close(found, parameterization.clean(torch.ones_like(x), x, prior, T))
    assert torch.equal(denoiser.output(x, T, prior, FULL), torch.ones_like(x))
    latents, time, told, shown = net.seen
    assert latents is x
    assert told is FULL
    assert shown is prior
    torch.testing.assert_close(time, (1000 * T).to(dtype))


def test_time_is_never_coarser_than_float32() -> None:
    net = Net()
    half = videos(2, 0).to(torch.bfloat16)
    BridgeDenoiser(net, predicts("clean", BRIDGES["vp"]))(half, T, half, FULL)
    assert net.seen[1].dtype == torch.float32


def test_an_exact_first_frame_is_the_pictures_and_the_others_are_estimated() -> None:
    x, prior = videos(2, 0), videos(2, 1)
    given = replace(FULL, image_latents=videos(2, 2)[:, 0])
    estimate = Recorder()(x, T, prior, given)
    found = ExactFirstFrame(Recorder())(x, T, prior, given)
    assert torch.equal(found[:, 0], given.image_latents)
    assert torch.equal(found[:, 1:], estimate[:, 1:])
    assert not torch.equal(found[:, 0], estimate[:, 0])
