"""The models that FrameBridge's authors released, as their own code runs them.

Source: their configurations and scripts (github.com/thu-ml/FrameBridge), for the numbers alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fbridge.errors import CheckpointError
from fbridge.files.modules import build
from fbridge.files.tensors import read_header, read_weights
from fbridge.files.weight_files import is_weight_file
from fbridge.loaders.detect import detect
from fbridge.loaders.load import PretrainedModel
from fbridge.scheduler import FrameBridgeScheduler

_COGVIDEOX = {"frames": 17, "sizes": [[256, 256]], "steps": 50, "words": 6.0}
_LATTE = {"steps": 1000, "class": 7.0}
_VIDEOCRAFTER = {"steps": 50, "words": 7.5}


def is_official_bridge(base: PretrainedModel) -> bool:
    """Whether a base's network is shown the picture: beside the latents, or before them."""
    if base.transformer is None:
        return False
    return base.family.extra_inputs(base.transformer) > 0 or bool(
        base.transformer.config.get("leads")
    )


def official_components(base: PretrainedModel) -> dict[str, Any]:
    """Arguments of `FrameBridgePipeline` for a network that is shown the picture already.

    All are sampled by the bridge's SDE at the training times (i + 1) / 1001, from the prior itself.

    FrameBridge-CogVideoX is CogVideoX 2B with twice the input channels: the bridge's state with the
    prior taken off, and the latents of the repeated picture, which are the prior; 50 steps, words
    of weight 6. The class-conditional Latte of UCF-101 is told the raw state after the picture as
    a frame of its own; 1000 steps, classes of weight 7. Where it has twice the channels it is shown
    the guess of a neural prior, whose file lies beside. FrameBridge-VideoCrafter is told what CLIP
    sees of the picture too, which stays where words are left out; 50 steps, words of weight 7.5.

    Raises:
        CheckpointError: no such model is known, or its prior is missing.
    """
    if base.family.name == "latte-class" and base.transformer.config.leads:
        return _latte(base)
    if base.family.name == "videocrafter" and base.transformer.config.bridge:
        return _videocrafter(base)
    shown = base.family.extra_inputs(base.transformer)
    if base.family.name != "cogvideox" or shown != 1 or base.noise_schedule is None:
        raise CheckpointError(
            f"{base.name}: a {base.family.name} network that is shown {shown} parts besides the "
            "latents is an image-to-video model of unknown kind; name a bridge's folder, or a "
            "text-to-video base"
        )
    scheduler = _scheduler(
        prediction="aligned-v",
        base=base.noise_schedule,
        steps=_COGVIDEOX["steps"],
        guidance_scale=_COGVIDEOX["words"],
    )
    own = {"frames": [_COGVIDEOX["frames"], *base.frames[1:]], "sizes": _COGVIDEOX["sizes"]}
    return {**base.components(), **own, "transformer": base.transformer, "scheduler": scheduler}


def _latte(base: PretrainedModel) -> dict[str, Any]:
    scheduler = _scheduler(
        prediction="psi-noise", steps=_LATTE["steps"], guidance_scale=_LATTE["class"]
    )
    return {
        **base.components(),
        "transformer": base.transformer,
        "scheduler": scheduler,
        "prior": _prior_beside(Path(base.name))
        if base.family.extra_inputs(base.transformer)
        else None,
    }


def _videocrafter(base: PretrainedModel) -> dict[str, Any]:
    scheduler = _scheduler(
        prediction="aligned-psi-noise",
        base=base.noise_schedule,
        steps=_VIDEOCRAFTER["steps"],
        guidance_scale=_VIDEOCRAFTER["words"],
    )
    return {**base.components(), "transformer": base.transformer, "scheduler": scheduler}


def _scheduler(**numbers: Any) -> FrameBridgeScheduler:
    return FrameBridgeScheduler(sampler="sde", grid="trailing", start="exact", **numbers)


def _prior_beside(bridge: Path) -> Any:
    """The neural prior of a bridge, from the one file beside it that holds such a network."""
    for path in sorted(bridge.parent.iterdir()):
        if not is_weight_file(path) or path == bridge:
            continue
        try:
            found = detect(read_header(path).shapes)
        except CheckpointError:
            continue
        if found.family.name == "latte-class" and found.config and not found.config["timed"]:
            network = build(
                found.family.load_class(), found.config, found.take(read_weights(path)), path
            )
            return network.requires_grad_(False)
    raise CheckpointError(
        f"{bridge}: is shown the guess of a neural prior, and no such network lies beside it; put "
        "the prior's file into the same folder"
    )
