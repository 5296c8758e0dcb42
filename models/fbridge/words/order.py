"""Clauses that begin with a place or a direction, put into the usual order of words."""

from __future__ import annotations

from collections.abc import Sequence

from fbridge.words.lexicon import word_set
from fbridge.words.vocabulary import all_verbs, directions
from fbridge.words.which import place_behind

_DETERMINERS, _PREPOSITIONS = word_set("determiners"), word_set("prepositions")
_FINITE = ("s", "past")


def usual_order(words: Sequence[str]) -> tuple[str, ...]:
    """The words with what stands before the subject at the end, where a direction is sought.

    "Up goes the balloon", "between the cars the dog jumps"; but "on the left a dog jumps" is of
    the left dog.
    """
    end = _fronted(words)
    front, rest = tuple(words[:end]), tuple(words[end:])
    place = place_behind(front)
    if place and rest[0] in _DETERMINERS:
        return (rest[0], place, *rest[1:])
    return (*rest, *front)


def _fronted(words: Sequence[str]) -> int:
    """Words before the subject, or before the verb that it follows; 0 where there are none."""
    if not words or words[0] not in _PREPOSITIONS | {"up", "down", "left", "right"}:
        return 0
    match = directions().at(words, 0)
    after = match.length if match else 1
    phrase = _phrase_end(words)
    if phrase:
        return phrase
    alone = match is not None and (_inverted(words, after) or _begins(words, after))
    return after if alone else 0


def _phrase_end(words: Sequence[str]) -> int:
    """Where the prepositional phrase ends that opens a clause; 0 where it is the whole of it."""
    for place in range(2, len(words)):
        verb = all_verbs().at(words, place)
        nominal = words[place - 1] in _DETERMINERS or words[place - 1] in _PREPOSITIONS
        if _inverted(words, place) and not nominal:
            return place
        if verb and not nominal and words[place] not in _PREPOSITIONS:
            return 0
        governed = words[place - 1] in _PREPOSITIONS and words[place - 2] not in _DETERMINERS
        if _begins(words, place) and not governed:  # "on the left a dog jumps"
            return place
    return 0


def _begins(words: Sequence[str], place: int) -> bool:
    """Whether a noun phrase with its determiner is at a place, and a verb somewhere behind."""
    if place + 2 >= len(words) or words[place] not in _DETERMINERS:
        return False
    return any(all_verbs().at(words, at) is not None for at in range(place + 2, len(words)))


def _inverted(words: Sequence[str], place: int) -> bool:
    """Whether a finite verb is at a place, and its subject behind it."""
    verb = all_verbs().at(words, place)
    if verb is None or verb.form not in _FINITE:
        return False
    behind = words[place + verb.length : place + verb.length + 1]
    return bool(behind) and behind[0] in _DETERMINERS
