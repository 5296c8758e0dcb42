"""A pretrained model's noise schedule, from the configuration of its diffusers scheduler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fbridge.errors import CheckpointError

Noise = tuple[dict[str, Any], str]
"""The argument of `fbridge.scheduler.build_noise_schedule`, and what the base predicts."""


def flow_noise(scheduler: Mapping[str, Any]) -> Noise:
    """Of a flow-matching scheduler; its shift only decides which times are sampled."""
    prediction = scheduler.get("prediction_type", "flow_prediction")
    flows = scheduler.get(
        "use_flow_sigmas", "shift" in scheduler or "FlowMatch" in _name(scheduler)
    )
    if prediction != "flow_prediction" or not flows:
        raise CheckpointError(
            f"scheduler_config.json: {_name(scheduler)} with prediction_type {prediction!r} is no "
            "flow-matching scheduler, which this network was trained with"
        )
    steps = float(scheduler.get("num_train_timesteps", 1000))
    return {"kind": "flow", "time_scale": steps}, "flow"


def linear_noise(scheduler: Mapping[str, Any]) -> Noise:
    """Of DDPM's linear betas and noise prediction."""
    _require(scheduler, {"beta_schedule": "linear", "prediction_type": "epsilon"}, "Latte")
    return {"kind": "linear", **_betas(scheduler, 0.0001, 0.02)}, "noise"


def stable_diffusion_noise(scheduler: Mapping[str, Any]) -> Noise:
    """Of DDPM's linear or scaled linear betas and noise prediction."""
    _require(scheduler, {"prediction_type": "epsilon"}, "AnimateDiff")
    schedule = scheduler.get("beta_schedule", "linear")
    if schedule not in ("linear", "scaled_linear"):
        raise CheckpointError(
            f"scheduler_config.json: beta_schedule is {schedule!r}, where AnimateDiff has 'linear' "
            "or 'scaled_linear'; this diffusion is not supported"
        )
    return {"kind": schedule.replace("_", "-"), **_betas(scheduler, 0.00085, 0.012)}, "noise"


def cogvideox_noise(scheduler: Mapping[str, Any]) -> Noise:
    """Of a CogVideoXDDIMScheduler or CogVideoXDPMScheduler."""
    needed = {
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "prediction_type": "v_prediction",
        "rescale_betas_zero_snr": True,
    }
    _require(scheduler, needed, "CogVideoX")
    return {"kind": "cogvideox", "snr_shift": float(scheduler.get("snr_shift_scale", 3.0))}, "v"


def _betas(scheduler: Mapping[str, Any], start: float, end: float) -> dict[str, float]:
    """First and last beta of a scheduler, with a family's defaults."""
    return {
        "beta_start": float(scheduler.get("beta_start", start)),
        "beta_end": float(scheduler.get("beta_end", end)),
    }


def _require(scheduler: Mapping[str, Any], needed: Mapping[str, Any], whose: str) -> None:
    """Raise CheckpointError unless a scheduler has the settings that a family needs."""
    for name, value in needed.items():
        if scheduler.get(name, value) != value:
            raise CheckpointError(
                f"scheduler_config.json: {name} is {scheduler[name]!r}, where {whose} has "
                f"{value!r}; this diffusion is not supported"
            )


def _name(scheduler: Mapping[str, Any]) -> str:
    return str(scheduler.get("_class_name", ""))
