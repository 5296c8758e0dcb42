"""Verbs in clauses with their subjects. One rule finds the noun in any wording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fbridge.words.clauses import (
    AUXILIARIES,
    DETERMINERS,
    NEGATIONS,
    PREPOSITIONS,
    PRONOUNS,
    Clause,
)
from fbridge.words.inflection import Form, wordings
from fbridge.words.lexicon import listed, word_set
from fbridge.words.vocabulary import (
    Sense,
    all_verbs,
    camera_alone,
    directions,
    flow_nouns,
    object_verbs,
)
from fbridge.words.which import told_behind

_MAKERS, _ADVERBS = word_set("makers"), word_set("adverbs")
_LY_NOUNS, _OF_HEADS = word_set("nouns in ly"), word_set("heads before of")
_ING_NOUNS, _ABSTRACT = word_set("nouns in ing"), word_set("abstract")
LONGEST_NOUN = 6
"""Words of a noun phrase, of which the last are the nearest to what is meant."""
_NOT_OBJECTS = (PREPOSITIONS | AUXILIARIES | _ADVERBS) - {"it", "all"}
_WAYS = (("up",), ("down",), ("left",), ("right",), ("away",))
_NAMES = frozenset((word,) for word in word_set("nouns before verbs"))
"""Words that are things rather than verbs where they open a clause."""
_ALSO_CAMERAS = word_set("also cameras")
"""Things whose names are verbs of the camera, too."""


@dataclass(frozen=True)
class Predicate:
    """A verb in a clause.

    Attributes:
        subject: the noun phrase without article; () where there is none.
        place: of the verb's first word.
        length: of the verb's wording.
        tail: the words behind the verb.
        object: the noun phrase right behind the verb, where the subject is another one.
    """

    subject: tuple[str, ...]
    place: int
    length: int
    form: Form
    tail: tuple[str, ...]
    object: tuple[str, ...] = ()


def text_of(words: Sequence[str]) -> str:
    """Words as a text, those that `normalise` joined apart again."""
    return " ".join(words).replace("~", " ")


def noun_phrase(words: Sequence[str]) -> tuple[str, ...]:
    """The first noun phrase without determiners, adverbs and what follows a preposition."""
    kept: list[str] = []
    for place, word in enumerate(words):
        if (word in PREPOSITIONS or is_beside(words, place)) and kept:
            if word == "of" and kept[-1] in _OF_HEADS:
                kept = []
                continue
            if told := told_behind(words[place:], kept):
                kept.insert(0, told)  # "the dog on the left"
            break
        side = word in ("left", "right") and place + 1 < len(words)
        if side and words[place + 1] not in _NOT_OBJECTS | DETERMINERS:
            kept.append(word)  # "the left shoe"
        elif word in PREPOSITIONS or word in DETERMINERS or word in AUXILIARIES - {"it"}:
            if kept and word in AUXILIARIES | DETERMINERS:
                break
        elif not _is_skipped(word, place):
            kept.append(word)
    return tuple(kept[-LONGEST_NOUN:])


def is_beside(words: Sequence[str], place: int) -> bool:
    """Whether "next to" or "close to" is at a place."""
    return tuple(words[place : place + 2]) in (("next", "to"), ("close", "to"))


def _is_skipped(word: str, place: int) -> bool:
    """Whether a word is no part of a noun phrase, and does not end it either."""
    adverb = word in _ADVERBS or (word.endswith("ly") and word not in _LY_NOUNS)
    return (
        adverb
        or word in NEGATIONS | _ABSTRACT
        or (word in _MAKERS and place == 0)
        or word.isdigit()
    )


def predicate(clause: Clause) -> Predicate | None:
    """The clause's verb with its noun phrase; None where no verb of the lexicon is in it."""
    words = clause.words
    start = _behind_maker(words)
    found = _candidates(words, start)
    named = words[:1] in _NAMES and (len(words) == 1 or words[1:] in _WAYS)
    if not found or named:
        return None
    kept = [one for one in found if not _nominal(words, one[0], one[2])] or [
        one for one in found if one[2] == "ing" or _at_end(words, one)
    ]
    while len(kept) > 1 and words[kept[0][0]] in AUXILIARIES and kept[0][1] == 1:
        kept.pop(0)
    while any(_is_noun(words, kept[0], other, start) for other in kept[1:3]):
        kept.pop(0)
    if not kept:
        return None
    place, length, form = kept[0]
    subject = noun_phrase(words[start:place])
    if subject and len(kept) > 1 and _describes(words, kept[0], kept[1]):
        place, length, form = kept[1]
    tail = words[place + length :]
    if subject:
        closed = length > 1 and words[place + length - 1] in PREPOSITIONS
        return Predicate(subject, place, length, form, tail, () if closed else direct(tail))
    behind = _behind(tail)
    if not behind:
        return Predicate((), place, length, form, tail)
    if form == "ing" and not _nominal(words, place, form) and place > start:
        return Predicate((), place, length, form, tail)
    rest = tail[tail.index(behind[-1]) + 1 :] if behind[-1] in tail else tail
    return Predicate(behind, place, length, form, rest)


