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
CLASSES = {name: family for family in FAMILIES.values() for name in family.same_classes} | FAMILIES
"""By all names of classes whose weights a family's network takes."""

_ALIGNED = {"v": "aligned-v", "flow": "aligned-flow", "noise": "aligned-noise", "clean": "clean"}


def family_named(transformer: str) -> Family:
    """The family of a class of networks, by the class's name.

    Raises:
        CheckpointError: there is none.
    """
    if transformer in CLASSES:
        return CLASSES[transformer]
    raise CheckpointError(
        f"a network of class {transformer!r} is not supported; known: {', '.join(FAMILIES)}"
    )


def family_of(transformer: Any) -> Family:
    """The family of a network."""
    return family_named(type(transformer).__name__)


def takes_picture(transformer: Any) -> bool:
    """Whether a network takes a picture natively; see `Family.native_picture`."""
    return family_of(transformer).native_picture(transformer.config)


def native_models() -> list[str]:
    """Names of the published models that take a picture natively."""
    return [
        variant.name
        for family in FAMILIES.values()
        for variant in family.variants
        if family.native_picture(variant.config)
    ]


def as_backbone(transformer: Any) -> nn.Module:
    """A network as a `fbridge.denoiser.Backbone` with the same parameters."""
    return family_of(transformer).adapt(transformer)


def aligned_prediction(prediction: str) -> str:
    """The bridge scheduler's prediction for a pretrained network used with SNR alignment.

    Args:
        prediction: of the network: "v", "flow", "noise" or "clean".

    Raises:
        CheckpointError: another prediction.
    """
    if prediction in _ALIGNED:
        return _ALIGNED[prediction]
    raise CheckpointError(
        f"a network that predicts {prediction!r} is not supported; known: {', '.join(_ALIGNED)}"
    )
