"""Prompts in clauses: subject, verb, what follows. One rule finds the noun in any wording."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fbridge.words.inflection import Form, normalise, wordings
from fbridge.words.lexicon import word_set
from fbridge.words.vocabulary import all_verbs, camera_alone, speeds

DETERMINERS, PREPOSITIONS = word_set("determiners"), word_set("prepositions")
AUXILIARIES, PRONOUNS = word_set("auxiliaries"), word_set("pronouns")
_CONNECTORS, _NEGATIONS, _MAKERS = word_set("connectors"), word_set("negations"), word_set("makers")
_LY_NOUNS, _OF_HEADS = word_set("nouns in ly"), word_set("heads before of")
_NAMES = frozenset((word,) for word in word_set("nouns before verbs"))
"""Words that are things rather than verbs where they open a clause."""
_LEAD = re.compile(
    r"^(?:please |can you |could you |i want (?:to see )?|i would like (?:to see )?|we see |"
    r"you can see |"
    r"there (?:is|are) |show me |show |now |suddenly |also |meanwhile |imagine |"
    r"(?:a |an |the |this )?(?:short |looping |realistic |cinematic )?"
    r"(?:video|clip|animation|gif|movie|film|footage|scene|shot|photo|picture|image|loop|photograph)"
    r" (?:of|where|in which|that shows|showing|with) )+"
)
_STILL_PICTURE = re.compile(r"^(?:a |the )?still (?:picture|image|photo|photograph|life) of (.*)$")


@dataclass(frozen=True)
class Clause:
    """One statement of a prompt.

    Attributes:
        words: of the clause without its words of speed.
        joined: the connector before it: "", "and", "while", ",", ".".
        speed: 1 where nothing is said.
        negated: it says that something does not happen.
    """

    words: tuple[str, ...]
    joined: str
    speed: float = 1.0
    negated: bool = False


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


def split(prompt: str) -> list[Clause]:
    """The clauses of a prompt."""
    text = re.sub(r"[\"()\[\]{}<>*_#|]", " ", normalise(prompt))
    parts: list[tuple[str, list[str]]] = []
    for sentence in re.finditer(r"[^.,;:!?\n\u2014\u2013\u2026]+", text):
        stop = text[sentence.start() - 1] if sentence.start() else ""
        parts.append(("," if stop in ",;:\u2014\u2013" else ".", []))
        spoken = _STILL_PICTURE.sub(r"\1 stays still", _LEAD.sub("", sentence.group().strip()))
        words = re.findall(r"[^\W_]+(?:[~'][^\W_]+)*|[&+]", spoken)
        for place, word in enumerate(words):
            if word in _CONNECTORS or _opens(words, place):
                parts.append((word if word in _CONNECTORS else "with", []))
            elif word not in ("which", "who") and not _relative(words, place):
                parts[-1][1].append(word)
    if parts:
        parts[0] = ("", parts[0][1])
    merged: list[tuple[str, list[str]]] = []
    for joined, words in parts:
        if merged and not merged[-1][1]:
            joined = merged.pop()[0] or joined
        merged.append((joined, words))
    return [_clause(joined, words) for joined, words in merged if words]


def _relative(words: Sequence[str], place: int) -> bool:
    """Whether "that" opens a relative clause: a verb or an auxiliary follows."""
    if words[place] != "that" or not 0 < place < len(words) - 1:
        return False
    after = words[place + 1]
    match = all_verbs().at(words, place + 1)
    return after in AUXILIARIES or (match is not None and match.form == "s")


def _opens(words: Sequence[str], place: int) -> bool:
    """Whether "with" is followed by a statement about the camera or a flow."""
    if words[place] != "with":
        return False
    rest = [word for word in words[place + 1 : place + 5] if word not in DETERMINERS]
    flowing = {
        "hair",
        "smoke",
        "steam",
        "rain",
        "snow",
        "waves",
        "clouds",
        "leaves",
        "flames",
        "water",
    }
    return any(
        word in ("camera", "zoom", "pan", "dolly") or (word in flowing and number < 2)
        for number, word in enumerate(rest)
    )


def _clause(joined: str, words: list[str]) -> Clause:
    kept: list[str] = []
    speed, place = 1.0, 0
    while place < len(words):
        match = speeds().at(words, place)
        if match is None or _describes(words, place, match.length):
            kept.append(words[place])
            place += 1
        else:
            speed *= float(match.value)
            place += match.length
    negated = any(word in _NEGATIONS for word in kept)
    return Clause(tuple(kept), joined, min(max(speed, 0.3), 2.0), negated)


def _describes(words: Sequence[str], place: int, length: int) -> bool:
    """Whether a word of speed is an adjective of a thing, as in "the heavy box falls"."""
    before, after = words[:place], words[place + length :]
    if length > 1 or not after or words[place].endswith("ly"):
        return False
    if not (before and before[-1] in DETERMINERS):
        return False
    following = all_verbs().at(words, place + 1)
    return not (
        camera_alone().at(words, place + 1)
        or (following and following.form == "ing")
        or after[0] in ("rain", "snow", "breeze", "wind", "camera", "waves", "motion", "movement")
    )


def noun_phrase(words: Sequence[str]) -> tuple[str, ...]:
    """The first noun phrase without determiners, adverbs and what follows a preposition."""
    kept: list[str] = []
    for place, word in enumerate(words):
        if word in PREPOSITIONS and kept:
            if word == "of" and kept[-1] in _OF_HEADS:
                kept = []
                continue
            break
        if word in PREPOSITIONS or word in DETERMINERS or word in AUXILIARIES - {"it"}:
            if kept and word in AUXILIARIES | DETERMINERS:
                break
            continue
        if word in _NEGATIONS or (word in _MAKERS and place == 0) or word.isdigit():
            continue
        if word.endswith("ly") and word not in _LY_NOUNS:
            continue
        kept.append(word)
    return tuple(kept)


def predicate(clause: Clause) -> Predicate | None:
    """The clause's verb with its noun phrase; None where no verb of the lexicon is in it."""
    words, start = clause.words, 0
    if words[0] in _MAKERS and len(words) > 1:
        start = 1
    found = _candidates(words, start)
    if not found or words in _NAMES:
        return None
    kept = [one for one in found if not _nominal(words, one[0], one[2])] or [
        one for one in found if one[2] == "ing" or _at_end(words, one)
    ]
    while len(kept) > 1 and words[kept[0][0]] in AUXILIARIES and kept[0][1] == 1:
        kept.pop(0)
    while len(kept) > 1 and _is_noun(words, kept[0], kept[1], start):
        kept.pop(0)
    if not kept:
        return None
    place, length, form = kept[0]
    subject, tail = noun_phrase(words[start:place]), words[place + length :]
    behind = _behind(tail)
    if subject or not behind:
        return Predicate(subject, place, length, form, tail, behind)
    if form == "ing" and not _nominal(words, place, form) and place > start:
        return Predicate((), place, length, form, tail)
    rest = tail[tail.index(behind[-1]) + 1 :] if behind[-1] in tail else tail
    return Predicate(behind, place, length, form, rest)


