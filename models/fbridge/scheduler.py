"""The scheduler of a diffusers folder: process, prediction and defaults of sampling."""

from __future__ import annotations

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
