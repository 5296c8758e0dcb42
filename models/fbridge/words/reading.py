"""Clauses one by one: what each adds to what a prompt asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from fbridge.words.clauses import FASTEST, PREPOSITIONS, PRONOUNS, SLOWEST, Clause
from fbridge.words.flows import FlowAct, flowing, read_flow, read_lone, read_scenery, read_wind
from fbridge.words.lexicon import listed, word_set
from fbridge.words.moves import (
    Move,
    read_camera,
    read_light,
    read_object,
    read_still_camera,
    read_unlisted,
    read_unlisted_camera,
    with_mutual,
)
from fbridge.words.predicates import (
    Predicate,
    direct,
    is_camera,
    is_hung,
    noun_phrase,
    predicate,
    text_of,
    unlisted,
)
from fbridge.words.vocabulary import camera_alone, directions, flow_nouns, object_verbs

MOST_OBJECTS = 2
_QUOTED = 60


@dataclass(frozen=True)
class Act:
    """A motion of a thing or of the camera.

    Attributes:
        verb: its name in `fbridge.words.lexicon`.
        noun: the words that name the thing, "" for the main one.
        speed: 1 is usual.
    """

    verb: str
    noun: str = ""
    speed: float = 1.0


STATIC = Act("static")
"""The camera where nothing is said about it."""


@dataclass
class Reading:
    """What is known after some clauses."""

    acts: dict[str, Act] = field(default_factory=dict)
    camera: Act | None = None
    flows: dict[tuple[str, str], FlowAct] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    described: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    noun: str = ""

    def act(self, act: Act, words: str) -> None:
        """Add a motion of a thing, unless it moves already or is the third."""
        if act.noun in self.acts:
            if self.acts[act.noun].verb != act.verb:
                self.remarks.append(f"one motion is shown for each thing; {words!r} is left out")
        elif len(self.acts) == MOST_OBJECTS:
            self.remarks.append(f"two things can move at once; {words!r} is left out")
        else:
            self.acts[act.noun] = act

    def blow(self, speed: float, words: str) -> None:
        """Let the main thing sway in a wind that blows on nothing named."""
        self.act(Act("sway", "", speed), words)
        self.remarks.append("the wind is shown by the main thing, which sways")

    def turn(self, act: Act, words: str) -> None:
        """Set the camera's motion, unless it moves already."""
        if self.camera is None:
            self.camera = act
        elif self.camera.verb != act.verb:
            self.remarks.append(f"one motion of the camera is shown; {words!r} is left out")

    def flow(self, act: FlowAct) -> None:
        """Add a flow."""
        self.flows.setdefault((act.kind, act.source), act)


def read_clause(clause: Clause, reading: Reading) -> None:
    """Add what a clause says."""
    _read_exception(clause, reading)
    for amount in clause.amounts:
        reading.remarks.append(f"no count, angle or length is followed; {amount!r} is left out")
    if _read_stillness(clause, reading):
        return
    verb = predicate(clause)
    if verb is None or (clause.words[verb.place] in _SHAKY and read_still_camera(clause.words)):
        _read_without_verb(clause, reading)
        return
    if _read_view(clause, verb, reading):
        return
    flow = read_wind(verb) or read_flow(clause.words, verb)
    if flow is None and clause.joined in ("", "."):
        flow = read_lone(clause.words, verb)
    if flow is not None:
        reading.flow(replace(flow, speed=speed_of(clause)))
        reading.noun = ""
        match = object_verbs().at(clause.words, verb.place)
        if flow.kind == "leaves" and match and match.value.motion in ("fall", "down"):
            spoken = text_of(clause.words[verb.place : verb.place + match.length])
            reading.remarks.append(f"{spoken!r} is shown as swaying; no leaves are drawn anew")
    elif verb.subject[-1:] in (("wind",), ("breeze",)):
        reading.blow(speed_of(clause), text_of(clause.words))
    else:
        _act(clause, verb, read_object(clause.words, verb), reading)


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