Found = tuple[int, int, Form]


def _candidates(words: Sequence[str], start: int) -> list[Found]:
    found: list[Found] = []
    place = start
    while place < len(words):
        match = all_verbs().at(words, place)
        if match is None:
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
    """Whether the first of two verbs is a noun ("rocks fall", "the red rock falls")."""
    between = words[first[0] + first[1] : other[0]]
    if first[1] > 1 or any(word in PREPOSITIONS for word in between):
        return False
    helped = bool(between) and all(word in AUXILIARIES for word in between)
    before = noun_phrase(words[start : first[0]])
    alone = first[0] == start or not before
    if alone and (words[first[0]],) in _NAMES:
        return not between or helped
    if first[2] == "base" and alone:
        return (not between or helped) and other[2] != "base"
    if first[2] == "base":
        auxiliary = words[first[0] - 1] in AUXILIARIES
        return not auxiliary and (other[2] == "s" or helped or not between)
    if first[2] == "s" and alone:
        return not between or helped
    if first[2] == "ing" and alone:
        return other[2] == "s" or helped
    return False


def _behind(tail: Sequence[str]) -> tuple[str, ...]:
    """The noun phrase that follows a verb at once, perhaps behind "up", "down" or "over"."""
    words = list(tail)
    while words and words[0] in ("up", "down", "over", "around"):
        words.pop(0)
    if not words or words[0] in PREPOSITIONS | AUXILIARIES - {"it", "all"}:
        return ()
    if len(tail) != len(words) and words[0] not in DETERMINERS:
        return ()
    return noun_phrase(words)


def carry(clauses: Sequence[Clause]) -> list[Clause]:
    """Clauses of which each has a verb: "the dog and the cat jump" becomes two of them."""
    done: list[Clause] = []
    for number, clause in enumerate(clauses):
        following = clauses[number + 1] if number + 1 < len(clauses) else None
        bare = predicate(clause) is None and noun_phrase(clause.words) and not clause.negated
        if bare and following and following.joined in ("and", "&", "+"):
            verb = predicate(following)
            if verb and verb.subject and not verb.object and len(clause.words) < 5:
                words = (*clause.words, *following.words[verb.place :])
                clause = replace(clause, words=words, speed=following.speed)
        done.append(clause)
    return done


def is_camera(phrase: Sequence[str]) -> bool:
    """Whether a noun phrase is the camera or the picture as a whole."""
    names = wordings("camera words", "nouns")
    return tuple(phrase) in names or phrase[-1:] == ("camera",) or tuple(phrase[-1:]) in names
