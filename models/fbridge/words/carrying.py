"""Clauses that leave words out which stand in the clauses beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fbridge.words.clauses import AUXILIARIES, DETERMINERS, PREPOSITIONS, PRONOUNS, Clause
from fbridge.words.flows import flowing
from fbridge.words.inflection import singular
from fbridge.words.lexicon import word_set
from fbridge.words.order import usual_order
from fbridge.words.predicates import Predicate, is_camera, noun_phrase, predicate, unlisted
from fbridge.words.vocabulary import camera_alone, camera_directions, directions
from fbridge.words.which import THINGS, place_behind, told_apart

_ALSO, _DOES = frozenset({"too", "also", "likewise"}), frozenset({"does", "do", "did", "is", "are"})
_ONLY = frozenset({"only", "just", "but"})
_NO_THINGS = word_set("parts") | word_set("scenery")


def carry(clauses: Sequence[Clause]) -> list[Clause]:
    """Clauses of which each has a verb and knows its subject."""
    done: list[Clause] = []
    for number, clause in enumerate(clauses):
        following = clauses[number + 1] if number + 1 < len(clauses) else None
        last = done[-1] if done else None
        clause = _with_noun(clause, done)
        if last is not None:
            clause = _with_subject(_with_verb(clause, last), last)
            if place_behind(last.words) and clause.joined == ",":
                done[-1] = replace(clause, words=usual_order((*last.words, *clause.words)))
                continue
        if following is not None:
            clause = _beside(clause, following)
            if clause.joined in ("", ".") and following.joined == ",":
                clause = _of_following(clause, following)
        done.append(clause)
    return done


def _beside(clause: Clause, following: Clause) -> Clause:
    """The first of "the dog and the cat jump" or "the cat but not the dog jumps" with its verb."""
    if predicate(clause) is not None or not noun_phrase(clause.words) or clause.negated:
        return clause
    verb = predicate(following)
    if verb is None:
        return clause
    if following.joined in ("and", "&", "+"):
        named = noun_phrase(following.words[: verb.place])
        plural = verb.form == "base" or len(clause.words) < 5
        carried = named and not verb.object and plural
    else:
        carried = following.joined == "but" and following.words[0] == "not" and verb.place > 0
    if not carried:
        return clause
    words = (*clause.words, *following.words[verb.place :])
    return replace(clause, words=words, speed=following.speed)


def _with_verb(clause: Clause, last: Clause) -> Clause:
    """A clause such as "and the dog too", "so does the dog", "but the cat does" with its verb."""
    verb = predicate(last)
    if verb is None or predicate(clause) is not None:
        return clause
    words = clause.words
    if last.negated and words[0] in _ONLY and noun_phrase(words[1:]):
        return replace(clause, words=_only(words[1:], last, verb), speed=last.speed)
    does = words[-1] in _DOES or (words[0] == "so" and words[1:2] and words[1] in _DOES)
    also = words[-1] in _ALSO or does
    way = _way_at_end(words)
    if way and words[0] in DETERMINERS and clause.joined != ".":  # "and the cat to the left"
        verbs = last.words[verb.place : verb.place + verb.length]
        return replace(clause, words=(*words[:way], *verbs, *words[way:]))
    if _is_way(words) and camera_alone().at(last.words, verb.place):  # "zoom in, then out"
        return replace(clause, words=(last.words[verb.place], *words))
    named = [word for word in words if word not in _DOES | _ALSO | {"so"}]
    if not also or not noun_phrase(named):
        return clause
    return replace(clause, words=(*named, *last.words[verb.place :]), speed=last.speed)


def _only(named: Sequence[str], last: Clause, verb: Predicate) -> tuple[str, ...]:
    """The other thing with the verb: "the dog does not move, only the cat", "not the dog, but"."""
    verbs = last.words[verb.place : verb.place + verb.length]
    if noun_phrase(last.words[: verb.place]):
        return (*named, *last.words[verb.place :])
    return (*verbs, *named, *verb.tail)  # "do not move the dog to the left, just the cat"


def _way_at_end(words: Sequence[str]) -> int:
    """The place of the direction with which words end; 0 where they do not."""
    for place in range(1, len(words)):
        match = directions().at(words, place)
        if match and match.value != "mutual" and place + match.length == len(words):
            return place if words[place - 1] not in DETERMINERS else 0
    return 0


def _is_way(words: Sequence[str]) -> bool:
    """Whether words are a direction of the camera."""
    match = camera_directions().at(words, 0)
    return match is not None and match.length == len(words)


def _with_noun(clause: Clause, before: Sequence[Clause]) -> Clause:
    """A clause about "the blue one" or "the other" with its noun."""
    words = list(clause.words)
    for place, word in enumerate(words):
        told = told_apart(words[place - 1]) if place > 0 else ()
        adjective = place > 0 and words[place - 1] not in PREPOSITIONS | AUXILIARIES
        after_adjective = adjective or bool(told)  # "left" may be either
        other = word == "other" and words[place + 1 : place + 2] != ["one"]
        ends = place + 1 == len(words) or not noun_phrase(words[place + 1 : place + 2])
        if (word in ("one", "ones") and after_adjective) or (other and ends):
            noun = _last_noun(before)
            if word != "ones" and not noun.endswith(("ss", "us", "is")):
                noun = singular(noun)  # "two dogs, the left one"
            behind = (place_behind(words[place + 1 : place + end]) for end in (4, 5))
            if not noun and not other and (told or any(behind)):
                noun = THINGS[word == "ones"]  # "the blue one", "the one on the left"
            if noun:
                words[place : place + 1] = [word, noun] if other else [noun]
                return replace(clause, words=tuple(words))
    return clause


def _last_noun(before: Sequence[Clause]) -> str:
    """The noun of the last clause that has one."""
    for clause in reversed(before):
        verb = predicate(clause)
        named = verb.subject if verb else noun_phrase(clause.words)
        if named:
            return named[-1]
    return ""


def _with_subject(clause: Clause, last: Clause) -> Clause:
    """A clause without a subject, with that of the last.

    Without an "s" at its verb only that of the camera, a flow or a part: things are known to
    `Reading`.
    """
    verb, before = predicate(clause), predicate(last) or unlisted(last)
    if clause.joined in ("", ".") or verb is None or before is None or not _opened(clause, verb):
        return clause
    subject = noun_phrase(last.words[: before.place])
    alike = verb.form != "base" or (before.form == "base" and not verb.subject)
    no_thing = is_camera(subject) or flowing(subject) or _NO_THINGS & set(subject[-1:])
    carried = subject and alike and (no_thing or verb.form == "s")
    if not carried or camera_alone().at(clause.words, verb.place):
        return clause
    return replace(clause, words=(*subject, *clause.words))


def _of_following(clause: Clause, following: Clause) -> Clause:
    """The clause "jumping up and down, the frog croaks" is of the frog."""
    verb, other = predicate(clause), predicate(following)
    if verb is None or other is None or verb.form != "ing" or not _opened(clause, verb):
        return clause
    subject = noun_phrase(following.words[: other.place])
    if not subject or verb.subject or is_camera(subject):
        return clause
    return replace(clause, words=(*subject, *clause.words))


def _opened(clause: Clause, verb: Predicate) -> bool:
    """Whether nothing but auxiliaries is before a clause's verb."""
    before = clause.words[: verb.place]
    return all(word in AUXILIARIES and word not in PRONOUNS | DETERMINERS for word in before)
