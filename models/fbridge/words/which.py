"""Which of several things of one kind a noun phrase means: by colour, place or size."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from fbridge.words.lexicon import keys, listed

COLOURS = (
    "red", "orange", "golden", "yellow", "green", "blue", "purple", "pink", "brown", "white",
    "grey", "black",
)  # fmt: skip
PLACES = ("left", "right", "top", "bottom", "middle")
SIZES = ("largest", "smallest")
_BEFORE = ("on", "at", "in")
"""Prepositions of a place in the picture: "the dog on the left"."""
_AFTER = ("to", "towards", "toward", "into", "up", "down", "away")
"""What may follow: "move the dog on the left to the right"."""
_BEHIND = ("side", "hand", "half", "corner")


@cache
def _meanings() -> dict[str, str]:
    return {word: key for key in keys("which") for word in listed("which", key)}


def told_apart(adjectives: str) -> tuple[str, ...]:
    """What the adjectives of a noun say of the thing: names of colours, places and sizes."""
    found = (_meanings().get(word, "") for word in adjectives.lower().replace("-", " ").split())
    return tuple(dict.fromkeys(one for one in found if one))


def place_behind(words: Sequence[str]) -> str:
    """The place that words behind a noun name, such as "on the left side"; or ""."""
    if len(words) < 3 or words[0] not in _BEFORE or words[1] != "the":
        return ""
    place = words[2]
    rest = [word for word in words[3:] if word not in _BEHIND]
    ended = not rest or rest[0] in _AFTER
    return place if _meanings().get(place) in PLACES and ended else ""
