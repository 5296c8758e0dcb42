"""Which trackers are opened, and what TensorBoard is told."""

from __future__ import annotations

import errno
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fbridge.errors import ConfigError, DependencyError
from fbridge.train.events import Ended, Warned
from fbridge.train.run import train
from fbridge.train.setup.session import Session
from fbridge.train.trackers import Trackers, check_trackers


def test_csv_needs_nothing() -> None:
    assert check_trackers(["csv"]) == []
    assert check_trackers([]) == []


def test_mistakes_have_names(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="'board' is unknown; known are csv, tensorboard"):
        check_trackers(["board"])
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(DependencyError, match=r"pip install 'fbridge\[wandb\]'"):
        check_trackers(["csv", "wandb"])


def test_a_full_disk_costs_curves_and_not_the_training(
    session: Callable[..., Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = session(
        log={"trackers": ["tensorboard"], "every": 1},
        train={"steps": 3},
        validation={"clips": 0},
    )

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Trackers, "add", refuse)
    monkeypatch.setattr(Trackers, "close", refuse)
    monkeypatch.setattr(Path, "open", _refusing(Path.open, "metrics.csv"))
    events = list(train(made))
    told = [event.text for event in events if isinstance(event, Warned)]
    assert len(told) == 2  # each once
    assert "metrics.csv: cannot be written: no room is left" in told[0]
    assert "a tracker failed ([Errno 28] No space left on device)" in told[1]
    assert isinstance(events[-1], Ended)
    assert events[-1].step == 3


def _refusing(original: Callable[..., Any], name: str) -> Callable[..., Any]:
    def opened(path: Path, mode: str = "r", **how: Any) -> Any:
        if path.name == name and mode == "a":
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(path, mode, **how)

    return opened


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
