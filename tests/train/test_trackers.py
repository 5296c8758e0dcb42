"""Which trackers are opened, and what TensorBoard is told."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fbridge.errors import ConfigError, DependencyError
from fbridge.train.run import train
from fbridge.train.setup.session import Session
from fbridge.train.trackers import check_trackers


def test_csv_needs_nothing() -> None:
    assert check_trackers(["csv"]) == []
    assert check_trackers([]) == []


def test_mistakes_have_names(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="'board' is unknown; known are csv, tensorboard"):
        check_trackers(["board"])
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(DependencyError, match=r"pip install 'fbridge\[wandb\]'"):
        check_trackers(["csv", "wandb"])


def test_tensorboard_is_told_the_curves(session: Callable[..., Session], tmp_path: Path) -> None:
    events: Any = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", exc_type=ImportError
    )
    made = session(
        log={"trackers": ["tensorboard", "csv", "tensorboard"]},
        train={"steps": 2},
        validation={"clips": 0},
    )
    list(train(made))
    files = (tmp_path / "run/tracker").rglob("*tfevents*")
    told = events.EventAccumulator(str(min(files, key=lambda file: len(file.parts)).parent))
    told.Reload()
    tags = told.Tags()["scalars"]
    assert {"train/loss", "train/lr", "validation/held_out"} <= set(tags)
    assert [event.step for event in told.Scalars("train/loss")] == [1, 2]
    assert [event.step for event in told.Scalars("validation/held_out")] == [0, 2]
