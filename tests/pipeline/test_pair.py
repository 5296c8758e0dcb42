"""Two networks that share a flow (Wan 2.2 A14B), against diffusers' own pipeline."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from fbridge.denoiser import PairDenoiser
from fbridge.errors import ConfigError, FBridgeError
from fbridge.loaders.inspect import inspect_model
from fbridge.loaders.load import load_pretrained
from fbridge.loaders.resolve import resolve
from fbridge.memory.model_sizes import model_sizes
from fbridge.pipeline import FrameBridgePipeline
from fbridge.process import BridgeProcess
from fbridge.sampling import build_sampler, seeded_noise, time_grid
from fbridge.sampling.run import Step
from fbridge.schedule import GmaxSchedule
from fbridge.types import Condition
from tests.loaders.loras import held, pairs, peft, save
from tests.pipelines import publish

PICTURE = Image.fromarray(
    np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8), "RGB"
)
SHORT: dict[str, Any] = {"num_frames": 5, "size": (32, 32), "seed": 3}
STEPS = 6
PROMPT, NEGATIVE = "one two", "three"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline of two small networks, as diffusers saves it."""
    return publish("wan-a14b", tmp_path_factory.mktemp("pair") / "pair")


@pytest.fixture(scope="module")
def pair(folder: Path) -> FrameBridgePipeline:
    return FrameBridgePipeline.from_pretrained(folder)


def stock(folder: Path, pair: FrameBridgePipeline, **options: Any) -> Tensor:
    """Latents (B, F, C, H, W) of diffusers' WanPipeline from the bridge's start, at its times."""
    view, condition = pair.encode_inputs([PICTURE], [PROMPT], (32, 32))
    prior = pair.start(pair.latent_codec.still(view, 5).mean, condition, view)
    times = pair.sampling_times(STEPS, "trailing", 1.0)
    noise = seeded_noise([SHORT["seed"]], device=prior.device, dtype=prior.dtype)
    state = pair.scheduler.process.sample(prior, prior, times[:1], noise(prior.shape))
    alignment = pair.scheduler.parameterization.alignment
    assert alignment is not None
    start = alignment.latent(state, prior, times[:1])
    sigmas = (alignment.time(times[:-1]) / 1000).tolist()

    class Given(diffusers.FlowMatchEulerDiscreteScheduler):  # type: ignore[misc]
        def set_timesteps(self, _: int, device: Any = None) -> None:
            super().set_timesteps(sigmas=sigmas, device=device)

    pipe = diffusers.WanPipeline.from_pretrained(folder)
    pipe.scheduler = Given()
    pipe.set_progress_bar_config(disable=True)
    found: Tensor = pipe(
        prompt=PROMPT, negative_prompt=NEGATIVE, height=32, width=32, num_frames=5,
        num_inference_steps=STEPS, latents=start.transpose(1, 2), output_type="latent",
        return_dict=False, **options,
    )[0]  # fmt: skip
    return found.transpose(1, 2)


def test_it_is_diffusers_own_pair_at_full_strength(folder: Path, pair: FrameBridgePipeline) -> None:
    seen: list[tuple[str, float]] = []
    hooks = [
        getattr(pair, name).register_forward_hook(
            lambda *given, name=name: seen.append((name, float(given[2]["timestep"][0]))),
            with_kwargs=True,
        )
        for name in ("transformer", "transformer_2")
    ]
    scales: dict[str, Any] = {"guidance_scale": 4.0, "guidance_scale_2": 2.0}
    how: dict[str, Any] = {"sampler": "ode", "strength": 1.0, "num_inference_steps": STEPS}
    how["first_frame"] = "free"
    ours = pair(PICTURE, PROMPT, negative_prompt=NEGATIVE, **SHORT, **how, **scales).latents
    for hook in hooks:
        hook.remove()
    assert [name for name, _ in seen] == ["transformer"] * 2 + ["transformer_2"] * 4
    assert all((time >= 875) == (name == "transformer") for name, time in seen)
    theirs = stock(folder, pair, **scales)
    assert (ours - theirs).norm() / theirs.norm() < 1e-5
    other = stock(folder, pair, guidance_scale=4.0)  # guidance_scale_2 follows it
    assert (ours - other).norm() / other.norm() > 1e-4
    same = pair(PICTURE, PROMPT, negative_prompt=NEGATIVE, **SHORT, **how, guidance_scale=4.0)
    assert (same.latents - other).norm() / other.norm() < 1e-5


