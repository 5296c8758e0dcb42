"""The models that FrameBridge's authors released, as their own code runs them.

Source: their configurations and scripts (github.com/thu-ml/FrameBridge), for the numbers alone.
"""

from __future__ import annotations

from typing import Any

from fbridge.bases import Base
from fbridge.errors import CheckpointError
from fbridge.scheduler import FrameBridgeScheduler

COGVIDEOX_FRAMES = 17
COGVIDEOX_SIZE = (256, 256)


def released_components(base: Base) -> dict[str, Any]:
    """Arguments of `FrameBridgePipeline` for a network that is shown the repeated picture already.

    FrameBridge-CogVideoX is CogVideoX 2B with twice the input channels: the bridge's state with the
    prior taken off, and the latents of the repeated picture, which are the prior. It is sampled in
    50 steps of the bridge's SDE at every 20th of its training times, from the prior itself, with
    words of weight 6.

    Raises:
        CheckpointError: no such model is known.
    """
    shown = base.family.parts(base.transformer)
    if base.family.name != "cogvideox" or shown != 1 or base.noise is None:
        raise CheckpointError(
            f"{base.name}: a {base.family.name} network that is shown {shown} parts besides the "
            "latents is an image-to-video model of unknown kind; name a bridge's folder, or a "
            "text-to-video base"
        )
    scheduler = FrameBridgeScheduler(
        prediction="aligned-v",
        base=base.noise,
        sampler="sde",
        grid="trailing",
        start="exact",
        steps=50,
        guidance_scale=6.0,
    )
    own = {"frames": [COGVIDEOX_FRAMES, *base.frames[1:]], "sizes": [list(COGVIDEOX_SIZE)]}
    return {**base.parts(), **own, "transformer": base.transformer, "scheduler": scheduler}
