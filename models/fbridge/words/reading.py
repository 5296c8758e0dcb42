"""Clauses one by one: what each adds to what a prompt asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fbridge.words.asked import Act, Reading
from fbridge.words.clauses import AUXILIARIES, PREPOSITIONS, PRONOUNS, Clause
from fbridge.words.flows import FlowAct, flowing, read_flow, read_lone, read_scenery, read_wind
from fbridge.words.inflection import singular
from fbridge.words.lexicon import listed, word_set
from fbridge.words.moves import Move, mutual_ways, read_object, read_unlisted
from fbridge.words.predicates import (
    Predicate,
    is_camera,
    is_named,
    noun_phrase,
    predicate,
    text_of,
    unlisted,
)
from fbridge.words.spelling import mended
from fbridge.words.stillness import read_stillness
from fbridge.words.views import read_still_camera, read_unlisted_camera
from fbridge.words.vocabulary import directions, flow_nouns, object_verbs
from fbridge.words.ways import phrase_of
from fbridge.words.whole import read_view

_QUOTED = 60


def read_clause(clause: Clause, reading: Reading) -> None:
    """Add what a clause says."""
    _read_exception(clause, reading)
    reading.in_order |= clause.joined in ("before", "after")
    for amount in clause.amounts:
        reading.remarks.append(f"no count, angle or length is followed; {amount!r} is left out")
    if read_stillness(clause, reading):
        return
    clause, verb = _with_spelled_verb(clause, reading)
    if verb is None or (
        clause.words[verb.place] in _SHAKY | _STEADY and read_still_camera(clause.words)
    ):
        _read_without_verb(clause, reading)
    elif _is_aside(clause, verb):
        reading.described.append(text_of(clause.words))
    elif not (read_view(clause, verb, reading) or _read_flow(clause, verb, reading)):
        move = read_object(clause.words, verb)
        if move.motion in ("stay", "vanish") and _is_weather(verb.subject):
            reading.unknown.append(text_of(clause.words))
        elif verb.subject[-1:] in _WINDS and not move.things:
            reading.wind = Act("sway", "", clause.paced())
        else:
            _act(clause, verb, move, reading)


def _with_spelled_verb(clause: Clause, reading: Reading) -> tuple[Clause, Predicate | None]:
    """A clause with its verb, in which a slip of typing is mended and said."""
    verb = predicate(clause)
    if verb is None:
        words, slip = mended(clause.words)
        if slip:
            meant = words[clause.words.index(slip)]
            reading.remarks.append(f"{slip!r} is read as {meant!r}")
            clause = replace(clause, words=words)
            verb = predicate(clause)
    return clause, verb


def _is_aside(clause: Clause, verb: Predicate) -> bool:
    """Whether a clause only describes: "the train, pulled by an engine, moves"."""
    passive = verb.form == "past" and not verb.place and verb.tail[:1] == ("by",)
    return passive and clause.joined == ","


def _read_flow(clause: Clause, verb: Predicate, reading: Reading) -> bool:
    flow = read_wind(verb) or read_flow(clause.words, _with_last(clause, verb, reading))
    if flow is None and clause.joined in ("", "."):
        flow = read_lone(clause.words, verb)
    if flow is None:
        return False
    if flow.source in PRONOUNS:
        flow = replace(flow, source=reading.noun)  # "a cup with steam rising from it"
    reading.flow(replace(flow, speed=clause.paced()))
    if verb.subject and not flowing(verb.subject) and verb.subject[-1:] not in _WINDS:
        reading.noun = text_of(verb.subject)
    match = object_verbs().at(clause.words, verb.place)
    if flow.kind == "leaves" and match and match.value.motion in ("fall", "down"):
        spoken = text_of(clause.words[verb.place : verb.place + match.length])
        reading.remarks.append(f"{spoken!r} is shown as swaying; no leaves are drawn anew")
    return True


_WINDS = (("wind",), ("breeze",))


def _is_weather(subject: Sequence[str]) -> bool:
    """Whether a subject is what no picture can be rid of: "the rain stops"."""
    kind = flow_nouns().get(flowing(subject), "")
    return kind in ("rain", "snow") or subject[-1:] in _WINDS


def _with_last(clause: Clause, verb: Predicate, reading: Reading) -> Predicate:
    """A predicate with the last subject, where it has none: "the kettle whistles and steams"."""
    carried = not verb.subject and clause.joined not in ("", ".")
    return replace(verb, subject=tuple(reading.noun.split())) if carried else verb


def _read_exception(clause: Clause, reading: Reading) -> None:
    """Say that "except the cat" is not followed."""
    if "except" in clause.words:
        place, verb = clause.words.index("except"), predicate(clause)
        end = verb.place if verb and verb.place > place else len(clause.words)
        spared = shortened(text_of(clause.words[place:end]))
        reading.remarks.append(f"no thing is spared by a motion; {spared!r} is left out")


def shortened(words: str) -> str:
    """A phrase of at most 60 characters."""
    return words if len(words) <= _QUOTED else words[: _QUOTED - 3].rstrip() + "..."


_OTHERS = (("everything", "else"), ("everyone", "else"), "rest", "others")
_SHAKY, _STEADY = (frozenset(listed("camera words", key)) for key in ("shaky", "steady"))
_PARTS, _SCENERY, _GROUND = word_set("parts"), word_set("scenery"), word_set("ground")


def _read_mutual(clause: Clause, verb: Predicate, reading: Reading) -> bool:
    """Read what two things of a kind do to each other: "the balls roll apart"."""
    ways = mutual_ways(clause.words, verb)
    head = verb.subject[-1:]
    if not ways or not head or singular(head[0]) == head[0] or not is_named(verb.subject):
        return False
    one = text_of((*verb.subject[:-1], singular(head[0])))
    match = object_verbs().at(clause.words, verb.place)
    if match is not None and match.value.legs:
        spoken = clause.words[verb.place]
        reading.remarks.append(f"{spoken!r} is shown as moving only; limbs do not move")
    for side, way in zip(("left", "right"), ways, strict=True):
        reading.act(Act(way, f"{side} {one}", clause.paced()), phrase_of(clause, verb))
    reading.noun = text_of(verb.subject)
    return True


def _act(clause: Clause, verb: Predicate, move: Move, reading: Reading) -> None:
    """Add a thing's motion, or what is not known of it."""
    if not move.motion and _read_mutual(clause, verb, reading):
        return
    noun = text_of(verb.subject) if is_named(verb.subject) else ""
    head = verb.subject[-1] if noun else ""
    phrase = phrase_of(clause, verb)
    if head in _GROUND and move.motion == "shake":
        reading.turn(Act("handheld", "", clause.paced(move.pace)), text_of(clause.words))
        return
    others = verb.subject[-2:] in _OTHERS or head in _OTHERS
    if (head in _PARTS | _SCENERY or others) and not move.state and not move.things:
        reading.unknown.append(phrase if head in phrase.split() else f"{noun} {phrase}")
        return
    if noun and clause.joined == "," and verb.form == "ing" and not verb.place and reading.noun:
        reading.unknown.append(phrase)  # "the car drives off, leaving dust"
        return
    if not noun and (verb.subject or clause.joined not in ("", ".")):
        noun = reading.noun
    if not noun and "one" in clause.words[1 : verb.place] and move.motion:
        spoken = text_of(clause.words[: verb.place])
        reading.remarks.append(f"{spoken!r} names no thing; what stands out is taken")
    reading.noun = noun
    if move.state:
        reading.described.append(text_of(clause.words))
    elif not move.motion:
        reading.unknown.append(phrase)
    else:
        for thing in move.things or (verb.subject,):
            name = noun if thing == verb.subject else text_of(thing) * is_named(thing)
            act = Act(move.motion, name, clause.paced(move.pace), move.goal, move.aside)
            reading.act(act, phrase)
        reading.remarks += [move.remark] if move.remark else []


