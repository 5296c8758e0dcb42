"""What a base's noise is, from the configuration of its diffusers scheduler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fbridge.errors import CheckpointError

Noise = tuple[dict[str, Any], str]
"""The argument of `fbridge.scheduler.build_noise_schedule`, and what the base predicts."""


def flow_noise(scheduler: Mapping[str, Any]) -> Noise:
    """Of a flow-matching scheduler; its shift says which times are sampled, and is not read."""
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
    require(scheduler, {"beta_schedule": "linear", "prediction_type": "epsilon"}, "Latte")
    ends = {name: float(scheduler.get(name, usual)) for name, usual in _ENDS.items()}
    return {"kind": "linear", **ends}, "noise"


def stable_diffusion_noise(scheduler: Mapping[str, Any]) -> Noise:
    """Of DDPM's linear or scaled linear betas and noise prediction."""
    require(scheduler, {"prediction_type": "epsilon"}, "AnimateDiff")
    schedule = scheduler.get("beta_schedule", "linear")
    if schedule not in ("linear", "scaled_linear"):
        raise CheckpointError(
            f"scheduler_config.json: beta_schedule is {schedule!r}, where AnimateDiff has 'linear' "
            "or 'scaled_linear'; this diffusion is not supported"
        )
    usual = {"beta_start": 0.00085, "beta_end": 0.012}
    ends = {name: float(scheduler.get(name, number)) for name, number in usual.items()}
    return {"kind": schedule.replace("_", "-"), **ends}, "noise"


def cogvideox_noise(scheduler: Mapping[str, Any]) -> Noise:
    """Of a CogVideoXDDIMScheduler or CogVideoXDPMScheduler."""
    needed = {
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "prediction_type": "v_prediction",
        "rescale_betas_zero_snr": True,
    }
    require(scheduler, needed, "CogVideoX")
    return {"kind": "cogvideox", "snr_shift": float(scheduler.get("snr_shift_scale", 3.0))}, "v"


def require(scheduler: Mapping[str, Any], needed: Mapping[str, Any], whose: str) -> None:
    """Raise CheckpointError where a scheduler says something else than a family has."""
    for name, value in needed.items():
        if scheduler.get(name, value) != value:
            raise CheckpointError(
                f"scheduler_config.json: {name} is {scheduler[name]!r}, where {whose} has "
                f"{value!r}; this diffusion is not supported"
            )


_ENDS = {"beta_start": 0.0001, "beta_end": 0.02}


def _name(scheduler: Mapping[str, Any]) -> str:
    return str(scheduler.get("_class_name", ""))
