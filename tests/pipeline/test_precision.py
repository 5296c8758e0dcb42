"""Numbers that are not finite, the precision that makes them, and the way out that is named."""

from __future__ import annotations

import json
import math
import warnings
from functools import partial
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL

from fbridge.errors import CheckpointError, ConfigError
from fbridge.generate import GenerateRequest, Loaded, run
from fbridge.pipeline import FrameBridgePipeline
from fbridge.pipeline.precision import component_dtypes
from fbridge.pipeline.remedy import overflow_remedy
from tests.pipeline.test_kinds import of_vae, picture


def test_a_network_beyond_the_range_of_half_precision_names_another(tmp_path: Path) -> None:
    pipe = of_vae()
    pipe.transformer.transformer_blocks[0].ff.net[2].weight.data *= 1e7
    assert pipe(picture(), "zoom in").latents.isfinite().all()
    pipe.save_pretrained(tmp_path / "model")
    half = FrameBridgePipeline.from_pretrained(tmp_path / "model", dtype=torch.float16)
    told = "latents of video 1 of this batch.*float16 is too small.*use --dtype bfloat16"
    with pytest.raises(CheckpointError, match=told):
        half(picture(), "zoom in")
    wide = FrameBridgePipeline.from_pretrained(tmp_path / "model", dtype=torch.bfloat16)
    assert wide(picture(), "zoom in").latents.isfinite().all()


def test_nothing_is_written_of_a_video_that_is_not_finite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pipe = of_vae()
    pipe.transformer.proj_out.bias.data[0] = math.nan
    picture().save("p.png")
    request = GenerateRequest(images=[Path("p.png")], prompt="zoom in", seed=3)
    told = r"the transformer's weights do, too \(proj_out.bias\): the file is damaged"
    with pytest.raises(CheckpointError, match=told):
        list(run(request, loaded=Loaded(pipe, "cpu", 1)))
    assert [path.name for path in Path().iterdir()] == ["p.png"]


@pytest.mark.parametrize(
    ("dtype", "value", "told"),
    [
        (torch.float16, 1.0, "--dtype bfloat16 or float32"),
        (torch.float16, math.inf, "--dtype bfloat16 or float32"),  # the cast makes it
        (torch.float16, math.nan, "damaged"),
        (torch.bfloat16, 1.0, "--dtype float32, a lower --guidance"),
        (torch.bfloat16, math.inf, "damaged"),
        (torch.float32, 1.0, "use a lower --guidance"),
    ],
)
def test_the_way_out_fits_the_cause(dtype: torch.dtype, value: float, told: str) -> None:
    network = torch.nn.Linear(2, 2, dtype=dtype)
    network.weight.data[0, 0] = value
    assert told in overflow_remedy({"frames": [1], "transformer": network}, dtype)


def test_a_dtype_that_is_none_is_refused(tmp_path: Path) -> None:
    of_vae().save_pretrained(tmp_path / "model")
    whole = {"transformer": torch.bfloat16, "default": torch.float32}
    pipe = FrameBridgePipeline.from_pretrained(tmp_path / "model", dtype=whole)
    assert (pipe.transformer.dtype, pipe.vae.dtype) == (torch.bfloat16, torch.float32)
    for name, dtype in ((tmp_path / "model", "auto"), ("t2v.safetensors", whole)):
        with pytest.raises(ConfigError, match=r"give torch.float32, torch.float16 or torch.bfloa"):
            FrameBridgePipeline.from_pretrained(name, dtype=dtype)


def test_the_dtype_goes_by_its_new_name_and_its_old_one(tmp_path: Path) -> None:
    of_vae().save_pretrained(tmp_path / "model")
    load = partial(FrameBridgePipeline.from_pretrained, tmp_path / "model")
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        for named in ({"dtype": torch.bfloat16}, {"torch_dtype": torch.bfloat16}):
            pipe = load(**named)
            assert pipe.transformer.dtype == pipe.vae.dtype == torch.bfloat16


def test_a_saved_image_vae_that_needs_float32_keeps_it(tmp_path: Path) -> None:
    vae = AutoencoderKL(block_out_channels=(8,), norm_num_groups=4)
    for upcast, expected in ((True, torch.float32), (False, torch.float16)):
        folder = tmp_path / str(upcast)
        vae.register_to_config(force_upcast=upcast)
        vae.save_config(folder / "vae")
        given = component_dtypes(folder, torch.float16)
        assert (given["vae"] if upcast else given) == expected
        assert component_dtypes(folder, torch.bfloat16) == torch.bfloat16
    (tmp_path / "True/vae/config.json").write_text(json.dumps({"_class_name": "AutoencoderTiny"}))
    assert component_dtypes(tmp_path / "True", torch.float16) == torch.float16
