"""Curves for TensorBoard, wandb and trackio, through accelerate."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from fbridge.errors import ConfigError, DependencyError

TRACKERS = ("tensorboard", "wandb", "trackio")


def check_trackers(names: Sequence[str]) -> list[str]:
    """The trackers to open through accelerate: all but "csv".

    Raises:
        ConfigError: one is unknown.
        DependencyError: its package is not installed.
    """
    wanted = [name for name in dict.fromkeys(names) if name != "csv"]
    for name in wanted:
        if name not in TRACKERS:
            raise ConfigError(
                f"log.trackers: {name!r} is unknown; known are csv, {', '.join(TRACKERS)}"
            )
        if importlib.util.find_spec(name) is None:
            extra = name if name == "tensorboard" else f"'fbridge[{name}]'"
            raise DependencyError(
                f"log.trackers: {name} is not installed; pip install {extra}, or leave it out"
            )
    return wanted


class Trackers:
    """The open trackers of a run, in the main process.

    Args:
        accelerator: made with `log_with` and `project_dir`.
        run: folder, whose name becomes the run's.
        config: by dotted key.
    """

    def __init__(self, accelerator: Accelerator, run: Path, config: Mapping[str, Any]) -> None:
        self._accelerator = accelerator
        flat = {
            name: value if isinstance(value, int | float | str | bool) else str(value)
            for name, value in config.items()
        }
        own = {"wandb": {"name": run.name, "dir": str(run)}, "trackio": {"name": run.name}}
        accelerator.init_trackers("fbridge", config=flat, init_kwargs=own)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Log the values of a step."""
        self._accelerator.log(dict(values), step=step)

    def close(self) -> None:
        """Flush and close."""
        self._accelerator.end_training()
