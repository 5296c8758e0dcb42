"""The motion that a predicate means: of a thing, or of the camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fbridge.words.clauses import DETERMINERS
from fbridge.words.inflection import wordings
from fbridge.words.lexicon import listed, word_set
from fbridge.words.nearest import nearest_motion
from fbridge.words.predicates import Predicate, text_of
from fbridge.words.vocabulary import (
    Sense,
    Table,
    camera_directions,
    camera_verbs,
    directions,
    light_verbs,
    object_verbs,
)
from fbridge.words.which import place_behind

_TAKES_OBJECT, _ASIDE, _TURNED = (word_set(key) for key in ("takes object", "aside", "turned"))
_SELF = frozenset({"itself", "himself", "herself", "themselves"})
_CAMERA_WAYS = {
    "pan right": {"left": "pan left", "right": "pan right", "up": "tilt up", "down": "tilt down",
                  "closer": "zoom in", "in": "zoom in", "away": "zoom out", "out": "zoom out"},
    "tilt up": {"up": "tilt up", "down": "tilt down", "left": "rotate counterclockwise",
                "right": "rotate clockwise"},
    "zoom in": {"in": "zoom in", "closer": "zoom in", "out": "zoom out", "away": "zoom out",
                "left": "pan left", "right": "pan right", "up": "tilt up", "down": "tilt down"},
    "rotate": {"clockwise": "rotate clockwise", "counterclockwise": "rotate counterclockwise",
               "left": "rotate counterclockwise", "right": "rotate clockwise"},
}  # fmt: skip
_WHEELED, _CORNERS = word_set("wheeled"), word_set("corners")
_WIND = frozenset(listed("weather", "wind"))
_STEADY = frozenset(listed("camera words", "steady"))
_SHAKY = frozenset(listed("camera words", "shaky"))


_LIGHTS, _IT = ({text_of(one) for one in wordings("light", key)} for key in ("nouns", "pronouns"))
_SHADES = listed("light", "shades")


@dataclass(frozen=True)
class Move:
    """A motion of a thing; "" where none is known, and what is shown otherwise than said."""

    motion: str = ""
    pace: float = 1.0
    state: bool = False
    remark: str = ""


def read_object(words: Sequence[str], verb: Predicate) -> Move:
    """The motion of the subject."""
    match = object_verbs().at(words, verb.place)
    if match is None:
        return Move()
    sense, spoken = match.value, text_of(words[verb.place : verb.place + match.length])
    tail = words[verb.place + match.length :]
    if sense.state:
        return Move(state=True)
    way = _taken(sense, tail)
    if way == "mutual":
        return Move()
    base = spoken.split()[0]
    if verb.object and verb.object[0] not in _SELF and not _takes_object(base, tail):
        return Move()
    if sense.legs:
        motion = way or sense.motion
        shown = "moving only" if way else "swaying"
        remark = f"{spoken!r} is shown as {shown}; limbs do not move"
        return Move(motion, sense.pace, remark=remark) if motion else Move()
    cornering = sense.motion == "spin" and _CORNERS & set(tail)
    wheeled = sense.motion.startswith("roll") and _WHEELED & set(verb.subject[-1:])
    if cornering or wheeled:
        sense = replace(sense, motion="right")
    if sense.motion.startswith("roll"):
        way = {"left": "roll left", "right": "roll right"}.get(way, way)
    aimless = not way and sense.motion in ("right", "roll right")
    remark = f"no direction is known for {spoken!r}; it is shown to the right" if aimless else ""
    remark = remark or _otherwise(sense, spoken, tail) or _lost(way or sense.motion, tail)
    return Move(way or sense.motion, sense.pace, remark=remark)


def _taken(sense: Sense, tail: Sequence[str]) -> str:
    """The direction that a verb takes; "" for none, "mutual" for that of several things."""
    way = _way(tail)
    sideways = way in ("left", "right")
    if way == "mutual":
        return way if sense.travels or sense.motion in ("closer", "away") else ""
    if sense.enters:
        came = [
            value
            for value, at, long in _matches(tail, directions())
            if "from" in tail[at : at + long]
        ]
        return way if sideways and way in came else ""
    takes = sideways if sense.motion == "away" else sense.travels
    turning = way == "spin" and (sense.legs or sense.motion != "spin")
    return way if takes and not turning else ""


def _otherwise(sense: Sense, spoken: str, tail: Sequence[str]) -> str:
    """What is shown in place of what a verb says, where that is another motion; else ""."""
    first, *others = spoken.split()
    if sense.motion == "fall" and ("over" in others or first.startswith("toppl")):
        return f"{spoken!r} is shown as falling; nothing tips over"
    if first in ("wave", "waves", "waving") and not _WIND & set(tail):
        return f"{spoken!r} is shown as swaying; limbs do not move"
    return ""


def _lost(motion: str, tail: Sequence[str]) -> str:
    """That a direction beside a motion that takes none is left out; "" where none is said."""
    spins = motion == "spin"
    telling = _TURNED if spins else _ASIDE
    if motion in ("stay", "left", "right", "roll left", "roll right"):
        return ""
    for way, place, length in _matches(tail, directions()):
        words, spoken = set(tail[place : place + length]), text_of(tail[place : place + length])
        of_thing = length == 1 and tail[place - 1 : place] and tail[place - 1] in DETERMINERS
        same = way == motion and not spins
        if way == "mutual" or same or of_thing or not telling & words:
            continue  # "jumps on the left chair"
        if spins:
            return f"the way a thing spins is drawn by the seed; {spoken!r} is left out"
        return f"one motion is shown for each thing; {spoken!r} is left out"
    return ""


def read_unlisted(words: Sequence[str], verb: Predicate) -> Move:
    """The motion of the subject of a verb that no list has: its direction, or the nearest one."""
    spoken, way = words[verb.place], _way(verb.tail)
    if verb.object or way == "mutual":
        return Move()
    if way in ("left", "right", "closer", "away"):
        return Move(way, remark=f"{spoken!r} is not known and is shown as moving only")
    motion = nearest_motion(spoken)
    return Move(motion, remark=f"{spoken!r} is not known and is taken for {motion!r}")


def read_unlisted_camera(verb: Predicate) -> str:
    """The camera's motion by its direction alone, or ""."""
    found = _find(verb.tail, camera_directions())
    return next((_CAMERA_WAYS["pan right"].get(way, "") for way in found), "")


