"""A tiny base, a data set that fits it, and short runs over them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fbridge.data.latents import LatentDataset
from fbridge.train.request import Command
from fbridge.train.setup.session import Session, build_session
from tests.bases import tiny_base
from tests.train.sets import Row, fresh_accelerate, rows, short_run, write_set

MakeSession = Callable[..., Session]


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text-to-video base of random weights."""
    return tiny_base(tmp_path_factory.mktemp("base") / "t2v.safetensors")


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory, base: Path) -> LatentDataset:
    """Nine clips of nine videos, in latents of the base."""
    return write_set(
        tmp_path_factory.mktemp("clips"), rows(9, frames=3), base, latent=(4, 8, 8), scale=8
    )


@pytest.fixture(scope="session")
def classed(tmp_path_factory: pytest.TempPathFactory, base: Path) -> LatentDataset:
    """Six clips of three classes, two of which are of one video."""
    held = [
        Row(f"video {n // 2}", label=n % 3, frames=3, caption=f"class {n % 3}")
        for n in (*range(6),)
    ]
    return write_set(tmp_path_factory.mktemp("classed"), held, base, latent=(4, 8, 8), scale=8)


@pytest.fixture
def session(clips: LatentDataset, base: Path, tmp_path: Path) -> Iterator[MakeSession]:
    """Sets up a run in the test's folder; sections of the configuration are added."""

    def make(command: Command = "finetune", run: str = "run", **sections: Any) -> Session:
        config = short_run(clips.folder, base if command == "finetune" else None, **sections)
        return build_session(command, config, tmp_path / run, device="cpu")

    with fresh_accelerate():
        yield make
