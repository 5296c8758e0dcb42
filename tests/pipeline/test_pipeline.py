"""The pipeline on small random models: saving, batches, codecs, errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from PIL import Image

from fbridge.backbones.space_time import SpaceTimeTransformer
from fbridge.codecs.motion import DESCRIPTION, MotionCodec
from fbridge.codecs.pixel import PixelCodec
from fbridge.codecs.render import CHANNELS
from fbridge.errors import CheckpointError, ConfigError
from fbridge.pipeline import FrameBridgePipeline
from fbridge.pipeline.bridge import FrameLimits
from fbridge.sampling import GridKind
from fbridge.scheduler import FrameBridgeScheduler

SCHEDULE = {"kind": "gmax", "beta_0": 0.01, "beta_1": 2.0}


def shaken(net: SpaceTimeTransformer) -> SpaceTimeTransformer:
    torch.manual_seed(2)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.08)
    return net.eval()


def transformer(*sizes: int, **options: object) -> SpaceTimeTransformer:
    return shaken(SpaceTimeTransformer(*sizes, dim=32, depth=1, heads=2, **options))


@pytest.fixture(scope="module", params=["motion", "pixel", "pixel-flow"])
def pipe(request: pytest.FixtureRequest) -> FrameBridgePipeline:
    torch.manual_seed(0)
    if request.param == "motion":
        sizes = (CHANNELS, 3, 1, DESCRIPTION)
        return FrameBridgePipeline(
            codec=MotionCodec(widths=(8, 8, 16, 16), side=64).eval(),
            transformer=transformer(*sizes),
            prior=transformer(*sizes, timed=False),
            scheduler=FrameBridgeScheduler(schedule=SCHEDULE, steps=4),
            frames=[6, 2, 12, 1],
        )
    options = (
        {"prediction": "aligned-flow", "base": {"kind": "flow"}} if "flow" in request.param else {}
    )
    return FrameBridgePipeline(
        codec=PixelCodec(64, 96),
        transformer=transformer(3, 64, 96, 3, patch=16),
        scheduler=FrameBridgeScheduler(schedule=SCHEDULE, steps=4, **options),
        frames=[6, 2, 12, 2],
    )


def pictures(count: int) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [
        Image.fromarray(rng.integers(0, 255, (32, 48, 3), dtype=np.uint8)) for _ in range(count)
    ]


def test_a_picture_becomes_a_video(pipe: FrameBridgePipeline) -> None:
    steps: list[tuple[int, int]] = []
    out = pipe(pictures(1)[0], "a cat jumps", callback=lambda *step: steps.append(step))
    assert [video.shape for video in out.frames] == [(6, 64, 96, 3)]
    assert out.frames[0].dtype == np.uint8
    assert steps == [(i + 1, 4) for i in range(4)]


def test_a_video_does_not_depend_on_its_batch(pipe: FrameBridgePipeline) -> None:
    prompts = ["a cat jumps", "zoom in", "the long winding road disappears slowly"]
    batch = pipe(pictures(3), prompts, seed=[5, 6, 7])
    alone = pipe(pictures(3)[1], prompts[1], seed=6)
    assert torch.allclose(batch.latents[1], alone.latents[0], atol=2e-5)
    difference = np.abs(batch.frames[1].astype(int) - alone.frames[0].astype(int))
    assert difference.max() <= 1


def test_the_seed_decides(pipe: FrameBridgePipeline) -> None:
    videos = pipe(pictures(1)[0], "jump", seed=[1, 1, 2]).latents
    assert torch.allclose(videos[0], videos[1], atol=1e-5)
    assert (videos[0] - videos[2]).abs().max() > 1e-2


@pytest.mark.parametrize(
    ("limits", "wanted", "expected"),
    [
        ((17, 17, 17, 4), 16, 17),
        ((17, 17, 17, 4), 18, 17),
        ((49, 5, 81, 4), 16, 17),
        ((49, 5, 81, 4), 17, 17),
        ((49, 5, 81, 4), 2, 5),
        ((49, 5, 80, 4), 99, 77),
        ((32, 2, 96, 1), 16, 16),
    ],
)
def test_the_nearest_number_of_frames_that_is_enough(
    limits: tuple[int, int, int, int], wanted: int, expected: int
) -> None:
    assert FrameLimits(*limits).at_least(wanted) == expected


def test_saving_and_loading_changes_no_bit(pipe: FrameBridgePipeline, tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path / "model")
    index = json.loads((tmp_path / "model/model_index.json").read_text())
    assert index["_class_name"] == "FrameBridgePipeline"
    assert index["codec"][1] == type(pipe.codec).__name__
    again = FrameBridgePipeline.from_pretrained(tmp_path / "model")
    assert again.frame_limits == pipe.frame_limits
    a, b = (p(pictures(1)[0], "jump", seed=3).frames[0] for p in (pipe, again))
    assert np.array_equal(a, b)
    assert len(again.model_hash) == 64
    weights = next((tmp_path / "model/transformer").glob("*.safetensors"))
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    other = FrameBridgePipeline.from_pretrained(tmp_path / "model")
    assert other.model_hash != again.model_hash


@pytest.mark.parametrize("sampler", ["sde", "ode", "dbim", "dbim2", "dbim3", "sde2m", "heun"])
@pytest.mark.parametrize("grid", ["uniform", "trailing", "logsnr", "karras"])
def test_every_sampler_and_grid_runs(
    pipe: FrameBridgePipeline, sampler: str, grid: GridKind
) -> None:
    out = pipe(
        pictures(1)[0], "jump", sampler=sampler, grid=grid, num_frames=2, num_inference_steps=3
    )
    assert torch.isfinite(out.latents).all()


def test_a_model_samples_at_the_shifted_times_it_is_saved_with(
    pipe: FrameBridgePipeline, tmp_path: Path
) -> None:
    def run(pipe: FrameBridgePipeline, **options: Any) -> torch.Tensor:
        latents: torch.Tensor = pipe(
            pictures(1)[0], "jump", num_frames=2, num_inference_steps=3, **options
        ).latents
        return latents

    shifted = run(pipe, time_shift=3.0)
    assert not torch.equal(shifted, run(pipe))
    pipe.scheduler.register_to_config(time_shift=3.0)
    pipe.save_pretrained(tmp_path / "model")
    again = FrameBridgePipeline.from_pretrained(tmp_path / "model")
    assert torch.equal(run(again), shifted)
    assert torch.equal(run(again, time_shift=1.0), run(pipe, time_shift=1.0))
    grid = again.scheduler.config.grid
    plain, moved = (again.sampling_times(3, grid, 1.0, shift) for shift in (1.0, 3.0))
    share = plain / plain[0]
    torch.testing.assert_close(moved / plain[0], 3 * share / (1 + 2 * share))


def test_guidance_steers(pipe: FrameBridgePipeline) -> None:
    def run(**options: Any) -> torch.Tensor:
        latents: torch.Tensor = pipe(pictures(1)[0], "jump", num_frames=2, **options).latents
        return latents

    plain = run()
    assert torch.allclose(run(guidance_scale=1.0), plain)
    assert (run(guidance_scale=4.0) - plain).abs().max() > 1e-4
    assert (
        run(guidance_scale=4.0, negative_prompt="spin") - run(guidance_scale=4.0)
    ).abs().max() > 1e-5
    assert (run(image_guidance_scale=2.0) - plain).abs().max() > 1e-4


@pytest.mark.parametrize("sampler", ["sde", "ode", "dbim2"])
def test_the_first_frame_is_the_picture(pipe: FrameBridgePipeline, sampler: str) -> None:
    """And the others see it: they differ from those of a video whose first frame is free."""
    ways = {"exact": None, "free": "free"}
    if not pipe.latent_codec.first_frame_alone:
        with pytest.raises(ConfigError, match="first_frame 'exact'"):
            pipe(pictures(1)[0], "jump", first_frame="exact")
        ways = {"free": None}
    made = {
        way: pipe(pictures(1)[0], "jump", sampler=sampler, first_frame=given).latents
        for way, given in ways.items()
    }
    assert pipe.defaults["first_frame"] == next(iter(ways))
    view, _ = pipe.encode_inputs(pictures(1), ["jump"])
    assert not torch.equal(made["free"][:, 0], view.image_latents)
    if "exact" in made:
        assert torch.equal(made["exact"][:, 0], view.image_latents)
        assert (made["exact"][:, 1:] - made["free"][:, 1:]).abs().max() > 0


def test_what_cannot_be_is_named(pipe: FrameBridgePipeline) -> None:
    with pytest.raises(ConfigError, match="num_frames 99"):
        pipe(pictures(1)[0], "jump", num_frames=99)
    with pytest.raises(ConfigError, match="prompt has 2 entries"):
        pipe(pictures(3), ["a", "b"])
    with pytest.raises(ConfigError, match="guidance nan"):
        pipe(pictures(1)[0], "jump", guidance_scale=float("nan"))
    with pytest.raises(ValueError, match="steps is 0"):
        pipe(pictures(1)[0], "jump", num_inference_steps=0)
    with pytest.raises(ConfigError, match="'euler'"):
        pipe(pictures(1)[0], "jump", sampler="euler")


def test_a_hub_model_is_fetched_without_code(
    pipe: FrameBridgePipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe.save_pretrained(tmp_path)

    def snapshot(name: str, *, allow_patterns: list[str], revision: str) -> str:
        assert (name, revision) == ("owner/name", "main")
        assert not any(pattern.endswith(".py") for pattern in allow_patterns)
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    again = FrameBridgePipeline.from_pretrained("owner/name", revision="main")
    assert again.frame_limits == pipe.frame_limits


def test_half_precision_changes_little(pipe: FrameBridgePipeline, tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path)
    half = FrameBridgePipeline.from_pretrained(tmp_path, dtype=torch.bfloat16)
    a, b = (p(pictures(1)[0], "jump", seed=3).latents for p in (pipe, half))
    assert b.dtype == torch.float32
    assert half.transformer.dtype == torch.bfloat16
    assert 0 < (a - b).abs().max() < 0.1 * a.abs().max()


@pytest.mark.parametrize("name", ["no/such/model", "nowhere", "./missing"])
def test_a_model_that_is_not_there(name: str) -> None:
    with pytest.raises(CheckpointError, match=name):
        FrameBridgePipeline.from_pretrained(name)


def test_a_folder_that_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"model_index\.json"):
        FrameBridgePipeline.from_pretrained(tmp_path)
    (tmp_path / "model_index.json").write_text("{ not json")
    with pytest.raises(CheckpointError, match=r"model_index\.json: cannot be read"):
        FrameBridgePipeline.from_pretrained(tmp_path)


def test_its_parts_load_alone(pipe: FrameBridgePipeline, tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path)
    config = DiffusionPipeline.load_config(tmp_path)
    assert config["frames"] == pipe.config.frames
    scheduler = FrameBridgeScheduler.from_pretrained(tmp_path, subfolder="scheduler")
    assert scheduler.process == pipe.scheduler.process


def test_an_unknown_prediction_is_named() -> None:
    with pytest.raises(ConfigError, match="'score'"):
        FrameBridgeScheduler(prediction="score")
    with pytest.raises(ConfigError, match="'edm'"):
        FrameBridgeScheduler(prediction="aligned-v", base={"kind": "edm"})