def _read_without_verb(clause: Clause, reading: Reading) -> None:
    words = clause.words
    camera = read_still_camera(words)
    match = directions().at(words, 0)
    flow = read_scenery(words, paced=clause.speed != 1)
    if camera:
        reading.turn(Act(camera, "", clause.paced()), text_of(words))
    elif flow is not None:
        reading.flow(replace(flow, speed=clause.paced()))
    elif match and match.length == len(words) and match.value != "mutual":
        noun = reading.noun if clause.joined not in ("", ".") else ""
        reading.act(Act(match.value, noun, clause.paced()), text_of(words))
    elif {"wind", "windy", "breeze"} & set(words):
        reading.wind = Act("sway", "", clause.paced())
    else:
        _read_unlisted(clause, reading)


def _way_of(words: Sequence[str]) -> str:
    """The direction of a noun with one ("car left"), or ""."""
    match = directions().at(words, len(words) - 1)
    alone = len(words) > 1 and not PREPOSITIONS & set(words[:-1]) and words[0] not in AUXILIARIES
    known = match is not None and match.value not in ("mutual", "spin") and noun_phrase(words[:-1])
    return match.value if match and alone and known and len(words) < 5 else ""


def _read_unlisted(clause: Clause, reading: Reading) -> None:
    verb, way = unlisted(clause), _way_of(clause.words)
    if verb is None and way:
        noun = text_of(noun_phrase(clause.words[:-1]))
        reading.act(Act(way, noun, clause.paced()), text_of(clause.words))
        reading.noun = noun
    elif verb is None:
        reading.described.append(text_of(clause.words))
        phrase = noun_phrase(clause.words)
        if phrase and clause.words[0] not in PREPOSITIONS | AUXILIARIES:
            reading.noun = text_of(phrase)
    elif is_camera(verb.subject):
        motion = read_unlisted_camera(verb)
        if motion:
            reading.turn(Act(motion, "", clause.paced()), phrase_of(clause, verb))
        else:
            reading.unknown.append(phrase_of(clause, verb))
    elif flowing(verb.subject):
        noun = flowing(verb.subject)
        reading.flow(FlowAct(flow_nouns()[noun], noun, speed=clause.paced()))
        spoken = clause.words[verb.place]
        reading.remarks.append(f"{spoken!r} is not known and is shown as flowing")
    else:
        _act(clause, verb, read_unlisted(clause.words, verb), reading)
