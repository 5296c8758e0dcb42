"""The lists of lexicon.ini, and the names of all motions."""

from __future__ import annotations

from configparser import ConfigParser
from functools import cache
from pathlib import Path

OBJECT_VERBS = (
    "jump", "left", "right", "up", "down", "spin", "closer", "away", "shake", "fall", "bounce",
    "swing", "sway", "wobble", "roll left", "roll right", "vanish", "glow", "stay",
)  # fmt: skip
"""The motions of an object."""
CAMERA_VERBS = (
    "pan left", "pan right", "tilt up", "tilt down", "zoom in", "zoom out", "rotate clockwise",
    "rotate counterclockwise", "rotate", "handheld", "ripple", "darken", "brighten", "static",
)  # fmt: skip
"""The motions of the camera."""
FLOWS = (
    "water", "waves", "clouds", "smoke", "steam", "fire", "leaves", "grass", "flag", "hair",
    "rain", "snow",
)  # fmt: skip
"""The kinds of flow."""


@cache
def _parsed() -> ConfigParser:
    parser = ConfigParser(delimiters=("=",), interpolation=None)
    path = Path(__file__).with_name("lexicon.ini")
    parser.read_string(path.read_text(encoding="utf-8"), source=path.name)
    return parser


def keys(section: str) -> list[str]:
    """The names of a section's lists."""
    return list(_parsed()[section])


@cache
def listed(section: str, key: str) -> tuple[str, ...]:
    """The entries of a list; () where the section has none of that name."""
    text = _parsed()[section].get(key, "")
    return tuple(" ".join(one.split()) for one in text.split(",") if one.strip())


@cache
def word_set(key: str) -> frozenset[str]:
    """A list of the section "grammar" as a set."""
    return frozenset(listed("grammar", key))
