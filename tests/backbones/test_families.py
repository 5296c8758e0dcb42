"""What holds for the network of every family, and the two proofs of a bridge's first step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from fbridge.backbones.families import aligned_prediction, as_backbone, family_of
from fbridge.denoiser import BridgeDenoiser
from fbridge.errors import CheckpointError, ConfigError
from fbridge.process import BridgeProcess
from fbridge.schedule import GmaxSchedule
from fbridge.scheduler import FrameBridgeScheduler, build_noise_schedule
from fbridge.types import Condition
from tests.backbones.networks import KINDS, inputs, network

every = pytest.mark.parametrize("name", KINDS)
NOISES: dict[str, dict[str, Any]] = {
    "v": {"kind": "cogvideox", "snr_shift": 3.0},
    "flow": {"kind": "flow"},
    "noise": {"kind": "linear", "beta_start": 1e-4, "beta_end": 2e-2},
}


@every
@pytest.mark.parametrize("extra", [1, 2])
def test_a_widened_network_answers_as_the_base_whatever_it_is_shown(name: str, extra: int) -> None:
    base = network(name)
    family, given = family_of(base), inputs(name)
    before = as_backbone(base)(*given)
    family.expand_inputs(base, extra)
    after = as_backbone(base)(*given)
    assert family.extra_inputs(base) == extra
    assert base.config.in_channels == 4 * (1 + extra)
    assert (after - before).abs().max() < 1e-6
    assert before.abs().max() > 1e-2
    assert before.shape == given[0].shape


@every
def test_a_widened_network_is_diffusers_own(name: str, tmp_path: Path) -> None:
    net = network(name)
    family_of(net).expand_inputs(net, 2)
    _stir(net)
    net.save_pretrained(tmp_path)
    again = type(net).from_pretrained(tmp_path).eval()
    given = inputs(name)
    assert torch.allclose(as_backbone(net)(*given), as_backbone(again)(*given), atol=1e-4)
    assert again.config.in_channels == 12


@every
@pytest.mark.parametrize("what", ["state", "time", "prior", "picture", "words"])
def test_everything_it_is_given_matters(name: str, what: str) -> None:
    net = network(name)
    family_of(net).expand_inputs(net, 2)
    _stir(net)
    backbone = as_backbone(net)
    x, time, condition, prior = inputs(name)
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


@every
def test_masked_words_are_not_read_and_videos_do_not_see_each_other(name: str) -> None:
    backbone = as_backbone(network(name))
    x, time, c, prior = inputs(name)
    whole = backbone(x, time, c, prior)
    text = c.prompt_embeds.clone()
    text[0, -1] = float("nan")
    assert torch.equal(whole, backbone(x, time, c.with_prompt(text, c.prompt_mask), prior))
    alone = Condition(c.prompt_embeds[1:], c.prompt_mask[1:], c.image_latents[1:])
    assert torch.allclose(whole[1:], backbone(x[1:], time[1:], alone, prior[1:]), atol=1e-5)


@every
def test_a_shorter_prompt_reads_the_same_in_a_batch_and_alone(name: str) -> None:
    backbone = as_backbone(network(name))
    x, time, c, prior = inputs(name)
    whole = backbone(x, time, c, prior)
    alone = Condition(c.prompt_embeds[:1, :-1], c.prompt_mask[:1, :-1], c.image_latents[:1])
    assert torch.allclose(whole[:1], backbone(x[:1], time[:1], alone, prior[:1]), atol=1e-5)


@every
def test_checkpointed_gradients_are_the_same(name: str) -> None:
    net = network(name)
    backbone, given = as_backbone(net), inputs(name)
    first = net.get_submodule(family_of(net).input_layer)
    grads = []
    for checkpointing in (False, True):
        if checkpointing:
            net.enable_gradient_checkpointing()
        net.zero_grad()
        backbone(*given).square().mean().backward()
        grads.append(first.weight.grad.clone())
    assert torch.allclose(grads[0], grads[1], atol=1e-7)


@every
def test_its_lora_layers_are_there(name: str) -> None:
    net = network(name)
    family = family_of(net)
    layers = {key for key, module in net.named_modules() if isinstance(module, torch.nn.Linear)}
    for target in family.lora_targets:
        assert any(key.endswith(f".{target}") for key in layers)


@every
@pytest.mark.parametrize("t", [0.02, 0.4, 0.97])
def test_the_first_prediction_of_an_aligned_bridge_is_the_bases_denoiser(
    name: str, t: float
) -> None:
    """x_t of a bridge from any prior; the base is asked at its own level of the same ratio."""
    base = network(name)
    family = family_of(base)
    x_0, _, condition, prior = inputs(name)
    noise = torch.randn(x_0.shape, generator=torch.Generator().manual_seed(9))
    times = torch.full((2,), t, dtype=torch.float64)
    process = BridgeProcess(GmaxSchedule())
    c = process.coefficients(times)
    scheduler = FrameBridgeScheduler(
        prediction=aligned_prediction(family.prediction), base=NOISES[family.prediction]
    )
    ratio = float(c.data[0] / c.noise[0])
    level = build_noise_schedule(NOISES[family.prediction])
    time = level.time(torch.tensor([ratio]).double(), cleanest=169.18842).float().expand(2)
    if family.prediction == "flow":
        signal, sigma = ratio / (1 + ratio), 1 / (1 + ratio)
    else:
        signal, sigma = ratio / (1 + ratio**2) ** 0.5, 1 / (1 + ratio**2) ** 0.5
    own = signal * x_0 + sigma * noise
    answer = as_backbone(base)(own, time, condition, prior).detach()
    wanted = {
        "v": signal * own - sigma * answer,
        "flow": own - sigma * answer,
        "noise": (own - sigma * answer) / signal,
    }[family.prediction]

    family.expand_inputs(base, 2)
    base.requires_grad_(requires_grad=False)
    denoiser = BridgeDenoiser(as_backbone(base), scheduler.parameterization)
    state = process.sample(x_0, prior, times, noise)
    found = denoiser(state, times, prior, condition)
    scale = float(wanted.abs().max())
    assert (found - wanted).abs().max() < 2e-4 * scale


def test_what_is_not_possible_is_refused() -> None:
    with pytest.raises(ConfigError, match="8x5 are not possible"):
        as_backbone(network("wan"))(*inputs("wan", height=5))
    x, time, condition, prior = inputs("latte")
    with pytest.raises(ConfigError, match=r"3 frames are not possible.*learnt the places of 4"):
        as_backbone(network("latte"))(x[:, :3], time, condition, prior[:, :3])
    odd = network("ltx")
    odd.register_to_config(patch_size=2)
    with pytest.raises(CheckpointError, match="single latent pixels"):
        as_backbone(odd)


def test_cogvideox_1_5_sees_the_first_of_an_odd_number_of_frames_twice() -> None:
    """Its makers' training does so; the answer to the copy is not used."""
    backbone = as_backbone(network("cogvideox-1.5"))
    x, time, condition, prior = inputs("cogvideox-1.5")
    x, prior = x[:, :3], prior[:, :3]
    twice = [torch.cat([video[:, :1], video], 1) for video in (x, prior)]
    whole = backbone(twice[0], time, condition, twice[1])
    found = backbone(x, time, condition, prior)
    assert found.shape == x.shape
    assert torch.equal(found, whole[:, 1:])
    assert (found - whole[:, :3]).abs().max() > 1e-3


def test_latte_alone_and_in_company() -> None:
    """Without a masked word there is no mask at all, which is how diffusers calls it."""
    x, time, condition, prior = inputs("latte")
    net = network("latte")
    full = replace(condition, prompt_mask=torch.ones_like(condition.prompt_mask))
    direct = net(x.transpose(1, 2), time, full.prompt_embeds, return_dict=False)[0].transpose(1, 2)
    assert torch.equal(as_backbone(net)(x, time, full, prior), direct[:, :, :4])


def _stir(net: Any) -> None:
    """Random weights in what was widened, with less for what is far from zero."""
    weight = net.get_submodule(family_of(net).input_layer).weight
    torch.nn.init.normal_(weight, std=0.02, generator=torch.Generator().manual_seed(5))
