"""A text-to-video model as a bridge without training.

By SNR alignment a bridge's state looks to the network like one of its own diffusion, so it can
denoise a bridge as it is (FrameBridge, arXiv 2410.15371). The aligned state has the prior removed
and at t = 1 nothing of the picture; so the bridge starts from the repeated picture noised part of
the way, as in SDEdit (arXiv 2108.01073). A base that takes pictures natively is given it as its
makers trained it, as first latent frame, and then sampled from noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fbridge.backbones.families import aligned_prediction, takes_picture
from fbridge.errors import CheckpointError
from fbridge.loaders.load import PretrainedModel
from fbridge.scheduler import FrameBridgeScheduler
from fbridge.scheduler_plain import PlainScheduler

STRENGTHS = {"bridge": 0.7, "native": 1.0, "both": 0.9}
"""Share of the way by `fbridge.choices.ImageInput`: more moves more, keeps less of the picture."""
STEPS = 30
_GUIDANCE = {"v": 6.0, "flow": 5.0, "noise": 7.5}
"""Guidance scale by the prediction."""
_GUIDANCE_OF_PAIR = {"high": 4.0, "low": 3.0}
"""Of Wan 2.2 A14B's networks, as its makers' configuration has it (wan/configs/wan_t2v_A14B.py)."""


def default_strength(scheduler: PlainScheduler, image_input: str) -> float:
    """Where sampling starts by default: no later than the network's times end."""
    return min(STRENGTHS[image_input], scheduler.time_range[1])


def training_free_components(base: PretrainedModel) -> dict[str, Any]:
    """Arguments of `FrameBridgePipeline` for a text-to-video model as it is.

    Raises:
        CheckpointError: the base has no network, or none that knows noise.
    """
    if base.transformer is None or base.noise_schedule is None or base.prediction is None:
        raise CheckpointError(
            f"{base.name}: is no text-to-video model that could be used untrained"
        )
    image_input = "native" if takes_picture(base.transformer) else "bridge"
    scheduler = FrameBridgeScheduler(
        prediction=aligned_prediction(base.prediction),
        base=base.noise_schedule,
        sampler="ode",
        steps=STEPS,
        **_default_guidance(base, base.noise_schedule, base.prediction),
        image_input=image_input,
        boundary=base.boundary,
    )
    first = scheduler.time_range[0]
    if first > 0:
        raise CheckpointError(
            f"{base.name}: is the expert for much noise of a pair, which knows bridge times from "
            f"{first:.3f} on and cannot end a video alone; take the one for little noise"
        )
    scheduler.register_to_config(strength=default_strength(scheduler, image_input))
    return {**base.components(), "transformer": base.transformer, "scheduler": scheduler}


def _default_guidance(
    base: PretrainedModel, noise: Mapping[str, Any], prediction: str
) -> dict[str, float]:
    """Guidance scales of the scheduler's configuration."""
    low = _GUIDANCE_OF_PAIR["low"]
    if base.boundary is not None:
        return {"guidance_scale": _GUIDANCE_OF_PAIR["high"], "guidance_scale_2": low}
    if "highest" in noise:  # the one for little noise alone
        return {"guidance_scale": low}
    return {"guidance_scale": base.family.guidance or _GUIDANCE[prediction]}
