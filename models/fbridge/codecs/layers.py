"""The segmentation network as a model of diffusers."""

from __future__ import annotations

from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config

from fbridge.codecs.layers_plain import OBJECT_SLOTS as OBJECT_SLOTS
from fbridge.codecs.layers_plain import PlainLayerNet
from fbridge.codecs.layers_plain import masks_of as masks_of


class LayerNet(ModelMixin, PlainLayerNet, ConfigMixin):  # type: ignore[misc]
    """See `PlainLayerNet`."""

    __init__ = register_to_config(PlainLayerNet.__init__)
