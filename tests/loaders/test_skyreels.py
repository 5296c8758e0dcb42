"""SkyReels-V2's text-to-video model is Wan's network under another class."""

from __future__ import annotations

import json
from pathlib import Path

import diffusers
import pytest
import torch

from fbridge.errors import CheckpointError
from fbridge.loaders.inspect import inspect_model
from fbridge.loaders.load import load_pretrained
from fbridge.pipeline import FrameBridgePipeline
from tests.pipelines import publish


@torch.no_grad()
def test_it_is_wan_as_folder_and_as_file(tmp_path: Path) -> None:
    wan = diffusers.WanPipeline.from_pretrained(publish("wan", tmp_path / "wan"))
    config = {key: value for key, value in wan.transformer.config.items() if key[0] != "_"}
    network = diffusers.SkyReelsV2Transformer3DModel(**config).eval()
    network.load_state_dict(wan.transformer.state_dict())
    parts = {name: part for name, part in wan.components.items() if name != "transformer_2"}
    folder = tmp_path / "skyreels"
    diffusers.SkyReelsV2Pipeline(**{**parts, "transformer": network}).save_pretrained(folder)
    told = inspect_model(str(folder))
    assert (told.family, told.refused, told.tokens) == ("wan", "", 512)
    assert (told.video["fps"], told.video["frames"][0]) == (24.0, 97)
    file = folder / "transformer/diffusion_pytorch_model.safetensors"
    given = torch.randn(1, 16, 2, 4, 4), torch.tensor([500.0]), torch.randn(1, 512, 16)
    (wanted,) = network(*given, return_dict=False)
    for model in (folder, file):
        base = load_pretrained(str(model))
        assert (base.fps, base.frames[0]) == (24.0, 97)
        assert torch.allclose(base.transformer(*given, return_dict=False)[0], wanted, atol=1e-6)
    assert FrameBridgePipeline.from_pretrained(folder).config.reading[0] == 512

    place = folder / "transformer/config.json"
    held = json.loads(place.read_text())
    for key, value in (("inject_sample_info", True), ("num_frame_per_block", 5)):
        place.write_text(json.dumps({**held, key: value}))
        for model in (folder, file):
            assert "model for diffusion forcing" in inspect_model(str(model)).refused
            with pytest.raises(CheckpointError, match="take its text-to-video model"):
                load_pretrained(str(model))
