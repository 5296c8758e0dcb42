"""The codec of scenes as a model of diffusers."""

from __future__ import annotations

from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config

from fbridge.codecs.scenes.codec import PlainSceneCodec


class SceneCodec(ModelMixin, PlainSceneCodec, ConfigMixin):  # type: ignore[misc]
    """See `PlainSceneCodec`."""

    __init__ = register_to_config(PlainSceneCodec.__init__)