def _takes_object(base: str, tail: Sequence[str]) -> bool:
    """Whether a verb with an object still moves its subject, or the object is a direction."""
    stem = base.removesuffix("ing").removesuffix("ed").removesuffix("es").removesuffix("s")
    known = any(one.startswith(stem) for one in _TAKES_OBJECT) and len(stem) > 2
    return known or directions().at(tail, 0) is not None


def _way(tail: Sequence[str]) -> str:
    """The direction; of several, left or right ("away to the left"), and a turn last."""
    found = _find(tail, directions())
    if len(found) > 1 and any(place_behind(tail[at:]) == found[0] for at in range(len(tail))):
        found = found[1:]  # "the dog on the left to the right"
    return min(found, key=lambda way: (way == "spin", way not in ("left", "right")), default="")


def with_mutual(tail: Sequence[str]) -> int:
    """Words up to the end of "apart", "towards each other" and the like; 0 where none is there."""
    for place in range(len(tail)):
        match = directions().at(tail, place)
        if match and match.value == "mutual":
            return place + match.length
    return 0


def _find(tail: Sequence[str], table: Table[str]) -> list[str]:
    """All directions in order."""
    return [value for value, _, _ in _matches(tail, table)]


def _matches(tail: Sequence[str], table: Table[str]) -> list[tuple[str, int, int]]:
    """The same with their places and lengths; "down the street" is none."""
    found, place = [], 0
    while place < len(tail):
        match = table.at(tail, place)
        if match is None:
            place += 1
            continue
        behind = tail[place + match.length : place + match.length + 1]
        in_place = tail[place] in ("down", "out", "around", "about", "off")
        if not (in_place and match.length == 1 and behind and behind[0] in DETERMINERS):
            found.append((match.value, place, match.length))
        place += match.length
    return found


def read_light(words: Sequence[str], verb: Predicate) -> tuple[str, str]:
    """Whether light darkens or brightens the picture, "" where neither; and a remark or ""."""
    light, subject = light_verbs().at(words, verb.place), text_of(verb.subject)
    if light is None or subject not in _LIGHTS | _IT:
        return "", ""
    spoken = words[verb.place : verb.place + light.length]
    shade = spoken[-1] in _SHADES or (len(spoken) == 1 and spoken[0].startswith(_SHADES))
    if subject in _IT and not shade:
        return "", ""
    return light.value, f"{text_of(spoken)!r} is shown by the light alone" * (subject == "sun")


def read_camera(words: Sequence[str], verb: Predicate) -> tuple[str, float]:
    """The camera's motion and its pace; "" where it is not known."""
    match = camera_verbs().at(words, verb.place)
    if match is None:
        return "", 1.0
    motion, pace = match.value
    ways = _CAMERA_WAYS.get(motion, {})
    if match.length > 1 and motion == "zoom in" and "up" not in words[verb.place :]:
        return motion, pace
    for way in _find(words[verb.place + 1 :], camera_directions()):
        if way in ways:
            return ways[way], pace
    return motion, pace


def read_still_camera(words: Sequence[str]) -> str:
    """The camera's motion in words without a verb ("static shot", "handheld camera"), or ""."""
    named = {"camera", "shot", "frame", "tripod", "view", "footage"} & set(words)
    if named and (_STEADY & set(words) or "tripod" in words):
        return "static"
    if _SHAKY & set(words) and (named or "handheld" in words):
        return "handheld"
    if "camera" in words:
        for way in _find(words, camera_directions()):
            if way in _CAMERA_WAYS["pan right"]:
                return _CAMERA_WAYS["pan right"][way]
    if ("haze" in words and "heat" in words) or words[:1] in (("reflections",), ("reflection",)):
        return "ripple"
    return ""
