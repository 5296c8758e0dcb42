"""Which bases the built-in demo clips fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from fbridge.errors import CheckpointError, ConfigError
from fbridge.loaders.load import load_pretrained
from fbridge.loaders.locate import packaged_file
from fbridge.prepare.demo import BASE, check_fits_demo
from fbridge.scheduler import FrameBridgeScheduler
from fbridge.train.export.model_folder import assemble, save_model
from tests.bases import tiny_base
from tests.pipelines import publish


def test_the_base_that_they_were_prepared_with_fits(tmp_path: Path) -> None:
    base = load_pretrained(BASE)
    save_model(
        assemble(base, base.transformer, scheduler=FrameBridgeScheduler()), tmp_path / "model"
    )
    for name in (BASE, str(packaged_file(BASE)), str(tmp_path / "model"), "scratch:tiny"):
        check_fits_demo(name)


def test_a_base_of_another_codec_is_told_at_once(tmp_path: Path) -> None:
    wan = publish("wan", tmp_path / "wan")
    alone = wan / "transformer/diffusion_pytorch_model.safetensors"
    other = tiny_base(tmp_path / "other.safetensors")
    bare = alone.rename(tmp_path / "bare.safetensors")
    for name, components in ((wan, None), (other, None), (bare, str(wan)), ("embedded", None)):
        told = f"base {name}: the built-in demo clips .* --codec {name}, and name them with --data"
        with pytest.raises(ConfigError, match=told):
            check_fits_demo(str(name), components=components)
    with pytest.raises(ConfigError, match="the built-in demo clips"):
        check_fits_demo(str(bare), download=True)
    with pytest.raises(CheckpointError, match="holds weights only"):
        check_fits_demo(str(bare))