def _read_view(clause: Clause, verb: Predicate, reading: Reading) -> bool:
    """Read a clause about the camera or the light of the whole picture."""
    words = text_of(clause.words)
    alone = camera_alone().at(clause.words, verb.place)
    before = noun_phrase(clause.words[: verb.place])
    shaken = is_camera(verb.object) and read_camera(clause.words, verb)[0] == "handheld"
    whole = is_camera(verb.subject) and not _is_thing(clause, verb)
    if whole or shaken or (alone and not _named(before)):
        motion, pace = read_camera(clause.words, verb)
        if motion:
            reading.turn(Act(motion, "", speed_of(clause, pace)), words)
        else:
            reading.unknown.append(_phrase(clause, verb))
        return True
    light, remark = read_light(clause.words, verb)
    if light:
        reading.turn(Act(light, "", speed_of(clause)), words)
        reading.remarks += [remark] if remark else []
    return bool(light) or (
        verb.subject == ("everything",) and _read_everything(clause, verb, reading)
    )


_WHOLE = frozenset(
    ("handheld", "ripple", "darken", "brighten", "zoom in", "zoom out", "static", "rotate",
     "rotate clockwise", "rotate counterclockwise")
)  # fmt: skip
"""Motions of the camera that are those of all things in the picture, too; a pan is the opposite."""


def _read_everything(clause: Clause, verb: Predicate, reading: Reading) -> bool:
    """Read what all things do as the camera's motion, where that shows the same."""
    match = object_verbs().at(clause.words, verb.place)
    motion, pace = read_camera(clause.words, verb)
    if match is not None and match.value.state:
        return False
    if motion in _WHOLE:
        reading.turn(Act(motion, "", speed_of(clause, pace)), text_of(clause.words))
    else:
        phrase = _phrase(clause, verb)
        reading.unknown.append(phrase if "everything" in phrase else f"everything {phrase}")
    return True


def _is_thing(clause: Clause, verb: Predicate) -> bool:
    """Whether a picture or a screen is a thing in the picture, by its place or its verb."""
    motion = object_verbs().at(clause.words, verb.place)
    glows = motion is not None and motion.value.motion == "glow"
    unseen = glows and not read_camera(clause.words, verb)[0]
    return is_hung(clause.words, verb.subject) or (unseen and verb.subject == ("screen",))


_SHAKY = frozenset(listed("camera words", "shaky"))
_PARTS, _SCENERY, _GROUND = word_set("parts"), word_set("scenery"), word_set("ground")


def speed_of(clause: Clause, pace: float = 1.0) -> float:
    """The speed of a clause's motion, of which the verb has its own."""
    return round(min(max(clause.speed * pace, SLOWEST), FASTEST), 3)


def _named(subject: Sequence[str]) -> bool:
    """Whether a subject names a thing; pronouns do not."""
    return bool(subject) and not all(word in PRONOUNS for word in subject)


def _phrase(clause: Clause, verb: Predicate) -> str:
    """The verb with what it acts on, as the prompt has it."""
    end = verb.place + verb.length
    after = list(clause.words[end:])
    if acted := direct(after):
        end += after.index(acted[-1]) + 1
    end = max(end, verb.place + 1 + with_mutual(clause.words[verb.place + 1 :]))
    return text_of(clause.words[verb.place : end])


def _act(clause: Clause, verb: Predicate, move: Move, reading: Reading) -> None:
    """Add a thing's motion, or what is not known of it."""
    noun = text_of(verb.subject) if _named(verb.subject) else ""
    head = verb.subject[-1] if noun else ""
    phrase = _phrase(clause, verb)
    if head in _GROUND and move.motion == "shake":
        reading.turn(Act("handheld", "", speed_of(clause, move.pace)), text_of(clause.words))
        return
    if head in _PARTS | _SCENERY and not move.state:
        reading.unknown.append(phrase if head in phrase.split() else f"{noun} {phrase}")
        return
    if noun and clause.joined == "," and verb.form == "ing" and not verb.place and reading.noun:
        reading.unknown.append(phrase)  # "the car drives off, leaving dust"
        return
    if not noun and (verb.subject or clause.joined not in ("", ".")):
        noun = reading.noun
    reading.noun = noun
    if move.state:
        reading.described.append(text_of(clause.words))
    elif not move.motion:
        reading.unknown.append(phrase)
    else:
        reading.act(Act(move.motion, noun, speed_of(clause, move.pace)), phrase)
        reading.remarks += [move.remark] if move.remark else []


