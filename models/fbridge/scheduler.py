"""The scheduler of a diffusers folder: process, prediction and defaults of sampling."""

from __future__ import annotations

import json

from diffusers import ConfigMixin, SchedulerMixin
from diffusers.configuration_utils import register_to_config

from fbridge.scheduler_plain import PlainScheduler
from fbridge.scheduler_plain import build_noise_schedule as build_noise_schedule
from fbridge.scheduler_plain import schedule_from_config as schedule_from_config
from fbridge.scheduler_plain import schedule_to_config as schedule_to_config


class FrameBridgeScheduler(SchedulerMixin, ConfigMixin, PlainScheduler):  # type: ignore[misc]
    """See `PlainScheduler`."""

    order = 1
    __init__ = register_to_config(PlainScheduler.__init__)

    def to_json_string(self) -> str:
        """The configuration, as an older version reads it where nothing in it is newer."""
        config = json.loads(super().to_json_string())
        if config.get("image_input") == "bridge":
            del config["image_input"]
        return json.dumps(config, indent=2, sort_keys=True) + "\n"
