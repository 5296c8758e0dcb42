"""A small source of videos and a small codec."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL

from fbridge.data.video.clip_sampling import ClipSampling
from fbridge.prepare import PrepareRequest
from tests.data.stores.conftest import fill, proxy, s3_port  # noqa: F401 - fixtures
from tests.prepare.sets import BUCKET, Order, film


@pytest.fixture(scope="session")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a little AutoencoderKL."""
    folder = tmp_path_factory.mktemp("codec")
    torch.manual_seed(1)
    AutoencoderKL(
        3,
        3,
        ("DownEncoderBlock2D",) * 2,
        ("UpDecoderBlock2D",) * 2,
        (8, 8),
        norm_num_groups=4,
        latent_channels=3,
        scaling_factor=0.7,
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten videos of one bucket, seven captions among them."""
    folder = tmp_path_factory.mktemp("source")
    for number in range(10):
        film(folder / f"part{number % 2}" / f"{number}.mp4", number)
        if number != 3:
            words = f"a square of colour {number % 6} moves"
            (folder / f"part{number % 2}" / f"{number}.txt").write_text(words)
    return folder


@pytest.fixture
def order(source: Path, codec: Path, tmp_path: Path) -> Order:
    """An order for the small source, with some things other than usual."""

    def make(**other: Any) -> PrepareRequest:
        usual = PrepareRequest(
            source,
            tmp_path / "set",
            ClipSampling((BUCKET,)),
            codec=str(codec),
            shard_rows=3,
            batch_size=2,
        )
        return replace(usual, **other)

    return make