def unlisted(clause: Clause) -> Predicate | None:
    """A word that looks like a verb but is in no list: "the cat zorbs"; else None."""
    words = clause.words
    end = next((n for n, word in enumerate(words) if n and word in PREPOSITIONS), len(words))
    for place in range(end - 1, -1, -1):
        word, subject = words[place], noun_phrase(words[:place])
        if word in _NOT_OBJECTS | DETERMINERS or not (word.isascii() and word.isalpha()):
            continue
        opened = words[0] in DETERMINERS | PRONOUNS and place > 0
        third = word.endswith("s") and not word.endswith(("ss", "us", "is")) and opened
        helped = place > 0 and words[place - 1] in _HELPERS and opened
        ing = word.endswith("ing") and len(word) > 5 and word not in _ING_NOUNS
        if (third and (subject or words[0] in PRONOUNS)) or ing or helped:
            form: Form = "ing" if ing else "s" if third else "base"
            tail = words[place + 1 :]
            return Predicate(subject, place, 1, form, tail, direct(tail))
    return None


def _behind_maker(words: Sequence[str]) -> int:
    """The place behind "make" or "do not let"; 0 where nothing of the kind opens a clause."""
    for place, word in enumerate(words[:-1]):
        if word in _MAKERS:
            return place + 1
        if word not in AUXILIARIES | NEGATIONS:
            break
    return 0


_HELPERS = frozenset({"to", "can", "will", "should", "does", "do", "did"})
Found = tuple[int, int, Form]


def _candidates(words: Sequence[str], start: int) -> list[Found]:
    found: list[Found] = []
    place = start
    while place < len(words):
        match = all_verbs().at(words, place)
        preposition = bool(found) and words[place] in PREPOSITIONS and match and match.length == 1
        if match is None or preposition or is_beside(words, place):
            place += 1
        else:
            found.append((place, match.length, match.form))
            place += match.length
    return found


def _nominal(words: Sequence[str], place: int, form: Form) -> bool:
    """Whether a verb's form stands for a thing or is an adjective: behind a determiner."""
    if place == 0 or camera_alone().at(words, place):
        return False
    before = words[place - 1]
    if before in ("of", "by", "in", "on", "into", "with", "from") and form != "ing":
        return True
    return before in DETERMINERS and before not in ("this", "that", "all", "both", "no")


def _at_end(words: Sequence[str], found: Found) -> bool:
    return found[1] > 1 and found[0] + found[1] == len(words)


