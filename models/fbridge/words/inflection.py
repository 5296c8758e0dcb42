"""Words of prompts and of the lexicon in one form, and verbs in all their forms."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Literal, TypeAlias

from fbridge.words.lexicon import listed

Form: TypeAlias = Literal["base", "s", "ing", "past"]
Words: TypeAlias = tuple[str, ...]

_REWRITES = [
    (re.compile(pattern), by)
    for pattern, by in (
        (r"\.\.+", ","),
        (r"\b(?:can't|cannot)\b", "can not"),
        (r"\bwon't\b", "will not"),
        (r"n't\b", " not"),
        (r"\b(it|he|she|that|there|what|who|here)'s\b", r"\1 is"),
        (r"'(?:re|m)\b", " is"),
        (r"'(?:ll|d|ve)\b", ""),
        (r"\b(counter|anti)[- ]clockwise\b", r"\1clockwise"),
        (r"(?<=\w)-(?=\w)", " "),
        (r"\b(\w+) and \1\b", r"\1"),
        (
            r"\b(up|down|back|to|fro|left|right|here|black|slow|in|side) and "
            r"(down|up|forth|fro|right|left|there|white|steady|out|forwards?|backwards?)\b",
            r"\1~and~\2",
        ),
        (r"\bas (fast|quickly|slowly|high) as (possible|it can)\b", r"as~\1~as~possible"),
    )
]
_SIBILANT = re.compile(r"(?:s|sh|ch|x|z|o)$")
_DOUBLING = re.compile(r"^[^aeiou]*u?[aeiou][^aeiouwxy]$|[aeiou]l$|[^aeiou]i[tp]$")
_PRESENT = frozenset({"is", "are", "am", "has", "does"})
IRREGULAR_PLURALS = {
    "people": "person", "men": "man", "women": "woman", "children": "child", "geese": "goose",
    "mice": "mouse", "feet": "foot", "teeth": "tooth", "sheep": "sheep", "wolves": "wolf",
    "leaves": "leaf", "loaves": "loaf", "shelves": "shelf", "calves": "calf", "elves": "elf",
    "scarves": "scarf", "thieves": "thief", "knives": "knife", "wives": "wife", "shoes": "shoe",
    "canoes": "canoe", "horseshoes": "horseshoe", "toes": "toe", "axes": "axe", "cookies": "cookie",
    "movies": "movie", "brownies": "brownie", "selfies": "selfie", "buses": "bus", "lenses": "lens",
}  # fmt: skip
"""Plurals that the rules of `singular` get wrong, and what one of each is called."""
_IN_ES = re.compile(r"(?<=ss|[cs]h)es$|(?<=[xz])es$|(?<=[^aeiou]o)es$")
"""The "es" of glasses, boxes and potatoes; but of vases and horses the "e" is the noun's own."""


def normalise(text: str) -> str:
    """Lower case, contractions opened, hyphens as blanks; "up and down" is joined to one word."""
    text = unicodedata.normalize("NFKC", text).lower()
    text = text.replace("\u2019", "'").replace("\u2018", "'")
    for pattern, by in _REWRITES:
        text = pattern.sub(by, text)
    return text


def wordings(section: str, key: str) -> list[Words]:
    """The wordings of one list of the lexicon."""
    return [
        tuple((normalise(one) if "and" in one or "-" in one or "as " in one else one).split())
        for one in listed(section, key)
    ]


@cache
def inflect(base: str) -> tuple[tuple[Form, str], ...]:
    """The forms of a verb, and a few that do not exist ("hoping" of hop) but do no harm."""
    forms: list[tuple[Form, str]] = [("base", base)]
    irregular = _irregular().get(base, ())
    if base.endswith("y") and base[-2:-1] not in "aeiou":
        forms += [("s", base[:-1] + "ies"), ("past", base[:-1] + "ied"), ("ing", base + "ing")]
        forms.append(("s", base + "s"))  # "flys", which is often written
    elif base.endswith("e"):
        stem = base if base.endswith(("ee", "ye", "oe")) else base[:-1]
        forms += [("s", base + "s"), ("past", base + "d"), ("ing", stem + "ing")]
    else:
        forms.append(("s", base + ("es" if _SIBILANT.search(base) else "s")))
        for stem in (base, base + base[-1]) if _DOUBLING.search(base) else (base,):
            forms += [("past", stem + "ed"), ("ing", stem + "ing")]
    for other in irregular:
        ing: Form = "ing" if other.endswith("ing") else "past"
        forms.append(("s" if other in _PRESENT else ing, other))
    return tuple(forms)


def singular(noun: str) -> str:
    """What one of several is called: "boat" of "boats"."""
    if noun in IRREGULAR_PLURALS:
        return IRREGULAR_PLURALS[noun]
    if noun.endswith("ies") and len(noun) > 4:
        return noun[:-3] + "y"
    return _IN_ES.sub("", noun) if _IN_ES.search(noun) else noun.removesuffix("s")


@cache
def _irregular() -> dict[str, list[str]]:
    rows = [one.split() for one in listed("irregular", "forms")]
    return {row[0]: row[1:] for row in rows}
