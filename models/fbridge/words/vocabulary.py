"""The lexicon as tables for look-up: each wording, inflected, with what it means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Generic, TypeVar

from fbridge.words.inflection import Form, Words, inflect, wordings
from fbridge.words.lexicon import keys, listed

T = TypeVar("T")


@dataclass(frozen=True)
class Sense:
    """What a verb means where an object is its subject.

    Attributes:
        motion: name of an object's motion, if it has no direction; "" where none is known.
        travels: it takes a direction, which then is the motion.
        legs: limbs would move, which cannot be shown.
        enters: it moves where the prompt says from which side.
        state: it describes the picture, and names no motion.
        pace: its own speed.
    """

    motion: str = ""
    travels: bool = False
    legs: bool = False
    enters: bool = False
    state: bool = False
    pace: float = 1.0


@dataclass(frozen=True)
class Match(Generic[T]):
    """A wording found at a place of a prompt: its length in words, its form, its value."""

    length: int
    form: Form
    value: T


class Table(Generic[T]):
    """Wordings of one or more words, the longest found first."""

    def __init__(self) -> None:
        self._by_first: dict[str, dict[Words, tuple[Form, T]]] = {}

    def add(self, form: Form, wording: Words, value: T) -> None:
        """Keep a wording, unless it is there already."""
        self._by_first.setdefault(wording[0], {}).setdefault(wording, (form, value))

    def add_verbs(self, verbs: Iterable[Words], value: T) -> None:
        """Keep verbs in all their forms."""
        for first, *rest in verbs:
            for form, inflected in inflect(first):
                self.add(form, (inflected, *rest), value)

    def at(self, words: Sequence[str], place: int) -> Match[T] | None:
        """The longest wording that starts at a place."""
        found: Match[T] | None = None
        if place >= len(words):
            return None
        for wording, (form, value) in self._by_first.get(words[place], {}).items():
            longer = found is None or len(wording) > found.length
            if longer and tuple(words[place : place + len(wording)]) == wording:
                found = Match(len(wording), form, value)
        return found


@cache
def object_verb_senses() -> Mapping[Words, Sense]:
    """What verbs mean where an object is their subject, by their base form."""
    paces = _paces()
    travelling = {one: name for name in keys("travel") for one in wordings("travel", name)}
    senses: dict[Words, Sense] = {}
    for name in keys("object"):
        for one in wordings("object", name):
            senses.setdefault(one, Sense(name, one in travelling, pace=_pace(one, paces)))
    for one, name in travelling.items():
        senses.setdefault(one, Sense(name, travels=True, pace=_pace(one, paces)))
    for one in wordings("other", "legs"):
        senses.setdefault(one, Sense(travels=True, legs=True, pace=_pace(one, paces)))
    for one in wordings("other", "rhythm"):
        senses.setdefault(one, Sense("sway", travels=True, legs=True, pace=_pace(one, paces)))
    for one in wordings("other", "enter"):
        senses.setdefault(one, Sense(travels=True, enters=True))
    for one in wordings("other", "unknown"):
        senses.setdefault(one, Sense())
    for one in wordings("other", "state"):
        senses.setdefault(one, Sense(state=True))
    return senses


@cache
def object_verbs() -> Table[Sense]:
    """The same in all forms."""
    table: Table[Sense] = Table()
    for one, sense in object_verb_senses().items():
        table.add_verbs([one], sense)
    return table


@cache
def camera_verbs() -> Table[tuple[str, float]]:
    """Verbs where the camera is their subject: motion, "" for unknown ones, and pace."""
    table: Table[tuple[str, float]] = Table()
    paces = _paces()
    for name in keys("camera"):
        for one in wordings("camera", name):
            table.add_verbs([one], (name, _pace(one, paces)))
    table.add_verbs(wordings("camera words", "unknown"), ("", 1.0))
    return table


@cache
def _paces() -> Mapping[str, float]:
    return {one: float(pace) for pace in keys("paces") for one in listed("paces", pace)}


def _pace(wording: Words, paces: Mapping[str, float]) -> float:
    return paces.get(" ".join(wording), paces.get(wording[0], 1.0))


@cache
def camera_alone() -> Table[str]:
    """Verbs that mean the camera where no subject is named."""
    table: Table[str] = Table()
    table.add_verbs(wordings("camera words", "alone"), "")
    return table


@cache
def camera_flights() -> Table[str]:
    """Verbs that mean the camera where nothing has been named that moves."""
    table: Table[str] = Table()
    table.add_verbs(wordings("camera words", "flights"), "")
    return table


@cache
def flow_verbs(kind: str) -> Table[str]:
    """Verbs with which the things of a flow flow."""
    table: Table[str] = Table()
    table.add_verbs(wordings("flow verbs", kind), kind)
    return table


@cache
def any_flow_verbs() -> Table[str]:
    """Verbs that the nouns of flows may have, beyond motions of objects."""
    table: Table[str] = Table()
    for kind in keys("flow verbs"):
        table.add_verbs(wordings("flow verbs", kind), "")
    return table


@cache
def light_verbs() -> Table[str]:
    """What light does, as a motion of the camera's slot."""
    table: Table[str] = Table()
    for name in ("darken", "brighten"):
        table.add_verbs((*wordings("light", name), *wordings("camera", name)), name)
    return table


_VERBS = ("object", "travel", "other", "camera", "flow verbs")


@cache
def all_verbs() -> Table[str]:
    """Every verb, with its base form: what may be a predicate."""
    table: Table[str] = Table()
    places = [(section, key) for section in _VERBS for key in keys(section)]
    places += [("camera words", "alone"), ("camera words", "unknown"), ("weather", "rain")]
    places += [("weather", "snow"), ("light", "darken"), ("light", "brighten")]
    for section, key in places:
        for one in wordings(section, key):
            table.add_verbs([one], " ".join(one))
    return table


def _fixed(section: str, names: Iterable[str]) -> Table[str]:
    table: Table[str] = Table()
    for name in names:
        for words in wordings(section, name):
            table.add("base", words, name)
    return table


@cache
def directions() -> Table[str]:
    """Directions of objects."""
    return _fixed("directions", ("left", "right", "up", "down", "closer", "away", "spin", "mutual"))


@cache
def camera_directions() -> Table[str]:
    """Directions of the camera."""
    first = ("clockwise", "counterclockwise", "in", "out", "left", "right", "up", "down")
    return _fixed("directions", (*first, "closer", "away"))


@cache
def speeds() -> Table[str]:
    """Words of speed, each with its factor as text."""
    return _fixed("speeds", keys("speeds"))


@cache
def flow_nouns() -> Mapping[str, str]:
    """The kind of flow of nouns that always flow."""
    nouns = "flow nouns"
    return {" ".join(one): kind for kind in keys(nouns) for one in wordings(nouns, kind)}


@cache
def flow_things() -> Mapping[str, tuple[str, ...]]:
    """The kinds of flow of nouns that flow with some verbs."""
    found: dict[str, tuple[str, ...]] = {}
    for kind in keys("flow things"):
        for words in wordings("flow things", kind):
            found[" ".join(words)] = (*found.get(" ".join(words), ()), kind)
    return found
