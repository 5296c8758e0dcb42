"""All families of networks. A new one is a file with a `FAMILY` and a line here."""

from __future__ import annotations

from typing import Any

from torch import nn

from fbridge.backbones import (
    animatediff,
    cogvideox,
    hunyuan,
    latte,
    latte_class,
    ltx,
    space_time,
    videocrafter,
    wan,
)
from fbridge.backbones.family import Family
from fbridge.errors import CheckpointError

FAMILIES = {
    module.FAMILY.transformer: module.FAMILY
    for module in (
        space_time,
        cogvideox,
        wan,
        ltx,
        hunyuan,
        latte,
        latte_class,
        animatediff,
        videocrafter,
    )
}
"""By the name of the transformer's class."""

_ALIGNED = {
    "v": "aligned-v",
    "flow": "aligned-flow",
    "noise": "aligned-noise",
    "clean": "clean",
}


def family_named(transformer: str) -> Family:
    """The family of a class of transformers, by the class's name.

    Raises:
        CheckpointError: it is of none.
    """
    if transformer in FAMILIES:
        return FAMILIES[transformer]
    raise CheckpointError(
        f"a network of class {transformer!r} is not supported; known: {', '.join(FAMILIES)}"
    )


def family_of(transformer: Any) -> Family:
    """The family that a network is of."""
    return family_named(type(transformer).__name__)


def as_backbone(transformer: Any) -> nn.Module:
    """A network as a `fbridge.denoiser.Backbone` with the same parameters."""
    return family_of(transformer).adapt(transformer)


def aligned_prediction(prediction: str) -> str:
    """The scheduler's prediction under which a base is used aligned.

    Of "v", "flow" and "noise" the untouched base is a denoiser already.

    Args:
        prediction: what the base answers: "v", "flow", "noise" or "clean".
    """
    if prediction in _ALIGNED:
        return _ALIGNED[prediction]
    raise CheckpointError(
        f"a base that predicts {prediction!r} is not supported; known: {', '.join(_ALIGNED)}"
    )
