"""Two networks that share a flow (Wan 2.2 A14B), against diffusers' own pipeline."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from fbridge.denoiser import PairDenoiser
from fbridge.errors import CheckpointError, ConfigError, FBridgeError
from fbridge.loaders.experts import SECOND
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


@pytest.fixture(scope="module")
def files(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pair's two networks as files that are named alike, in one folder and in two."""
    place = tmp_path_factory.mktemp("files")
    for part, side in (("transformer", "high"), (SECOND, "low")):
        weights = folder / part / "diffusion_pytorch_model.safetensors"
        shutil.copy(weights, place / f"wan2.2_t2v_{side}_noise_14B.safetensors")
        inner = place / f"{side.capitalize()}Noise"
        inner.mkdir()
        shutil.copy(weights, inner / f"Wan2.2-T2V-A14B-{side.capitalize()}Noise.safetensors")
    return place


@pytest.mark.parametrize(
    "name",
    [
        "wan2.2_t2v_high_noise_14B.safetensors",
        "wan2.2_t2v_low_noise_14B.safetensors",
        "LowNoise/Wan2.2-T2V-A14B-LowNoise.safetensors",
    ],
)
def test_two_files_are_the_pair(
    folder: Path, pair: FrameBridgePipeline, files: Path, name: str
) -> None:
    both = FrameBridgePipeline.from_pretrained(files / name, expert="both", components=str(folder))
    assert both.defaults == pair.defaults
    assert both.scheduler.boundary == pair.scheduler.boundary is not None
    how: dict[str, Any] = {**SHORT, "num_inference_steps": 3, "strength": 1.0}
    assert torch.equal(both(PICTURE, PROMPT, **how).latents, pair(PICTURE, PROMPT, **how).latents)
    told = inspect_model(str(files / name), expert="both", components=str(folder))
    assert told.pair
    assert "high" in told.path.lower()
    assert "low" in told.second.lower()
    assert told.remark.startswith("is a pair of networks, which change at 0.875 of the flow")


def test_the_hash_is_of_both_files(folder: Path, files: Path, tmp_path: Path) -> None:
    name = "wan2.2_t2v_high_noise_14B.safetensors"
    how = {"expert": "both", "components": str(folder)}
    was = load_pretrained(str(files / name), **how).hash  # type: ignore[arg-type]
    other = shutil.copytree(files, tmp_path / "other")
    low = other / name.replace("high", "low")
    assert load_pretrained(str(low), **how).hash == was  # type: ignore[arg-type]
    weights = load_file(low)
    save_file({key: 2 * value for key, value in weights.items()}, low)
    assert load_pretrained(str(low), **how).hash != was  # type: ignore[arg-type]


def test_a_file_without_its_other_is_no_pair(folder: Path, files: Path, tmp_path: Path) -> None:
    name = "wan2.2_t2v_high_noise_14B.safetensors"
    alone = shutil.copy(files / name, tmp_path / name)
    with pytest.raises(CheckpointError, match=r"beside it; put wan2.2_t2v_low_noise_14B.safe"):
        resolve(str(alone), expert="both", components=str(folder))
    unnamed = shutil.copy(alone, tmp_path / "slow.safetensors")
    with pytest.raises(CheckpointError, match="this name does not tell which it is"):
        resolve(str(unnamed), expert="both", components=str(folder))
    publish("ltx", tmp_path / "ltx")
    network = tmp_path / "ltx/transformer/diffusion_pytorch_model.safetensors"
    shutil.copy(network, tmp_path / name.replace("high", "low"))
    for given in (tmp_path / "ltx", network):
        with pytest.raises(ConfigError, match=r"--expert both: .* is none; leave it out"):
            resolve(str(given), expert="both")
    with pytest.raises(CheckpointError, match=r"is no network of one pair with"):
        resolve(str(alone), expert="both", components=str(folder))


def lora(path: Path, network: Any) -> str:
    """A file of a LoRA of every layer of a network."""
    save(path, peft(pairs(held(network)), "transformer."))
    return str(path)


