"""Which of several things of one kind a noun phrase means: by colour, place or size."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from fbridge.words.lexicon import keys, listed, word_set

COLOURS = (
    "red", "orange", "golden", "yellow", "green", "blue", "purple", "pink", "brown", "white",
    "grey", "black",
)  # fmt: skip
PLACES = ("left", "right", "top", "bottom", "middle", "front", "back")
ORDINALS = ("second", "third", "fourth", "fifth")
SIZES = ("largest", "smallest")
"""By comparison, so that there are others; what is "large" or "small" may be the only one."""
THINGS = ("thing", "things")
"""Nouns of what a colour, a place or a size alone names."""
_BEFORE = ("on", "at", "in")
"""Prepositions of a place in the picture: "the dog on the left"."""
_AFTER = ("to", "towards", "toward", "into", "up", "down", "away")
"""What may follow: "move the dog on the left to the right"."""
_FAR = ("far", "very", "extreme")
"""Before a place: "the woman on the far right"."""
_BEHIND = ("side", "hand", "half", "corner")


@cache
def _meanings() -> dict[str, str]:
    return {word: key for key in keys("which") for word in listed("which", key)}


@cache
def _ordinals() -> frozenset[str]:
    return frozenset(word for word, key in _meanings().items() if key in ORDINALS)


def told_apart(adjectives: str) -> tuple[str, ...]:
    """What the adjectives of a noun say of the thing: names of colours, places and sizes."""
    found = (_meanings().get(word, "") for word in adjectives.lower().replace("-", " ").split())
    return tuple(dict.fromkeys(one for one in found if one))


def places_of(phrase: str) -> tuple[str, ...]:
    """The places in the picture that a phrase consists of, such as "top left"; () of another."""
    places = tuple(_meanings().get(word, "") for word in phrase.replace("~", " ").split())
    return places if all(place in PLACES[:5] for place in places) else ()


def told_behind(words: Sequence[str], noun: Sequence[str]) -> str:
    """What words behind a noun tell of it: a place, a side to count from, clothes; or ""."""
    if words[0] == "from" and {"first", *_ordinals()} & set(noun):
        side = next((word for word in words[1:3] if word != "the"), "")
        return side if _meanings().get(side) in PLACES else ""
    if tuple(words[:2]) == ("in", "front"):
        return "" if tuple(words[2:3]) == ("of",) else "front"
    return place_behind(words) or _colour_behind(words)


def _colour_behind(words: Sequence[str]) -> str:
    """The colour of "in blue" or "with the blue hat"; or ""."""
    if words[0] not in ("in", "with"):
        return ""
    rest = [word for word in words[1:] if word not in ("a", "an", "the", "all", "bright", "dark")]
    if not rest or _meanings().get(rest[0]) not in COLOURS:
        return ""
    worn = len(rest) > 1 and rest[1] in word_set("worn")
    alone = len(rest) == 1 or rest[1] in word_set("prepositions")
    return f"{rest[0]}-clad" if worn or (alone and words[0] == "in") else ""


def place_behind(words: Sequence[str]) -> str:
    """The place that words behind a noun name: "on the left side", "in the top right corner"."""
    if len(words) < 3 or words[0] not in _BEFORE or words[1] != "the":
        return ""
    at = 3 if words[2] in _FAR and len(words) > 3 else 2
    places = words[at].split("~")  # "top~left"
    rest = [word for word in words[at + 1 :] if word not in _BEHIND]
    ended = not rest or rest[0] in _AFTER
    known = all(_meanings().get(place) in PLACES for place in places)
    return " ".join(places) if known and ended else ""
