"""How the network of a run gets the picture: natively, by the bridge, or in both ways."""

from __future__ import annotations

from fbridge.backbones.families import native_models, takes_picture
from fbridge.config.tree import Config
from fbridge.data.latents.shape import Shape
from fbridge.errors import ConfigError
from fbridge.loaders.pretrained import PretrainedModel

_KEY = "condition.image_input"


def choose_image_input(
    config: Config, base: PretrainedModel, shape: Shape, *, prior_kind: str
) -> str:
    """One of `fbridge.choices.IMAGE_INPUTS`: as configured, else by what the base can.

    Args:
        config: of the run.
        base: that is fine-tuned.
        shape: of the data.
        prior_kind: "repeat" where bridges start at the picture in every frame.

    Raises:
        ConfigError: the base cannot be given the picture as configured.
    """
    native = base.transformer is not None and takes_picture(base.transformer)
    wanted = config.condition.image_input
    if wanted == "auto":
        return _usual(config, base, shape, native=native, prior_kind=prior_kind)
    if wanted == "bridge":
        return wanted
    if not native:
        raise ConfigError(
            f'{_KEY} {wanted!r}: base {base.name} takes no picture natively; use "bridge". These '
            f"do: {', '.join(native_models())}"
        )
    if wanted == "native" and prior_kind != "repeat":
        raise ConfigError(
            f'{_KEY} "native": the network would not be given its prior, which is not the '
            'repeated picture here; use "both"'
        )
    if shape.frames <= shape.step:
        raise ConfigError(
            f"{_KEY} {wanted!r}: the first latent frame is the picture, and clips of "
            f"{shape.frames} frames have no other; prepare clips of {shape.step + 1} or more"
        )
    return wanted


def widen(
    config: Config, base: PretrainedModel, image_input: str, *, prior_kind: str
) -> int | None:
    """Give the base's network input channels for what it is given beside the latents, in place.

    Returns the number of inputs that its first layer had; None if it is as before.

    "native" needs none, and "both" those of the prior. By the bridge it is given the prior, and the
    picture too where the two differ.
    """
    apart = prior_kind != "repeat" or config.condition.picture_dropout > 0
    parts = {"native": 0, "both": 1, "bridge": 2 if apart else 1}[image_input]
    return base.family.make_room(base.transformer, parts)


def _usual(
    config: Config, base: PretrainedModel, shape: Shape, *, native: bool, prior_kind: str
) -> str:
    """As a base that is a bridge; else natively, if the base, the bridge and the clips allow it."""
    bridge = config.bridge
    if base.scheduler is not None:
        own = str(base.scheduler.config.image_input)
    else:
        aligned = bridge.prediction == "auto" or bridge.prediction.startswith("aligned")
        able = native and bridge.align and aligned and shape.frames > shape.step
        own = "native" if able else "bridge"
    return "both" if own == "native" and prior_kind != "repeat" else own
