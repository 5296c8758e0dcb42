"""The official checkpoints of FrameBridge's authors, sampled as in their code.

Source: their configurations and scripts (github.com/thu-ml/FrameBridge), for the numbers alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fbridge.backbones.family import Family
from fbridge.errors import CheckpointError
from fbridge.files.modules import build
from fbridge.files.tensors import open_weights, read_header
from fbridge.files.weight_files import is_weight_file
from fbridge.loaders.detect import detect
from fbridge.loaders.load import PretrainedModel
from fbridge.scheduler import FrameBridgeScheduler

_2B: dict[str, Any] = {
    "num_attention_heads": 30, "attention_head_dim": 64, "num_layers": 30, "in_channels": 32,
    "out_channels": 16, "patch_size": 2, "patch_size_t": None, "ofs_embed_dim": None,
    "use_rotary_positional_embeddings": False, "use_learned_positional_embeddings": False,
}  # fmt: skip
"""CogVideoX 2B's configuration, with twice its input channels."""


def is_official_bridge(base: PretrainedModel) -> bool:
    """Whether a model's network takes the picture: beside the latents, or before them."""
    return base.transformer is not None and takes_picture(
        base.transformer.config, base.family.extra_inputs(base.transformer)
    )


def takes_picture(config: Mapping[str, Any], parts: int) -> bool:
    """The same of a network's configuration and the parts that its input has room for."""
    return parts > 0 or bool(config.get("leads"))


def unknown_bridge(family: Family, config: Mapping[str, Any], parts: int) -> str:
    """Why a network that takes the picture is none of the authors' bridges; "" if it is one.

    The one of CogVideoX has the shape and configuration of CogVideoX 2B but for twice the input
    channels; CogVideoX's own image-to-video networks have those channels too.
    """
    match family.name:
        case "latte-class" if config.get("leads"):
            return ""
        case "videocrafter" if config.get("bridge"):
            return ""
        case "cogvideox" if _is_two_billion(config):
            return ""
    return (
        f"is a {family.name} network that is shown {parts} parts besides the latents, an "
        "image-to-video model of unknown kind; name a bridge's folder, or a text-to-video base"
    )


def _is_two_billion(config: Mapping[str, Any]) -> bool:
    """Whether a CogVideoX network is 2B's, but for its input channels."""
    return all(config[key] == number for key, number in _2B.items())


def official_components(base: PretrainedModel) -> dict[str, Any]:
    """Arguments of `FrameBridgePipeline` for one of the authors' checkpoints.

    All are sampled by the bridge's SDE at the training times (i + 1) / 1001, from the prior itself.

    - CogVideoX: CogVideoX 2B with twice the input channels, for the bridge's state without the
      prior and for the latents of the repeated picture, which are the prior.
    - Latte, class-conditional on UCF-101: takes the state as it is, after the picture as a frame of
      its own. With twice the input channels it takes a neural prior, whose file lies beside it.
    - VideoCrafter: takes CLIP's embeddings of the picture too, also without a prompt in guidance.

    Raises:
        CheckpointError: no such model is known, or its prior is missing.
    """
    name, config = base.family.name, base.transformer.config
    parts = base.family.extra_inputs(base.transformer)
    if why := unknown_bridge(base.family, config, parts):
        raise CheckpointError(f"{base.name}: {why}")
    own: dict[str, Any] = {}
    numbers: dict[str, Any]
    if name == "latte-class":
        numbers = {"prediction": "psi-noise", "steps": 1000, "guidance_scale": 7.0}
        own["prior"] = _prior_beside(Path(base.name)) if parts else None
    elif name == "videocrafter":
        numbers = {"prediction": "aligned-psi-noise", "steps": 50, "guidance_scale": 7.5}
        numbers["base"] = base.noise_schedule
    else:
        numbers = {"prediction": "aligned-v", "steps": 50, "guidance_scale": 6.0}
        numbers["base"] = base.noise_schedule
        own = {"frames": [17, *base.frames[1:]], "sizes": [[256, 256]]}
    scheduler = FrameBridgeScheduler(sampler="sde", grid="trailing", start="exact", **numbers)
    return {**base.components(), **own, "transformer": base.transformer, "scheduler": scheduler}


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
                found.family.load_class(), found.config, found.take(open_weights(path)), path
            )
            return network.requires_grad_(False)
    raise CheckpointError(
        f"{bridge}: is shown the guess of a neural prior, and no such network lies beside it; put "
        "the prior's file into the same folder"
    )
