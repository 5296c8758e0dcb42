"""Exported models, run by stock diffusers while fbridge cannot be imported."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from diffusers.utils import dynamic_modules_utils
from PIL import Image

from fbridge.backbones.families import family_of
from fbridge.interop.stock.fbridge_times import bridge_times, network_times, ratios
from fbridge.interop.stock_folder import PIPELINE, bridge_numbers, why_not_stock
from fbridge.pipeline import FrameBridgePipeline
from fbridge.sampling import time_grid
from fbridge.scheduler import FrameBridgeScheduler
from fbridge.train.export.model_folder import save_model
from tests.pipelines import PUBLISHED, publish

NAMES = ("wan", "wan-2.2", "wan-a14b", "ltx", "hunyuan", "cogvideox", "cogvideox-1.5")
SCHEDULES: list[dict[str, Any]] = [
    {"kind": "gmax", "beta_0": 0.01, "beta_1": 50.0},
    {"kind": "vp", "beta_min": 0.1, "beta_d": 2.0},
    {"kind": "brownian", "scale": 1.3},
]
PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8))


def bridge(name: str, folder: Path) -> FrameBridgePipeline:
    """A bridge over a small base, whose network has room for the prior and looks at it."""
    pipe = FrameBridgePipeline.from_pretrained(publish(name, folder / "base"))
    for network in filter(None, (pipe.transformer, pipe.transformer_2)):
        family = family_of(network)
        family.make_room(network, 1)
        weight = network.get_submodule(family.input_layer).weight
        weight.data += 0.2 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
    return pipe


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[Path], Any]]:
    """Loads a folder by stock diffusers, its files copied to a cache of this test alone."""
    monkeypatch.setattr(dynamic_modules_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr(sys, "path", [*sys.path])

    def load(folder: Path) -> Any:
        with monkeypatch.context() as blocked:
            for module in [name for name in sys.modules if name.split(".")[0] == "fbridge"]:
                blocked.setitem(sys.modules, module, None)
            pipe = DiffusionPipeline.from_pretrained(
                folder, custom_pipeline=f"{folder}/{PIPELINE}.py", trust_remote_code=True
            )
        pipe.set_progress_bar_config(disable=True)
        return pipe

    yield load
    for module in [name for name in sys.modules if name.split(".")[0] == "diffusers_modules"]:
        del sys.modules[module]


@pytest.mark.parametrize("name", NAMES)
def test_stock_diffusers_makes_the_frames_of_the_ode(
    name: str, tmp_path: Path, alone: Callable[[Path], Any]
) -> None:
    pipe = bridge(name, tmp_path)
    assert save_model(pipe, tmp_path / "model") == ""
    stock = alone(tmp_path / "model")
    assert type(stock.flow).__name__ == "FlowMatchEulerDiscreteScheduler"
    asked: dict[str, Any] = {"num_frames": 9, "num_inference_steps": 3, "guidance_scale": 3.0}
    asked |= {"strength": 1.0, "negative_prompt": "blue"}
    ours = pipe(PICTURE, "a red cat", seed=7, sampler="ode", size=(64, 32), **asked)
    for kind in ("latent", "np"):
        generator = torch.Generator().manual_seed(7)
        found = stock(
            PICTURE, "a red cat", width=64, height=32, generator=generator, output_type=kind,
            **asked,
        ).frames  # fmt: skip
        if kind == "latent":
            assert (found - ours.latents).norm() < 1e-5 * ours.latents.norm()
            assert not torch.allclose(found, torch.zeros_like(found))
        else:
            assert np.abs(255 * found[0] - ours.frames[0]).max() < 0.6  # rounded to 8 bits


def test_two_videos_have_their_own_pictures_prompts_and_seeds(
    tmp_path: Path, alone: Callable[[Path], Any]
) -> None:
    pipe = bridge("ltx", tmp_path)
    save_model(pipe, tmp_path / "model")
    stock = alone(tmp_path / "model")
    pictures, prompts = [PICTURE, PICTURE.rotate(180)], ["a red cat", "a cat"]
    asked: dict[str, Any] = {"num_frames": 9, "num_inference_steps": 2}
    ours = pipe(pictures, prompts, seed=[3, 4], sampler="ode", **asked).latents
    generators = [torch.Generator().manual_seed(seed) for seed in (3, 4)]
    both = stock(pictures, prompts, generator=generators, output_type="latent", **asked).frames
    assert both.shape == ours.shape  # in the size that both choose for these pictures
    assert (both - ours).norm() < 1e-5 * ours.norm()
    cases: list[tuple[dict[str, Any], str]] = [
        ({"num_frames": 10}, "num_frames 10: this model makes 9 to 257 frames, in steps of 8"),
        ({"width": 60, "height": 64}, "size 60x64: sides must be multiples of 32"),
        ({"width": 64}, "give both width and height"),
        ({"strength": 1.5}, "strength 1.5: must be above 0 and at most 1"),
        ({"guidance_scale_2": 2.0}, "guidance_scale_2 2: this model has one network"),
        ({"generator": generators, "num_frames": 9}, "2 generators are given for 1 videos"),
    ]
    for wrong, told in cases:
        with pytest.raises(ValueError, match=told):
            stock(PICTURE, "a cat", **wrong)


def test_fbridge_reads_the_folder_as_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pipe = bridge("ltx", tmp_path)
    save_model(pipe, tmp_path / "model")
    held = json.loads((tmp_path / "model/model_index.json").read_text())
    assert held["bridge"] == json.loads(json.dumps(bridge_numbers(pipe)))
    again = FrameBridgePipeline.from_pretrained(tmp_path / "model")
    assert "bridge" not in again.config
    assert "not expected" not in caplog.text
    asked: dict[str, Any] = {"num_frames": 9, "num_inference_steps": 2}
    one, two = (p(PICTURE, "a cat", **asked).latents for p in (pipe, again))
    assert torch.equal(one, two)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("grid", ["trailing", "uniform", "karras", "logsnr"])
@pytest.mark.parametrize("objective", ["bridge", "diffusion"])
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_the_times_are_those_of_the_core(
    schedule: dict[str, Any], grid: Any, objective: str, shift: float
) -> None:
    for prediction, base in [
        ("aligned-flow", {"kind": "flow", "time_scale": 1000.0}),
        ("aligned-v", {"kind": "cogvideox", "snr_shift": 3.0}),
    ]:
        own = FrameBridgeScheduler(schedule, prediction, base=base, grid=grid, objective=objective)
        numbers = {
            "schedule": schedule, "grid": grid, "objective": objective, "base": base,
            "time_range": [0.0, 1.0], "time_shift": shift,
        }  # fmt: skip
        times = 0.8 * time_grid(7, kind=grid, process=own.process, shift=shift)[:-1]
        found = bridge_times(numbers, 7, 0.8)
        assert np.allclose(found, times.numpy(), rtol=1e-9, atol=0)
        alignment = own.parameterization.alignment
        assert alignment is not None
        seen = network_times(numbers, ratios(numbers, found))
        assert np.allclose(seen, alignment.time(times).numpy(), rtol=1e-9, atol=1e-9)


def test_a_network_of_some_times_is_not_asked_for_others() -> None:
    numbers = {"grid": "trailing", "time_shift": 1.0, "time_range": [0.0, 0.813]}
    assert bridge_times(numbers, 4, 0.81)[0] < 0.81
    with pytest.raises(ValueError, match=r"strength 1: .* up to 0\.813; use 0\.81 or less"):
        bridge_times(numbers, 4, 1.0)


def test_what_diffusers_cannot_run_is_said_by_name(tmp_path: Path) -> None:
    pipe = bridge("ltx", tmp_path)
    assert why_not_stock(pipe) == ""
    cases: list[tuple[dict[str, Any], str]] = [
        ({"start_from": {"kind": "motion"}}, "its prior is motion"),
        ({"start_from": {"kind": "mix", "mix": 0.5}}, "its prior is mix"),
    ]
    for change, told in cases:
        before = pipe.config.start_from
        pipe.register_to_config(**change)
        assert told in why_not_stock(pipe)
        pipe.register_to_config(start_from=before)
    pipe.scheduler.register_to_config(start="exact")
    assert "its sampling starts exact" in why_not_stock(pipe)
    pipe.scheduler.register_to_config(start="noised", prediction="psi-noise")
    assert "its prediction is psi-noise" in why_not_stock(pipe)
    assert save_model(pipe, tmp_path / "model") == why_not_stock(pipe)
    assert not list((tmp_path / "model").glob("*.py"))


@pytest.mark.parametrize("name", [name for name in PUBLISHED if name in ("latte", "animatediff")])
def test_families_without_such_a_pipeline_are_named(name: str, tmp_path: Path) -> None:
    pipe = FrameBridgePipeline.from_pretrained(publish(name, tmp_path / "base"))
    told = why_not_stock(pipe)
    assert told.startswith(f"its network is of the family {name}, which has no such pipeline")