def _read_stillness(clause: Clause, reading: Reading) -> bool:
    """Read a clause that says that something does not move."""
    words = clause.words
    if not (clause.negated or words[-1] in _MOTIONLESS):
        return False
    verb = predicate(clause)
    if is_camera(verb.subject if verb and verb.subject else noun_phrase(words)) or (
        _named_camera(words) and not (verb and verb.subject)
    ):
        reading.turn(Act("static"), text_of(words))
    elif {"else", "background", "rest"} & set(words):
        reading.described.append(text_of(words))
    elif read_still_camera(words):
        reading.turn(Act("static"), text_of(words))
    elif words[0] in ("no", "without") and not _moves(words, verb):
        reading.described.append(text_of(words))  # "no text, no watermark"
    else:
        cut = verb.subject if verb and verb.subject else () if _MOTION & set(words) else words
        phrase = [one for one in noun_phrase(cut) if one not in _STILL]
        noun = text_of(phrase) if _named(phrase) else ""
        if not noun and clause.joined not in ("", "."):
            noun = reading.noun
        if not noun and reading.camera == Act("static") and not reading.noun and not reading.acts:
            return True  # "static camera, no movement"
        if verb and "without" in words and words.index("without") > verb.place:
            return False
        reading.act(Act("stay", noun), text_of(words))
    return True


def _moves(words: Sequence[str], verb: Predicate | None) -> bool:
    known = verb is not None and object_verbs().at(words, verb.place) is not None
    return known or bool(_MOTION & set(words))


def _named_camera(words: Sequence[str]) -> bool:
    return bool({"camera", "zoom"} & set(words)) or words[:2] in (("no", "pan"), ("no", "cuts"))


_MOTIONLESS, _MOTION = word_set("still"), word_set("motion")
_STILL = _MOTIONLESS | _MOTION | word_set("stays")


def _read_without_verb(clause: Clause, reading: Reading) -> None:
    words = clause.words
    camera = read_still_camera(words)
    match = directions().at(words, 0)
    flow = read_scenery(words, paced=clause.speed != 1)
    if camera:
        reading.turn(Act(camera, "", speed_of(clause)), text_of(words))
    elif flow is not None:
        reading.flow(replace(flow, speed=speed_of(clause)))
    elif match and match.length == len(words) and match.value != "mutual":
        noun = reading.noun if clause.joined not in ("", ".") else ""
        reading.act(Act(match.value, noun, speed_of(clause)), text_of(words))
    elif {"wind", "breeze"} & set(words):
        reading.blow(speed_of(clause), text_of(words))
    else:
        _read_unlisted(clause, reading)


def _read_unlisted(clause: Clause, reading: Reading) -> None:
    verb = unlisted(clause)
    if verb is None:
        reading.described.append(text_of(clause.words))
        phrase = noun_phrase(clause.words)
        if phrase and clause.words[0] not in PREPOSITIONS:
            reading.noun = text_of(phrase)
    elif is_camera(verb.subject):
        motion = read_unlisted_camera(verb)
        if motion:
            reading.turn(Act(motion, "", speed_of(clause)), _phrase(clause, verb))
        else:
            reading.unknown.append(_phrase(clause, verb))
    elif flowing(verb.subject):
        noun = flowing(verb.subject)
        reading.flow(FlowAct(flow_nouns()[noun], noun, speed=speed_of(clause)))
    else:
        _act(clause, verb, read_unlisted(clause.words, verb), reading)
