"""CogVideoX's transformer as a backbone: widening changes nothing, everything shown is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import CogVideoXTransformer3DModel

from fbridge.backbones import adapter
from fbridge.backbones.cogvideox import FAMILY, CogVideoXBackbone
from fbridge.backbones.families import aligned_prediction, as_backbone, family_named, family_of
from fbridge.errors import CheckpointError, ConfigError
from fbridge.types import Condition

parts, widen = FAMILY.extra_inputs, FAMILY.expand_inputs


def network(**options: Any) -> CogVideoXTransformer3DModel:
    torch.manual_seed(1)
    numbers: dict[str, Any] = {
        "num_attention_heads": 2,
        "attention_head_dim": 16,
        "in_channels": 4,
        "out_channels": 4,
        "time_embed_dim": 8,
        "text_embed_dim": 12,
        "num_layers": 2,
        "sample_width": 8,
        "sample_height": 4,
        "sample_frames": 9,
        "max_text_seq_length": 6,
    }
    return CogVideoXTransformer3DModel(**{**numbers, **options}).eval()


def inputs(
    batch: int = 2, tokens: int = 4, height: int = 4
) -> tuple[torch.Tensor, torch.Tensor, Condition, torch.Tensor]:
    mask = torch.ones(batch, tokens, dtype=torch.bool)
    mask[0, -1] = False
    condition = Condition(
        torch.randn(batch, tokens, 12), mask, 50 * torch.randn(batch, 4, height, 8)
    )
    time = torch.tensor([3.7, 811.2])[:batch]
    shape = (batch, 3, 4, height, 8)
    return torch.randn(shape), time, condition, 50 * torch.randn(shape)


@pytest.mark.parametrize("rotary", [False, True])
@pytest.mark.parametrize("extra", [1, 2])
def test_a_widened_network_answers_as_the_base_whatever_it_is_shown(
    rotary: bool, extra: int
) -> None:
    base = network(use_rotary_positional_embeddings=rotary)
    given = inputs()
    before = CogVideoXBackbone(base)(*given)
    widen(base, extra)
    after = CogVideoXBackbone(base)(*given)
    assert parts(base) == extra
    assert base.config.in_channels == 4 * (1 + extra)
    assert (after - before).abs().max() < 1e-6
    assert before.abs().max() > 1e-2


def test_a_widened_network_is_diffusers_own(tmp_path: Path) -> None:
    net = network()
    widen(net, 2)
    torch.nn.init.normal_(net.patch_embed.proj.weight)
    net.save_pretrained(tmp_path)
    again = CogVideoXTransformer3DModel.from_pretrained(tmp_path).eval()
    given = inputs()
    assert torch.equal(CogVideoXBackbone(net)(*given), as_backbone(again)(*given))


def test_widening_twice_keeps_what_was_learned_and_never_narrows() -> None:
    net = network()
    widen(net, 1)
    torch.nn.init.normal_(net.patch_embed.proj.weight)
    given = inputs()
    before = CogVideoXBackbone(net)(*given)
    widen(net, 2)
    assert torch.allclose(CogVideoXBackbone(net)(*given), before, atol=1e-5)
    with pytest.raises(ConfigError, match="narrowed to 1"):
        widen(net, 1)


@pytest.mark.parametrize("rotary", [False, True])
@pytest.mark.parametrize("what", ["state", "time", "prior", "picture", "words"])
def test_everything_it_is_given_matters(what: str, rotary: bool) -> None:
    net = network(use_rotary_positional_embeddings=rotary)
    widen(net, 2)
    torch.nn.init.normal_(net.patch_embed.proj.weight, std=0.02)
    backbone = CogVideoXBackbone(net)
    x, time, condition, prior = inputs()
    before = backbone(x, time, condition, prior)
    other = condition.with_prompt(condition.prompt_embeds + 1, condition.prompt_mask)
    changed = {
        "state": (x + 1, time, condition, prior),
        "time": (x, time + 0.5, condition, prior),
        "prior": (x, time, condition, prior + 1),
        "picture": (x, time, condition.without_image(), prior),
        "words": (x, time, other, prior),
    }[what]
    assert (backbone(*changed) - before).abs().flatten(1).amax(1).min() > 1e-6


def test_the_prior_comes_before_the_picture() -> None:
    net = network()
    widen(net, 1)
    torch.nn.init.normal_(net.patch_embed.proj.weight)
    x, time, condition, prior = inputs()
    backbone = CogVideoXBackbone(net)
    assert torch.equal(
        backbone(x, time, condition, prior), backbone(x, time, condition.without_image(), prior)
    )


@pytest.mark.parametrize("tokens", [1, 6, 9])
def test_words_are_cut_or_filled_up_and_masked_ones_are_not_read(tokens: int) -> None:
    backbone = CogVideoXBackbone(network())
    x, time, condition, prior = inputs(tokens=tokens)
    words = adapter.pad_prompt(condition, 6)
    assert words.shape == (2, 6, 12)
    assert torch.equal(words[1, :tokens], condition.prompt_embeds[1, :6])
    assert words[1, tokens:].abs().sum() == 0
    other = condition.prompt_embeds.clone()
    other[0, -1] = float("nan")  # masked
    told = condition.with_prompt(other, condition.prompt_mask)
    assert torch.equal(backbone(x, time, condition, prior), backbone(x, time, told, prior))


def test_videos_of_a_batch_do_not_see_each_other() -> None:
    net = network()
    widen(net, 2)
    backbone = CogVideoXBackbone(net)
    x, time, c, prior = inputs()
    whole = backbone(x, time, c, prior)
    alone = Condition(c.prompt_embeds[1:], c.prompt_mask[1:], c.image_latents[1:])
    assert torch.allclose(whole[1:], backbone(x[1:], time[1:], alone, prior[1:]), atol=1e-5)


@pytest.mark.parametrize("rotary", [False, True])
def test_other_sizes_than_the_trained_one_work_if_patches_fit(rotary: bool) -> None:
    backbone = CogVideoXBackbone(network(use_rotary_positional_embeddings=rotary))
    x, *rest = inputs(height=6)
    assert backbone(x, *rest).shape == x.shape
    with pytest.raises(ConfigError, match="8x5"):
        backbone(*inputs(height=5))


def test_checkpointed_gradients_are_the_same() -> None:
    net = network()
    backbone = CogVideoXBackbone(net)
    given = inputs()
    grads = []
    for checkpointing in (False, True):
        if checkpointing:
            net.enable_gradient_checkpointing()
        net.zero_grad()
        backbone(*given).square().mean().backward()
        grads.append(net.patch_embed.proj.weight.grad.clone())
    assert torch.allclose(grads[0], grads[1], atol=1e-8)


def test_what_is_not_supported_is_refused() -> None:
    with pytest.raises(CheckpointError, match="9 channels"):
        CogVideoXBackbone(network(in_channels=9))
    with pytest.raises(CheckpointError, match="'MochiTransformer3DModel'"):
        family_named("MochiTransformer3DModel")
    with pytest.raises(CheckpointError, match="'score'"):
        aligned_prediction("score")


def test_the_family_reads_diffusers_configurations() -> None:
    assert family_of(network()) is FAMILY
    assert aligned_prediction(FAMILY.prediction) == "aligned-v"
    assert FAMILY.noise_schedule is not None
    assert FAMILY.video is not None
    assert FAMILY.noise_schedule({"snr_shift_scale": 1.0, "beta_start": 0.00085}) == (
        {"kind": "cogvideox", "snr_shift": 1.0},
        "v",
    )
    with pytest.raises(CheckpointError, match="epsilon"):
        FAMILY.noise_schedule({"prediction_type": "epsilon"})
    assert FAMILY.video(network().config).frames == [9, 1, 9, 8]
