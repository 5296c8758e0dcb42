"""Curves for TensorBoard, wandb and trackio, through accelerate; metrics.csv is always there."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from fbridge.errors import ConfigError, DependencyError

PACKAGES = {"tensorboard": "tensorboard", "wandb": "wandb", "trackio": "trackio"}
EXTRAS = ("wandb", "trackio")


def check_trackers(names: Sequence[str]) -> list[str]:
    """The trackers that accelerate is to open, but for "csv", which needs none.

    Raises:
        ConfigError: one is unknown.
        DependencyError: its package is not installed.
    """
    wanted = [name for name in dict.fromkeys(names) if name != "csv"]
    for name in wanted:
        if name not in PACKAGES:
            raise ConfigError(
                f"log.trackers: {name!r} is unknown; known are csv, {', '.join(PACKAGES)}"
            )
        if importlib.util.find_spec(PACKAGES[name]) is None:
            extra = f"'fbridge[{name}]'" if name in EXTRAS else PACKAGES[name]
            raise DependencyError(
                f"log.trackers: {name} is not installed; pip install {extra}, or leave it out"
            )
    return wanted


class Trackers:
    """The open trackers of a run; of the first process alone.

    Args:
        accelerator: made with `log_with` and `project_dir`.
        run: the run's folder; its name is the run's.
        config: flat, for those that show it.
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
        """Tell numbers of a step."""
        self._accelerator.log(dict(values), step=step)

    def close(self) -> None:
        """Write what is left."""
        self._accelerator.end_training()
