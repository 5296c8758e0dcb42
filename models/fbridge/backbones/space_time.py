"""The transformer over space and time as a model of diffusers."""

from __future__ import annotations

from typing import Any, ClassVar

from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.loaders import PeftAdapterMixin

from fbridge.backbones.family import Family
from fbridge.backbones.space_time_plain import PlainSpaceTime


class SpaceTimeTransformer(
    ModelMixin,  # type: ignore[misc]
    PlainSpaceTime,
    ConfigMixin,  # type: ignore[misc]
    PeftAdapterMixin,  # type: ignore[misc]
):
    """See `PlainSpaceTime`."""

    _supports_gradient_checkpointing = True
    _gradient_checkpointing_func: Any = None
    _no_split_modules: ClassVar = ["_Block"]
    __init__ = register_to_config(PlainSpaceTime.__init__)


FAMILY = Family(
    name="space-time",
    transformer="SpaceTimeTransformer",
    own_class=lambda: SpaceTimeTransformer,
    adapt=lambda transformer: transformer,
    latents=lambda transformer: int(transformer.config["channels"]),
    prompt_width=lambda transformer: int(transformer.config["text_width"]),
    patch=lambda transformer: int(transformer.config["patch"]),
    lora_targets=("query", "keys", "out", "perceptron.0", "perceptron.2"),
    fixed_inputs=lambda transformer: 2 if transformer.config["timed"] else 1,
    prediction="clean",
)
