"""Clauses about the camera, the light, or all that is in the picture."""

from __future__ import annotations

from fbridge.words.asked import Act, Reading
from fbridge.words.clauses import Clause
from fbridge.words.inflection import wordings
from fbridge.words.moves import read_object
from fbridge.words.predicates import Predicate, is_camera, is_hung, is_named, noun_phrase, text_of
from fbridge.words.views import FACE, camera_aside, camera_goal, read_camera, read_light
from fbridge.words.vocabulary import camera_alone, camera_flights, object_verbs
from fbridge.words.ways import phrase_of
from fbridge.words.which import places_of


def read_view(clause: Clause, verb: Predicate, reading: Reading) -> bool:
    """Read a clause about the camera or the light of the whole picture."""
    words = text_of(clause.words)
    alone = camera_alone().at(clause.words, verb.place)
    before = noun_phrase(clause.words[: verb.place])
    shaken = is_camera(verb.object) and read_camera(clause.words, verb)[0] == "handheld"
    device = alone is not None and verb.subject[-1:] in _DEVICES
    whole = device or (is_camera(verb.subject) and not _is_thing(clause, verb))
    if clause.joined in ("", ".") and not reading.noun and verb.form != "s":
        alone = alone or camera_flights().at(clause.words, verb.place)
    if whole or shaken or (alone and not is_named(before)):
        motion, pace = read_camera(clause.words, verb)
        if verb.subject[-1:] in _CONTENTS:
            motion = _contrary(clause, verb) or motion
        if motion:
            aside = camera_aside(clause.words, verb, motion)
            goal, remark = camera_goal(clause.words, verb, motion)
            if goal and not is_named(goal.split()):
                goal = reading.noun  # "zoom in on it"
            reading.turn(Act(motion, "", clause.paced(pace), goal, aside), words)
            reading.remarks += [remark] if remark else []
            if goal and not reading.noun and not places_of(goal):
                reading.noun = goal.split(" of ")[-1] * (goal != FACE)
        else:
            reading.unknown.append(phrase_of(clause, verb))
        return True
    light, remark = read_light(clause.words, verb)
    if light:
        reading.turn(Act(light, "", clause.paced()), words)
        reading.remarks += [remark] if remark else []
    return bool(light) or (
        verb.subject == ("everything",) and _read_everything(clause, verb, reading)
    )


_DEVICES = tuple(wordings("camera words", "devices"))
"""What films with verbs of the camera ("the drone pans left"), and else is seen in the picture."""
_WHOLE = frozenset(
    ("handheld", "ripple", "darken", "brighten", "zoom in", "zoom out", "static", "rotate",
     "rotate clockwise", "rotate counterclockwise")
)  # fmt: skip
"""Motions of the camera that are those of all things in the picture, too; a pan is the opposite."""


_CONTRARY = {"left": "pan right", "right": "pan left", "up": "tilt down", "down": "tilt up"}
_CONTENTS = tuple((word,) for word in ("scene", "picture", "image", "photo", "photograph"))


def _contrary(clause: Clause, verb: Predicate) -> str:
    """The camera's motion with which all that is seen moves as a verb says; or ""."""
    move = read_object(clause.words, verb)
    return "" if move.remark else _CONTRARY.get(move.motion, "")


def _read_everything(clause: Clause, verb: Predicate, reading: Reading) -> bool:
    """Read what all things do as the camera's motion, where that shows the same."""
    match = object_verbs().at(clause.words, verb.place)
    motion, pace = read_camera(clause.words, verb)
    if match is not None and match.value.state:
        return False
    contrary = _contrary(clause, verb)
    if contrary or motion in _WHOLE:
        motion = contrary or motion
        reading.turn(Act(motion, "", clause.paced(pace)), text_of(clause.words))
    else:
        phrase = phrase_of(clause, verb)
        reading.unknown.append(phrase if "everything" in phrase else f"everything {phrase}")
    return True


def _is_thing(clause: Clause, verb: Predicate) -> bool:
    """Whether a picture or a screen is a thing in the picture, by its place or its verb."""
    motion = object_verbs().at(clause.words, verb.place)
    glows = motion is not None and motion.value.motion == "glow"
    unseen = glows and not read_camera(clause.words, verb)[0]
    return is_hung(clause.words, verb.subject) or (unseen and verb.subject == ("screen",))
