"""Flows in prompts: water, clouds, smoke, fire, leaves, hair, weather."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fbridge.words.clauses import AUXILIARIES, PRONOUNS
from fbridge.words.lexicon import listed
from fbridge.words.predicates import Predicate, noun_phrase, text_of
from fbridge.words.vocabulary import (
    any_flow_verbs,
    flow_nouns,
    flow_things,
    flow_verbs,
    object_verbs,
)

_FROM, _ABOVE = ("from", "out", "off"), ("above", "over")
_ON = ("on", "in", "over", "across")
_NO_SOURCE = frozenset(listed("weather", "no source"))
_HAS_SOURCE = frozenset(listed("weather", "sourced"))
_WINDY = frozenset(listed("weather", "wind"))
_WEATHER = {verb: kind for kind in ("rain", "snow") for verb in listed("weather", kind)}
_BY_THEMSELVES = frozenset(listed("weather", "by itself"))
_TURNED = {"left": "right", "right": "left"}
_SWAYING = ("sway", "swing", "shake", "wobble", "right")
_RISING = ("smoke", "steam")
_SCENERY = frozenset(listed("weather", "scenery"))
"""Flows that are meant where the prompt names them without a verb."""


@dataclass(frozen=True)
class FlowAct:
    """A flow.

    Attributes:
        kind: one of `FLOWS`.
        noun: the words that name it.
        source: the words that name where it comes from, "" where nothing is said.
        speed: 1 is usual.
        way: "left" or "right", "" where nothing is said.
    """

    kind: str
    noun: str
    source: str = ""
    speed: float = 1.0
    way: str = ""


def read_flow(words: Sequence[str], verb: Predicate) -> FlowAct | None:
    """The flow that a predicate means; None where its subject does not flow."""
    weather = _weather(words, verb)
    if weather is not None:
        return weather
    noun = flowing(verb.object)
    if noun and verb.subject and flow_nouns()[noun] in _RISING and _spreads(words, verb):
        return FlowAct(flow_nouns()[noun], noun, text_of(verb.subject))  # "the train puffs smoke"
    noun = flowing(verb.subject)
    if noun:
        moves = object_verbs().at(words, verb.place)
        kind = flow_nouns()[noun]
        motion = "" if moves is None else moves.value.motion
        known = motion not in ("", "stay", "vanish", "glow") or (kind, motion) == ("fire", "glow")
        if not (known or any_flow_verbs().at(words, verb.place)):
            return None
        return FlowAct(kind, noun, _source(kind, words[verb.place + 1 :]), way=_way(verb.tail))
    return _of_thing(words, verb)


def _spreads(words: Sequence[str], verb: Predicate) -> bool:
    return any_flow_verbs().at(words, verb.place) is not None


def read_wind(verb: Predicate) -> FlowAct | None:
    """What the wind moves: "the wind blows through her hair"."""
    if not verb.subject or verb.subject[-1] not in _WINDY:
        return None
    for place in range(len(verb.tail)):
        phrase = noun_phrase(verb.tail[place:])
        noun = flowing(phrase)
        if noun and flow_nouns()[noun] in (
            "grass",
            "leaves",
            "hair",
            "flag",
            "clouds",
            "snow",
            "waves",
        ):
            return FlowAct(flow_nouns()[noun], noun)
        kinds = flow_things().get(phrase[-1] if phrase else "", ())
        if set(kinds) & {"leaves", "flag", "grass"}:
            return FlowAct(kinds[0], phrase[-1])
    return None


def read_scenery(words: Sequence[str], *, paced: bool = False) -> FlowAct | None:
    """Rain, snow, steam and the like, named without a verb; with a speed, all that flows."""
    phrase = noun_phrase(words)
    noun = flowing(phrase)
    kind = flow_nouns().get(noun, "")
    if kind in _SCENERY or (kind and paced):
        place = list(words).index(phrase[-1]) + 1
        return FlowAct(kind, noun, _source(kind, words[place:]))
    if phrase and phrase[-1] in _WINDY:
        place = list(words).index(phrase[-1]) + 1
        return read_wind(Predicate(phrase, 0, 0, "base", tuple(words[place:])))
    return None


def read_lone(words: Sequence[str], verb: Predicate) -> FlowAct | None:
    """Water and the like where its name looks like a verb: "ripples on the lake"."""
    named = verb.place == 0 and not verb.subject and words[0] != "falls"
    return read_scenery(words, paced=True) if named and words[1:2] and words[1] in _ON else None


def flowing(phrase: Sequence[str]) -> str:
    """The end of a noun phrase that always flows: "thick black smoke" gives "smoke"."""
    for start in range(max(0, len(phrase) - 3), len(phrase)):
        noun = " ".join(phrase[start:])
        if noun in flow_nouns():
            return noun
    return ""


def _weather(words: Sequence[str], verb: Predicate) -> FlowAct | None:
    named = all(word in PRONOUNS | AUXILIARIES for word in verb.subject)
    spoken = words[verb.place]
    for base, kind in _WEATHER.items():
        if spoken.startswith(base) and named and (base != "pour" or verb.subject[:1] == ("it",)):
            return FlowAct(kind, kind)
    return None


def _of_thing(words: Sequence[str], verb: Predicate) -> FlowAct | None:
    """The flow of a thing that is an object with other verbs: "the candle flickers"."""
    if {"left", "right", "away"} & set(verb.tail):
        return None
    if verb.subject and not verb.tail and words[verb.place].startswith(("smok", "steam")):
        kind = "smoke" if words[verb.place].startswith("smok") else "steam"
        return FlowAct(kind, kind, text_of(verb.subject))
    for start in range(max(0, len(verb.subject) - 2), len(verb.subject)):
        noun = " ".join(verb.subject[start:])
        for kind in flow_things().get(noun, ()):
            if flow_verbs(kind).at(words, verb.place):
                own = kind in ("steam", "smoke")
                return FlowAct(kind, kind if own else noun, noun if own else "")
            match = object_verbs().at(words, verb.place)
            sways = match is not None and match.value.motion in _SWAYING
            if noun in _BY_THEMSELVES and sways:
                return FlowAct(kind, noun)
            blown = words[verb.place] in ("blow", "blows", "blowing", "blown")
            if blown and kind in ("leaves", "grass", "flag"):
                return FlowAct(kind, noun)
    return None


def _way(tail: Sequence[str]) -> str:
    """The one side that a flow goes to; "from the left" is to the right."""
    ways = set()
    for place, word in enumerate(tail):
        if word in _TURNED:
            come = "from" in tail[max(0, place - 2) : place]
            ways.add(_TURNED[word] if come else word)
    return ways.pop() if len(ways) == 1 else ""


def _source(kind: str, tail: Sequence[str]) -> str:
    if kind not in _HAS_SOURCE:
        return ""
    for place, word in enumerate(tail):
        if word in _FROM or (word in _ABOVE and kind in ("steam", "smoke")):
            phrase = noun_phrase(tail[place:])
            if phrase and phrase[-1] not in _NO_SOURCE:
                return text_of(phrase)
    return ""
