"""The motion of a thing that a predicate means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fbridge.words.asked import UPRIGHT, WAYS
from fbridge.words.clauses import AUXILIARIES
from fbridge.words.flows import flowing
from fbridge.words.inflection import inflect, wordings
from fbridge.words.lexicon import listed, word_set
from fbridge.words.nearest import nearest_motion
from fbridge.words.predicates import Predicate, text_of
from fbridge.words.vocabulary import Sense, directions, object_verbs
from fbridge.words.ways import goal_of, matches_of, tells_which, way_of

_TAKES_OBJECT, _ASIDE, _TURNED = (word_set(key) for key in ("takes object", "aside", "turned"))
_OWN = frozenset({"his", "her", "its", "their"})
"""Before a thing that is held, and not alone."""
_FLIPS = frozenset(form for base in ("flip", "backflip", "somersault") for _, form in inflect(base))
_SELF = frozenset({"itself", "himself", "herself", "themselves"})
_PARTS, _SCENERY = word_set("parts"), word_set("scenery")
_ABOUT = frozenset({"over", "around", "past", "through", "onto", "on", "round"})
_SLOPING = frozenset({"up", "upward", "upwards", "down", "downward", "downwards"})
_MEETING = frozenset({"towards", "toward", "to", "into", "closer", "nearer"})
_PARTING = frozenset({"apart", "opposite", "different", "away", "from"})
"""Words of directions of several things that meet, and of such that part."""
_WHEELED, _CORNERS = word_set("wheeled"), word_set("corners")
_WIND = frozenset(listed("weather", "wind"))
_SENDS, _CAUSES = (
    frozenset(pair for one in wordings("grammar", key) for pair in inflect(one[0]))
    for key in ("sends", "causes")
)
_LIGHTS = frozenset(text_of(one) for one in wordings("light", "nouns"))


@dataclass(frozen=True)
class Move:
    """A motion of a thing; "" where none is known, and what is shown otherwise than said.

    Attributes:
        motion: its name.
        pace: its own speed.
        state: the words describe the picture.
        remark: what is shown otherwise than said, or "".
        things: noun phrases of what moves, where that is not the subject alone.
        goal: the words for a thing that it moves towards.
        aside: the direction in which it goes besides, or "".
    """

    motion: str = ""
    pace: float = 1.0
    state: bool = False
    remark: str = ""
    things: tuple[tuple[str, ...], ...] = ()
    goal: str = ""
    aside: str = ""


def read_object(words: Sequence[str], verb: Predicate) -> Move:
    """The motion of the subject."""
    match = object_verbs().at(words, verb.place)
    if match is None:
        return Move()
    sense, spoken = match.value, text_of(words[verb.place : verb.place + match.length])
    tail = words[verb.place + match.length :]
    if sense.state:
        return Move(state=True)
    if (sense.legs or sense.travels) and tail[:2] in (("up", "to"), ("up", "on")):
        tail = tail[1:]
    way = _taken(sense, tail)
    if way == "mutual":
        return Move()
    base = spoken.split()[0]
    if verb.object and verb.object[0] not in _SELF and not _takes_object(base, tail):
        return _with_object(verb, sense, spoken, way or way_of(verb.tail))
    if not way and _is_sent(words, verb):
        way = way_of(tail)
        return Move(way, sense.pace) if way else Move()
    goes = not way and sense.motion in ("", "right", "roll right") and sense.travels
    goal = goal_of(tail) if goes else ""
    if goal or sense.legs:
        motion = way or sense.motion or "right" * bool(goal)
        shown = "moving only" if way or goal else "swaying"
        remark = f"{spoken!r} is shown as {shown}; limbs do not move" * sense.legs
        return Move(motion, sense.pace, remark=remark, goal=goal) if motion else Move()
    return _alone(verb, sense, way, spoken, tail)


def _alone(verb: Predicate, sense: Sense, way: str, spoken: str, tail: Sequence[str]) -> Move:
    """The motion of a subject by itself, to a side or in place."""
    cornering = sense.motion == "spin" and _CORNERS & set(tail)
    wheeled = sense.motion.startswith("roll") and _WHEELED & set(verb.subject[-1:])
    if cornering or wheeled:
        sense = replace(sense, motion="right")
    if sense.motion.startswith("roll"):
        way = {"left": "roll left", "right": "roll right"}.get(way, way)
    aimless = not way and sense.motion in ("right", "roll right")
    remark = f"no direction is known for {spoken!r}; it is shown to the right" if aimless else ""
    aside = _aside(way or sense.motion, tail)
    remark = remark or _otherwise(sense, spoken, tail)
    if not aside:
        remark = remark or _lost(way or sense.motion, tail)
    return Move(way or sense.motion, sense.pace, remark=remark, aside=aside)


def _with_object(verb: Predicate, sense: Sense, spoken: str, way: str) -> Move:
    """What moves where one does something to another: "the boy kicks the ball to the left"."""
    base, thing = spoken.split()[0], text_of(verb.object)
    if verb.tail[0] in _OWN or spoken.split()[-1] in _OWN:
        return Move()
    ground = bool(flowing(verb.object)) or verb.object[-1] in _SCENERY
    if verb.object[-1] in _PARTS or thing in _LIGHTS or (way in ("", "spin") and sense.travels):
        way = ""
    alone = f"{spoken!r} is shown by the {thing} alone"
    goal = "" if way or not _is(base, _SENDS) else goal_of(verb.tail)
    if sense.motion.startswith("roll") and way in ("left", "right"):
        way = f"roll {way}"
    if (way or goal) and not ground and _is(base, _SENDS | _CAUSES):
        return Move(way or "right", sense.pace, remark=alone, things=(verb.object,), goal=goal)
    if way and (sense.travels or sense.legs):
        remark = f"{spoken!r} is shown as moving only; limbs do not move" if sense.legs else ""
        things = (verb.subject,) if ground else (verb.subject, verb.object)
        return Move(way, sense.pace, remark=remark, things=things)
    caused = _is(base, _CAUSES) and sense.motion not in ("", "right", "roll right")
    if caused and not ground and verb.object[-1] not in _PARTS and thing not in _LIGHTS:
        return Move(sense.motion, sense.pace, remark=alone, things=(verb.object,))
    return Move()


def _is(spoken: str, verbs: frozenset[tuple[str, str]]) -> bool:
    """Whether a verb in any form is one of some."""
    return any(form == spoken for _, form in verbs)


def _is_sent(words: Sequence[str], verb: Predicate) -> bool:
    """Whether the subject is sent off by another: "the ball is kicked to the left"."""
    passive = verb.form == "past" and verb.place > 0 and words[verb.place - 1] in AUXILIARIES
    return passive and _is(words[verb.place], _SENDS)


def _taken(sense: Sense, tail: Sequence[str]) -> str:
    """The direction that a verb takes; "" for none, "mutual" for that of several things."""
    way = way_of(tail)
    sideways = way in ("left", "right")
    if way == "mutual":
        return way if sense.travels or sense.motion in ("closer", "away") else ""
    if sense.enters:
        came = [
            value
            for value, at, long in matches_of(tail, directions())
            if "from" in tail[at : at + long]
        ]
        return way if sideways and way in came else ""
    takes = sideways if sense.motion == "away" else sense.travels
    turning = way == "spin" and (sense.legs or sense.motion != "spin")
    return way if takes and not turning else ""


def _otherwise(sense: Sense, spoken: str, tail: Sequence[str]) -> str:
    """What is shown in place of what a verb says, where that is another motion; else ""."""
    first, *others = spoken.split()
    if sense.motion == "fall" and ("over" in others or first.startswith(("toppl", "tip"))):
        return f"{spoken!r} is shown as falling; nothing tips over"
    if sense.motion == "jump" and _FLIPS & set(spoken.split()):
        return f"{spoken!r} is shown as jumping; nothing turns over"
    if first in ("wave", "waves", "waving") and not _WIND & set(tail):
        return f"{spoken!r} is shown as swaying; limbs do not move"
    return ""


def mutual_ways(words: Sequence[str], verb: Predicate) -> tuple[str, str] | None:
    """The ways of the left and the right one of two things that move apart or together."""
    match = object_verbs().at(words, verb.place)
    tail = words[verb.place + (1 if match is None else match.length) :]
    spoken = [
        tail[place : place + length]
        for way, place, length in matches_of(tail, directions())
        if way == "mutual" and not (tail[place - 1 : place] and tail[place - 1] in _ABOUT)
    ]
    if match is None or not spoken:
        return None
    sense = match.value
    apart = bool(_PARTING & set(spoken[0]))
    meets = not apart and (sense.motion == "closer" or bool(_MEETING & set(spoken[0])))
    if not (sense.travels or sense.legs or sense.motion in ("closer", "away")) or meets == apart:
        return None
    roll = "roll " * sense.motion.startswith("roll")
    left, right = f"{roll}left", f"{roll}right"
    return (left, right) if apart else (right, left)


def _aside(motion: str, tail: Sequence[str]) -> str:
    """The direction in which a thing goes besides: "hops to the left", "flies up to the left"."""
    ways = {
        way: set(tail[place : place + length])
        for way, place, length in matches_of(tail, directions())
        if not tells_which(tail, place, length)
    }
    if motion.removeprefix("roll ") in ("left", "right"):
        return next((way for way in ("up", "down") if _SLOPING & ways.get(way, set())), "")
    carried = motion in UPRIGHT or WAYS.get(motion) == "y"
    told = (way for way in ("left", "right", "closer", "away") if _ASIDE & ways.get(way, set()))
    return next(told, "") if carried else ""


def _lost(motion: str, tail: Sequence[str]) -> str:
    """That a direction beside a motion that takes none is left out; "" where none is said."""
    for way, place, length in matches_of(tail, directions()):
        if way == "mutual" and tail[place - 1 : place] and tail[place - 1] in _ABOUT:
            spoken = text_of(tail[place - 1 : place + length])
            return f"things do not move around one another; {spoken!r} is left out"
    spins = motion == "spin"
    telling = _TURNED if spins else _ASIDE
    if motion in ("stay", "left", "right", "roll left", "roll right"):
        return ""
    for way, place, length in matches_of(tail, directions()):
        words, spoken = set(tail[place : place + length]), text_of(tail[place : place + length])
        same = way == motion and not spins
        if way == "mutual" or same or tells_which(tail, place, length) or not telling & words:
            continue
        if spins:
            return f"the way a thing spins is drawn by the seed; {spoken!r} is left out"
        return f"one motion is shown for each thing; {spoken!r} is left out"
    return ""


def read_unlisted(words: Sequence[str], verb: Predicate) -> Move:
    """The motion of the subject of a verb that no list has: its direction, or the nearest one."""
    spoken, way = words[verb.place], way_of(verb.tail)
    if verb.object or way == "mutual":
        return Move()
    if way in ("left", "right", "closer", "away"):
        return Move(way, remark=f"{spoken!r} is not known and is shown as moving only")
    motion = nearest_motion(spoken)
    return Move(motion, remark=f"{spoken!r} is not known and is taken for {motion!r}")


def _takes_object(base: str, tail: Sequence[str]) -> bool:
    """Whether a verb with an object still moves its subject, or the object is a direction."""
    stem = base.removesuffix("ing").removesuffix("ed").removesuffix("es").removesuffix("s")
    known = any(one.startswith(stem) for one in _TAKES_OBJECT) and len(stem) > 2
    return known or directions().at(tail, 0) is not None
