"""What a model's network was trained on: noise schedule and prediction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fbridge.files.configs import read_json
from fbridge.loaders.experts import limit_noise

if TYPE_CHECKING:
    from fbridge.loaders.resolve import ResolvedModel

SCHEDULER = "scheduler/scheduler_config.json"


def noise_and_prediction(
    model: ResolvedModel, config: Mapping[str, Any] | None
) -> tuple[dict[str, Any], str]:
    """See `ResolvedModel.noise_and_prediction`."""
    if model.kind == "base":
        return model.facts["noise"], model.facts["prediction"]
    if model.kind == "bridge":
        scheduler = read_json(model.path / SCHEDULER)
        return scheduler.get("base") or {}, str(scheduler.get("prediction", "clean"))
    if SCHEDULER in model.family.required_files:
        folder = model.path if model.path.is_dir() else model.components
        known = folder is not None and (folder / SCHEDULER).is_file()
        config = read_json(folder / SCHEDULER) if folder is not None and known else None
    read = model.family.noise_schedule
    if read is None or config is None:
        return {}, model.family.prediction
    noise, prediction = read(config)
    return limit_noise(model, noise), prediction
