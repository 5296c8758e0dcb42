"""The scheduler of a diffusers folder: process, prediction and defaults of sampling."""

from __future__ import annotations

import json
from typing import Any

from diffusers import ConfigMixin, SchedulerMixin
from diffusers.configuration_utils import register_to_config

from fbridge.scheduler_plain import LATER, PlainScheduler
from fbridge.scheduler_plain import build_noise_schedule as build_noise_schedule
from fbridge.scheduler_plain import schedule_from_config as schedule_from_config
from fbridge.scheduler_plain import schedule_to_config as schedule_to_config


class FrameBridgeScheduler(SchedulerMixin, ConfigMixin, PlainScheduler):  # type: ignore[misc]
    """See `PlainScheduler`."""

    order = 1
    __init__ = register_to_config(PlainScheduler.__init__)

    def written(self) -> dict[str, Any]:
        """The configuration as files hold it, so that earlier versions read it where they can."""
        held = {key: value for key, value in self.config.items() if key[0] != "_"}
        return {key: value for key, value in held.items() if value != LATER.get(key, ...)}

    def to_json_string(self) -> str:
        """What `save_pretrained` writes: `written`, and diffusers' own keys."""
        held, written = json.loads(super().to_json_string()), self.written()
        kept = {key: value for key, value in held.items() if key[0] == "_" or key in written}
        return json.dumps(kept, indent=2, sort_keys=True) + "\n"
