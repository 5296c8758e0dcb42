"""Exports of finished models and adapters."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from fbridge.errors import ConfigError
from fbridge.interop.stock_folder import PIPELINE
from fbridge.loaders.lora import load_adapter
from fbridge.train.export.of_model import export_model
from tests.interop.test_comfy import adapter


def test_an_adapter_becomes_a_model_of_stock_diffusers(tmp_path: Path) -> None:
    adapter(tmp_path)
    export_model(tmp_path / "lora", tmp_path / "model", dtype=torch.float16)
    assert (tmp_path / f"model/{PIPELINE}.py").is_file()
    assert PIPELINE in (tmp_path / "model/README.md").read_text()
    held = load_file(tmp_path / "model/transformer/diffusion_pytorch_model.safetensors")
    merged = load_adapter(tmp_path / "lora")[1].transformer.state_dict()
    assert held.keys() == merged.keys()
    assert held["patch_embedding.weight"].shape[1] == 32
    assert all(torch.allclose(held[n].float(), merged[n], atol=1e-2) for n in held)
    export_model(tmp_path / "model", tmp_path / "again")
    assert (tmp_path / f"again/{PIPELINE}.py").is_file()


def test_a_text_to_video_model_is_none(tmp_path: Path) -> None:
    adapter(tmp_path)
    with pytest.raises(ConfigError, match="is a text-to-video model, which diffusers runs as it"):
        export_model(tmp_path / "base", tmp_path / "model")
    assert not (tmp_path / "model").exists()
