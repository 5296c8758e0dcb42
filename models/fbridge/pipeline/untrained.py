"""Text-to-video models without bridge training: how they are given the picture, and their notes."""

from __future__ import annotations

from typing import Any

from fbridge.backbones.families import native_models, takes_picture
from fbridge.choices import IMAGE_INPUTS
from fbridge.loaders.training_free import default_strength
from fbridge.pipeline.bridge import Bridge

_UNTRAINED = (
    "is a text-to-video model that was never trained as a bridge: it starts from the still picture "
    "noised part of the way (--strength); fbridge finetune makes it one"
)
_NATIVE = (
    "is a text-to-video model that was never trained as a bridge: it is given the picture as its "
    "makers trained it, as first latent frame (--image-input says how else); fbridge finetune "
    "makes it a bridge"
)


class UntrainedBases(Bridge):
    """The part of `fbridge.pipeline.FrameBridgePipeline` that is about untrained models."""

    transformer: Any

    @property
    def image_inputs(self) -> tuple[str, ...]:
        """Its own way alone, but of an untrained base that takes pictures natively every way."""
        own = self.scheduler.config.image_input
        others = IMAGE_INPUTS if self.untrained and takes_picture(self.transformer) else ()
        return (own, *(one for one in others if one != own))

    def defaults_with(self, image_input: str | None) -> dict[str, Any]:
        """Default arguments of a call; the strength of an untrained base depends on the input."""
        held = super().defaults_with(image_input)
        if self.untrained:
            held["strength"] = default_strength(self.scheduler, held["image_input"])
        return held

    def why_no_other_input(self, own: str) -> str:
        """Why the picture is given to its network in its own way alone, and the way out."""
        if self.untrained:
            return 'its network takes no picture natively; use "bridge". These do: ' + ", ".join(
                native_models()
            )
        return super().why_no_other_input(own)


def how_untrained(transformer: Any) -> str:
    """How an untrained model with this network is used, in words."""
    return _NATIVE if takes_picture(transformer) else _UNTRAINED
