"""The codec of motions as a model of diffusers."""

from __future__ import annotations

from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config

from fbridge.codecs.motion_plain import CHANNELS as CHANNELS
from fbridge.codecs.motion_plain import DESCRIPTION as DESCRIPTION
from fbridge.codecs.motion_plain import MAX_SIDE as MAX_SIDE
from fbridge.codecs.motion_plain import MIN_SIDE as MIN_SIDE
from fbridge.codecs.motion_plain import SLOTS as SLOTS
from fbridge.codecs.motion_plain import MotionScene as MotionScene
from fbridge.codecs.motion_plain import PlainMotionCodec
from fbridge.codecs.motion_plain import describe as describe
from fbridge.codecs.motion_plain import working_size as working_size


class MotionCodec(ModelMixin, PlainMotionCodec, ConfigMixin):  # type: ignore[misc]
    """See `PlainMotionCodec`."""

    __init__ = register_to_config(PlainMotionCodec.__init__)
