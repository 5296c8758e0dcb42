"""A text-to-video base as a bridge, without any training.

An aligned network cannot tell a bridge's state from one of its own diffusion, so the base's own
denoiser ends a bridge as it is (FrameBridge, arXiv 2410.15371). From the full way it would know
nothing of the picture, whose share has been taken off; so the bridge starts from the repeated
picture only part of the way up, as SDEdit does (arXiv 2108.01073).
"""

from __future__ import annotations

from typing import Any

from fbridge.backbones.families import aligned_prediction
from fbridge.errors import CheckpointError
from fbridge.loaders.load import PretrainedModel
from fbridge.scheduler import FrameBridgeScheduler

STRENGTH = 0.7
"""Of the way: more moves more and keeps less of the picture."""
STEPS = 30
_GUIDANCE = {"v": 6.0, "flow": 5.0, "noise": 7.5}
"""Weight of the words that each sort of base is used with."""


def training_free_components(base: PretrainedModel) -> dict[str, Any]:
    """Arguments of `FrameBridgePipeline` for a base as it is.

    Raises:
        CheckpointError: the base has no network, or none that knows noise.
    """
    if base.transformer is None or base.noise_schedule is None or base.prediction is None:
        raise CheckpointError(
            f"{base.name}: is no text-to-video model that could be used untrained"
        )
    scheduler = FrameBridgeScheduler(
        prediction=aligned_prediction(base.prediction),
        base=base.noise_schedule,
        sampler="ode",
        steps=STEPS,
        guidance_scale=base.family.guidance or _GUIDANCE[base.prediction],
        strength=STRENGTH,
    )
    return {**base.components(), "transformer": base.transformer, "scheduler": scheduler}