def test_below_the_boundary_the_second_is_as_if_alone(
    folder: Path, pair: FrameBridgePipeline, tmp_path: Path
) -> None:
    how: dict[str, Any] = {**SHORT, "num_inference_steps": 2, "strength": 0.8}
    both = pair(PICTURE, PROMPT, **how).latents
    alone = FrameBridgePipeline.from_pretrained(folder, expert="low")
    assert alone.transformer_2 is None
    assert torch.equal(alone(PICTURE, PROMPT, **how).latents, both)
    with pytest.raises(ConfigError, match=r"strength 0\.9: .*use --strength 0\.81 or less"):
        alone(PICTURE, PROMPT, **{**how, "strength": 0.9})
    with pytest.raises(ConfigError, match="guidance_scale_2 2: is about the second of two"):
        alone(PICTURE, PROMPT, **how, guidance_scale_2=2.0)
    pair.save_pretrained(tmp_path)
    again = FrameBridgePipeline.from_pretrained(tmp_path)
    assert again.scheduler.boundary == pair.scheduler.boundary == alone.scheduler.time_range[1]
    assert torch.equal(again(PICTURE, PROMPT, **how).latents, both)
    assert inspect_model(str(tmp_path)).remark == "is a bridge of both networks of a pair"
    for one in (load_pretrained, model_sizes, partial(resolve, expert="low")):
        with pytest.raises(FBridgeError, match="one of them alone is asked for; name the folder"):
            one(str(tmp_path))


def test_it_is_trained_one_network_at_a_time(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"pair of networks.*add --expert low"):
        load_pretrained(str(folder)).check_one_network()


def test_a_lora_is_for_one_network(folder: Path, pair: FrameBridgePipeline, tmp_path: Path) -> None:
    file = tmp_path / "style.safetensors"
    changes = pairs(held(pair.transformer_2))
    save(file, peft(changes, "transformer."))
    own = pair.transformer.patch_embedding.weight.clone()
    with pytest.raises(ConfigError, match=r"is a pair of them; .*--expert low or --expert high"):
        FrameBridgePipeline.from_pretrained(folder, loras=[str(file)])
    with pytest.raises(ConfigError, match="this one is a pair of them"):
        pair.load_lora(file)
    assert torch.equal(pair.transformer.patch_embedding.weight, own)
    pair.save_pretrained(tmp_path / "saved")
    with pytest.raises(ConfigError, match="saved is a pair of them"):
        FrameBridgePipeline.from_pretrained(tmp_path / "saved", loras=[str(file)])
    low = FrameBridgePipeline.from_pretrained(folder, expert="low", loras=[str(file)])
    changed = low.transformer.patch_embedding.weight - pair.transformer_2.patch_embedding.weight
    assert changed.any()
    assert low.loras[0].name == file.name


PROCESS = BridgeProcess(GmaxSchedule())
SHAPE = (1, 2, 1, 4, 4)
CONDITION = Condition(
    torch.zeros(1, 1, 1), torch.ones(1, 1, dtype=torch.bool), torch.zeros(1, 1, 4, 4)
)


def sampled(name: str, times: Tensor, boundary: float) -> tuple[list[Tensor], Tensor, list[float]]:
    """States after each step, the prior, and times of calls: `high` answers 100, `low` 0.5."""
    calls: list[float] = []

    def answering(value: float) -> Any:
        def denoise(x: Tensor, t: Tensor, *_: Any) -> Tensor:
            calls.append(float(t[0]))
            return torch.full_like(x, value)

        return denoise

    prior = torch.linspace(-1, 1, 32, dtype=torch.float64).reshape(SHAPE)
    states: list[Tensor] = []

    def keep(step: Step) -> None:
        states.append(step.state.clone())

    pair = PairDenoiser(answering(100.0), answering(0.5), boundary)
    numbers = {"churn": 0.0} if name == "heun" else {}
    build_sampler(name, **numbers).sample(
        pair, PROCESS, prior, times, CONDITION, noise=torch.zeros, on_step=keep
    )
    return states, prior, calls


@pytest.mark.parametrize("name", ["dbim2", "dbim3", "sde2m"])
def test_no_memory_of_one_network_enters_the_other(name: str) -> None:
    times = time_grid(8, process=PROCESS)
    n = 3  # the first step of the second network
    states, prior, _ = sampled(name, times, float(times[n - 1]) - 1e-3)
    s, t = times[n : n + 1], times[n + 1 : n + 2]
    before, clean = states[n - 1], 0.5
    if name == "sde2m":
        step = PROCESS.coefficients(t, end=s)
        expected = step.prior * before + step.data * clean
    else:
        here, there = PROCESS.coefficients(s), PROCESS.coefficients(t)
        rest = before - here.data * clean - here.prior * prior
        expected = there.data * clean + there.prior * prior + there.noise / here.noise * rest
    torch.testing.assert_close(states[n], expected)


def test_heuns_step_into_the_other_networks_times_is_eulers() -> None:
    times = time_grid(8, process=PROCESS)
    _, _, calls = sampled("heun", times, float(times[3]) + 1e-3)
    _, _, whole = sampled("heun", times, 0.0)
    assert len(whole) == 15
    assert calls == [*whole[:5], *whole[6:]]  # the second slope of the step to times[3] is left out


def test_times_of_two_networks_are_no_batch() -> None:
    pair: Any = PairDenoiser(lambda x, *_: x, lambda x, *_: -x, 0.5)
    x = torch.ones(2, 1)
    assert torch.equal(pair(x, torch.tensor([0.5, 0.9]), x, CONDITION), x)
    assert torch.equal(pair(x, torch.tensor([0.1, 0.2]), x, CONDITION), -x)
    with pytest.raises(ValueError, match="are of two networks"):
        pair(x, torch.tensor([0.1, 0.9]), x, CONDITION)
