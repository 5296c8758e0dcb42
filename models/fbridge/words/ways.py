"""Directions in the words behind a verb."""

from __future__ import annotations

from collections.abc import Sequence

from fbridge.words.clauses import DETERMINERS, PRONOUNS, Clause
from fbridge.words.flows import flowing
from fbridge.words.lexicon import word_set
from fbridge.words.predicates import Predicate, direct, noun_phrase, text_of
from fbridge.words.vocabulary import Table, directions
from fbridge.words.which import place_behind

_OWN = frozenset({"my", "your", "his", "her", "its", "our", "their"})
_SIDES = frozenset({"left", "right", "leftwards", "rightwards", "leftward", "rightward"})
_TO = ("to", "towards", "toward")
_SCENERY, _FLAT = word_set("scenery"), word_set("flat")


def way_of(tail: Sequence[str]) -> str:
    """The direction; of several, left or right ("past to the left"), and a turn last."""
    matches = matches_of(tail, directions())
    if len(matches) > 1 and tells_which(tail, *matches[0][1:]):
        matches = matches[1:]  # "move the left chair to the right"
    sides = [value for value, at, long in matches if _SIDES & set(tail[at : at + long])]
    found = sides or [value for value, _, _ in matches]
    if len(found) > 1 and any(
        found[0] in place_behind(tail[at:]).split() for at in range(len(tail))
    ):
        found = found[1:]  # "the dog on the left to the right"
    return min(found, key=lambda way: (way == "spin", way not in ("left", "right")), default="")


def goal_of(tail: Sequence[str]) -> str:
    """The words for a thing that something goes to: "towards the cat", "to the house"."""
    for place, word in enumerate(tail[:-1]):
        named = word != "to" or tail[place + 1] in DETERMINERS
        if word in _TO and named and directions().at(tail, place) is None:
            phrase = noun_phrase(tail[place + 1 :])
            known = phrase and not flowing(phrase) and phrase[-1] not in _SCENERY | PRONOUNS
            return text_of(phrase) if known else ""
    return ""


def with_mutual(tail: Sequence[str]) -> int:
    """Words up to the end of "apart", "towards each other" and the like; 0 where none is there."""
    for place in range(len(tail)):
        match = directions().at(tail, place)
        if match and match.value == "mutual":
            return place + match.length
    return 0


def found_ways(tail: Sequence[str], table: Table[str]) -> list[str]:
    """All directions in order."""
    return [value for value, _, _ in matches_of(tail, table)]


def matches_of(tail: Sequence[str], table: Table[str]) -> list[tuple[str, int, int]]:
    """The same with their places and lengths; "down the street" is none."""
    found, place = [], 0
    while place < len(tail):
        match = table.at(tail, place)
        if match is None:
            place += 1
            continue
        behind = tail[place + match.length : place + match.length + 1]
        in_place = tail[place] in ("out", "around", "about", "off", "by", "near")
        flat = tail[place] in ("up", "down") and _FLAT & set(tail[place + 2 : place + 4])
        along = (in_place or flat) and behind and behind[0] in DETERMINERS
        part = place > 0 and tail[place - 1] in _OWN  # "arches its back"
        if not (match.length == 1 and (along or part)):
            found.append((match.value, place, match.length))
        place += match.length
    return found


def tells_which(tail: Sequence[str], place: int, length: int) -> bool:
    """Whether a direction tells which thing is meant: "jumps on the left chair"."""
    return length == 1 and bool(tail[place - 1 : place]) and tail[place - 1] in DETERMINERS


def phrase_of(clause: Clause, verb: Predicate) -> str:
    """The verb with what it acts on, as the prompt has it."""
    end = verb.place + verb.length
    after = list(clause.words[end:])
    if acted := direct(after):
        end += after.index(acted[-1]) + 1
    end = max(end, verb.place + 1 + with_mutual(clause.words[verb.place + 1 :]))
    return text_of(clause.words[verb.place : end])
