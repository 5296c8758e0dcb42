"""Clauses that say that something does not move."""

from __future__ import annotations

from collections.abc import Sequence

from fbridge.words.asked import STATIC, Act, Reading
from fbridge.words.clauses import Clause
from fbridge.words.lexicon import word_set
from fbridge.words.predicates import Predicate, is_camera, is_named, noun_phrase, predicate, text_of
from fbridge.words.views import read_still_camera
from fbridge.words.vocabulary import object_verbs


def read_stillness(clause: Clause, reading: Reading) -> bool:
    """Read a clause that says that something does not move."""
    words = clause.words
    if not (clause.negated or words[-1] in _MOTIONLESS):
        return False
    verb = predicate(clause)
    if is_camera(verb.subject if verb and verb.subject else noun_phrase(words)) or (
        _named_camera(words) and not (verb and verb.subject)
    ):
        reading.turn(STATIC, text_of(words))
    elif {"else", "background", "rest", "others"} & set(words):
        reading.described.append(text_of(words))
    elif read_still_camera(words):
        reading.turn(STATIC, text_of(words))
    elif words[0] in ("no", "without") and not _moves(words, verb):
        reading.described.append(text_of(words))  # "no text, no watermark"
    else:
        cut = verb.subject if verb and verb.subject else () if _MOTION & set(words) else words
        phrase = [one for one in noun_phrase(cut) if one not in _STILL]
        noun = text_of(phrase) if is_named(phrase) else ""
        if not noun and clause.joined not in ("", "."):
            noun = reading.noun
        if not noun and reading.camera == STATIC and not reading.noun and not reading.acts:
            return True  # "static camera, no movement"
        if verb and "without" in words and words.index("without") > verb.place:
            return False
        reading.act(Act("stay", noun), text_of(words))
        reading.noun = noun
    return True


def _moves(words: Sequence[str], verb: Predicate | None) -> bool:
    known = verb is not None and object_verbs().at(words, verb.place) is not None
    return known or bool(_MOTION & set(words))


def _named_camera(words: Sequence[str]) -> bool:
    return bool({"camera", "zoom"} & set(words)) or words[:2] in (("no", "pan"), ("no", "cuts"))


_MOTIONLESS, _MOTION = word_set("still"), word_set("motion")
_STILL = _MOTIONLESS | _MOTION | word_set("stays")