def changed(pipe: FrameBridgePipeline, pair: FrameBridgePipeline) -> list[bool]:
    """Whether the network for much and that for little noise differ from the pair's."""
    names = ("transformer", "transformer_2")
    layers = [[getattr(one, name).patch_embedding.weight for name in names] for one in (pipe, pair)]
    return [not torch.equal(*both) for both in zip(*layers, strict=True)]


def test_a_lora_of_a_pair_goes_where_its_name_or_the_user_says(
    folder: Path, pair: FrameBridgePipeline, tmp_path: Path
) -> None:
    load = partial(FrameBridgePipeline.from_pretrained, folder)
    high = lora(tmp_path / "style_high_noise.safetensors", pair.transformer)
    plain = lora(tmp_path / "style.safetensors", pair.transformer_2)
    assert changed(load(loras=[high]), pair) == [True, False]
    assert changed(load(loras=[f"{high}@low"]), pair) == [False, True]
    pipe = load(loras=[f"{plain}:0.5@low", high])
    assert changed(pipe, pair) == [True, True]
    told = [(one.name, one.weight, one.network) for one in pipe.loras]
    assert told == [("style_high_noise.safetensors", 1, "high"), ("style.safetensors", 0.5, "low")]
    assert pipe.lora_notes[1].endswith("of the network for little noise")
    with pytest.raises(
        ConfigError, match=r"does not tell for which; write .*style.safetensors@low"
    ):
        load(loras=[plain])
    pair.save_pretrained(tmp_path / "saved")
    later = FrameBridgePipeline.from_pretrained(
        tmp_path / "saved", loras=[f"{plain}:0.5@low", high]
    )
    assert torch.equal(
        later.transformer_2.patch_embedding.weight, pipe.transformer_2.patch_embedding.weight
    )
    own = load()
    assert own.load_lora(f"{plain}@low", 0.5).record == pipe.loras[1]
    assert own.load_lora(high).record == pipe.loras[0]
    for name in ("transformer", "transformer_2"):
        ours, theirs = (getattr(one, name).patch_embedding.weight for one in (own, pipe))
        assert torch.equal(ours, theirs)


def test_a_lora_of_the_other_network_is_not_merged_by_mistake(
    folder: Path, pair: FrameBridgePipeline, tmp_path: Path
) -> None:
    high = lora(tmp_path / "style_high_noise.safetensors", pair.transformer)
    load = partial(FrameBridgePipeline.from_pretrained, folder, expert="low")
    with pytest.raises(ConfigError, match=r"is for the network for much noise.*@low to use it any"):
        load(loras=[high])
    with pytest.raises(ConfigError, match=r"much noise, and .* little noise; .*leave it out"):
        load(loras=[f"{high}@high"])
    low = load(loras=[f"{high}@low"])
    assert not torch.equal(
        low.transformer.patch_embedding.weight, pair.transformer_2.patch_embedding.weight
    )
    with pytest.raises(ConfigError, match="is for the network for much noise"):
        low.load_lora(high)
    publish("wan", tmp_path / "wan")
    with pytest.raises(ConfigError, match=r"@high: is about a pair of networks.*leave @high out"):
        FrameBridgePipeline.from_pretrained(tmp_path / "wan", loras=[f"{high}@high"])


def test_distilled_loras_set_the_defaults_of_their_networks(
    folder: Path, pair: FrameBridgePipeline, tmp_path: Path
) -> None:
    names = {
        side: lora(tmp_path / f"lightx2v_4steps_{side}_noise.safetensors", network)
        for side, network in (("high", pair.transformer), ("low", pair.transformer_2))
    }
    was = pair.scheduler.config
    one = FrameBridgePipeline.from_pretrained(folder, loras=[names["high"]])
    now = one.scheduler.config
    assert (now.guidance_scale, now.guidance_scale_2) == (1, was.guidance_scale_2)
    assert now.steps == was.steps != 4
    assert "4 steps are the default where both networks have such a LoRA" in one.lora_notes[0]
    one.load_lora(names["low"])
    now = one.scheduler.config
    assert (now.guidance_scale, now.guidance_scale_2, now.steps) == (1, 1, 4)


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