def _is_noun(words: Sequence[str], first: Found, other: Found, start: int) -> bool:
    """Whether the first of two verbs is part of a noun ("rocks fall", "the red rock falls")."""
    between = words[first[0] + first[1] : other[0]]
    if first[2] == "base" and other[2] == "s" and _singular(words, start, first[0]):
        return first[1] == 1  # "the yellow taxi in front moves"
    if other[2] == "s" and words[first[0]] in _ALSO_CAMERAS and first[0] > start:
        return words[first[0] - 1] in DETERMINERS  # "the truck behind the car moves"
    if first[1] > 1 or any(word in PREPOSITIONS | DETERMINERS for word in between):
        return False
    helped = bool(between) and between[-1] in AUXILIARIES | NEGATIONS
    finite = helped or other[2] == "s"
    before = noun_phrase(words[start : first[0]])
    if first[0] == start or not before:
        if (words[first[0]],) in _NAMES or first[2] == "s":
            return not between or finite
        if first[2] == "base":
            return finite or (not between and other[2] != "base")
        return helped or (bool(between) and other[2] != "past")
    if first[2] == "base":
        plural = before[-1].endswith("s") and not before[-1].endswith("ss")
        helps = words[first[0] - 1] in AUXILIARIES
        return not helps and (finite or not (between or plural))
    if first[2] == "s" and not between:
        return (other[2] == "base" and words[other[0]] not in flow_nouns()) or words[
            first[0]
        ] in flow_nouns()
    return False


def _singular(words: Sequence[str], start: int, place: int) -> bool:
    """Whether one thing is named before a place, behind a determiner at the start."""
    before = noun_phrase(words[start:place])
    one = bool(before) and not (before[-1].endswith("s") and not before[-1].endswith("ss"))
    helped = words[place - 1] in AUXILIARIES | PREPOSITIONS
    return one and words[start] in DETERMINERS and not helped


def _describes(words: Sequence[str], first: Found, other: Found) -> bool:
    """Whether the first verb is a participle without a motion: "the man wearing a hat walks"."""
    if first[2] not in ("ing", "past") or words[first[0] - 1] in AUXILIARIES:
        return False
    match = object_verbs().at(words, first[0])
    still = match is None or match.value.state or match.value == Sense()
    return still and (other[2] == "s" or words[other[0] - 1] in AUXILIARIES)


def direct(tail: Sequence[str]) -> tuple[str, ...]:
    """The noun phrase that follows a verb at once."""
    while tail and tail[0] not in PREPOSITIONS and _is_skipped(tail[0], 1):
        tail = tail[1:]
    if not tail or tail[0] in _NOT_OBJECTS or "~" in tail[0] or is_beside(tail, 0):
        return ()
    if directions().at(tail, 0) is not None:
        return ()
    verb = all_verbs().at(tail, 0)
    return () if verb and verb.form == "ing" else noun_phrase(tail)


def _behind(tail: Sequence[str]) -> tuple[str, ...]:
    """The same, perhaps behind "up", "down" or "over": "lift up the cup"."""
    if len(tail) > 1 and tail[0] in ("up", "down", "over", "around") and tail[1] in DETERMINERS:
        return direct(tail[1:])
    return direct(tail)


_CAMERA_NOUNS = frozenset(wordings("camera words", "nouns"))
_HUNG, _WHERE = (frozenset(listed("camera words", key)) for key in ("hung", "where"))


def is_hung(words: Sequence[str], phrase: Sequence[str]) -> bool:
    """Whether a noun phrase is a picture or a screen with its place: "the picture on the wall"."""
    if phrase[-1:] and phrase[-1] in _HUNG:
        place = list(words).index(phrase[-1]) if phrase[-1] in words else len(words)
        return place + 1 < len(words) and words[place + 1] in _WHERE
    return False


def is_camera(phrase: Sequence[str]) -> bool:
    """Whether a noun phrase is the camera or the picture as a whole."""
    return tuple(phrase) in _CAMERA_NOUNS or phrase[-1:] in (("camera",), ("shot",), ("view",))


def is_named(subject: Sequence[str]) -> bool:
    """Whether a subject names a thing; pronouns do not."""
    return bool(subject) and not all(word in PRONOUNS for word in subject)
