"""The checks of `fbridge.checks`, under the name that the other commands still import."""

from fbridge.checks import (
    MOST_BATCH,
    SIDES,
    check_choice,
    check_device,
    check_fps,
    check_range,
    check_text,
    check_work,
    did_you_mean,
    home_expanded,
    parse_size,
)
from fbridge.choices import DEVICES, DTYPES, EMBEDDED
from fbridge.loaders.names import check_model

__all__ = [
    "DEVICES",
    "DTYPES",
    "EMBEDDED",
    "MOST_BATCH",
    "SIDES",
    "check_choice",
    "check_device",
    "check_fps",
    "check_model",
    "check_range",
    "check_text",
    "check_work",
    "did_you_mean",
    "home_expanded",
    "parse_size",
]
