"""The motion of the camera and the light that a predicate means."""

from __future__ import annotations

from collections.abc import Sequence

from fbridge.words.clauses import DETERMINERS
from fbridge.words.flows import flowing
from fbridge.words.inflection import wordings
from fbridge.words.lexicon import listed, word_set
from fbridge.words.predicates import Predicate, is_camera, noun_phrase, text_of
from fbridge.words.vocabulary import all_verbs, camera_directions, camera_verbs, light_verbs
from fbridge.words.ways import found_ways, matches_of, tells_which
from fbridge.words.which import places_of

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
_STEADY, _SHAKY = (frozenset(listed("camera words", key)) for key in ("steady", "shaky"))
_LIGHTS, _IT = ({text_of(one) for one in wordings("light", key)} for key in ("nouns", "pronouns"))
_SHADES = listed("light", "shades")
_TRAVELS = tuple(listed("camera words", "travels"))
_TO = frozenset({"to", "towards", "toward", "into", "onto", "at"})
_ON = _TO | {"on", "upon"}
_NEARER = frozenset({"in", "closer", "nearer", "forward", "straight", "right", "up"})
_REGION = frozenset(listed("camera words", "region")) | DETERMINERS
_ALL_AROUND = frozenset(listed("camera words", "all around"))
FACE = "face"
"""The goal of a camera that goes to a face, or to what is in it; "face of cat" where it is told."""
OF_FACES = frozenset({"face", "eye", "eyes", "head", "mouth", "lips", "nose", "smile"})
_ING_NOUNS = word_set("nouns in ing") | word_set("nouns before verbs")
_PARTS, _SCENERY = word_set("parts") | OF_FACES, word_set("scenery")


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
    after = words[verb.place + match.length :]
    turns = motion in ("rotate", "pan right") and "around" in after[:-1]
    if turns and not {"axis", "room"} & set(after):
        return "", 1.0  # "rotate the camera around the car"
    ways = _CAMERA_WAYS.get(motion, {})
    if match.length > 1 and motion == "zoom in" and "up" not in words[verb.place :]:
        return motion, pace
    for way in found_ways(words[verb.place + 1 :], camera_directions()):
        if way in ways:
            return ways[way], pace
    if motion == "pan right" and words[verb.place].startswith(_TRAVELS) and _aimed_at(after, _TO):
        return "zoom in", pace  # "the camera moves towards the house"
    return motion, pace


def camera_goal(words: Sequence[str], verb: Predicate, motion: str) -> tuple[str, str]:
    """What the camera zooms in on or pans to, a noun phrase, a pronoun or places; and a remark.

    Both are "" where it is the middle, or all that is seen.
    """
    match = camera_verbs().at(words, verb.place)
    pans = motion == "pan right" and not found_ways(words[verb.place + 1 :], camera_directions())
    if match is None or not (motion == "zoom in" or pans):
        return "", ""
    last, after = words[verb.place + match.length - 1], words[verb.place + match.length :]
    target = _aimed_at(after, _TO if pans else _ON)
    direct = last in _ON or (last != "through" and after[:1] and after[0] in DETERMINERS)
    if not target and direct and not pans:
        target = after  # "zoom into the eye", "zoom in the dog", "the camera approaches the house"
    rest = [word for word in target if word not in _REGION]
    if target and rest and places_of(text_of(rest)):
        return text_of(rest), ""
    phrase = noun_phrase(target)
    doing = all_verbs().at(phrase[-1:], 0) if len(phrase) > 1 else None
    if doing is not None and doing.form == "ing" and phrase[-1] not in _ING_NOUNS:
        phrase = phrase[:-1]  # "the woman holding a cup"
    if phrase[-1:] and phrase[-1] in _PARTS:
        part, phrase = phrase, _owner(phrase, target)
        if part[-1] in OF_FACES:
            return FACE if part == phrase else f"{FACE} of {text_of(phrase)}", ""
    if not phrase or is_camera(phrase) or phrase[-1] in _ALL_AROUND:
        return "", ""
    if flowing(phrase) or phrase[-1] in _SCENERY | _PARTS:
        return "", f"{text_of(phrase)!r} is not looked for; the camera goes to the middle"
    return text_of(phrase), ""


def _aimed_at(after: Sequence[str], prepositions: frozenset[str]) -> Sequence[str]:
    """The words behind the preposition of a goal, where they follow a verb of the camera."""
    for place, word in enumerate(after):
        if word in prepositions:
            return after[place + 1 :]
        if word not in _NEARER and not word.endswith("ly"):
            break
    return ()


def _owner(phrase: tuple[str, ...], target: Sequence[str]) -> tuple[str, ...]:
    """Whose part a phrase names: "the puppy's face", "the eye of the cat"; or the part itself."""
    for place, word in enumerate(phrase):
        if word.endswith("'s"):
            return (*phrase[:place], word.removesuffix("'s"))
    if "of" in target:
        return noun_phrase(target[list(target).index("of") + 1 :])
    return phrase


def camera_aside(words: Sequence[str], verb: Predicate, motion: str) -> str:
    """The direction in which the camera goes besides: "pan up to the left"; "" for none."""
    across = {"pan": ("up", "down"), "tilt": ("left", "right")}.get(motion.split(" ")[0], ())
    tail = words[verb.place + 1 :]
    for way, place, length in matches_of(tail, camera_directions()):
        told = tail[place : place + length]
        if way in across and not tells_which(tail, place, length) and any(way in w for w in told):
            return way
    return ""


def read_still_camera(words: Sequence[str]) -> str:
    """The camera's motion in words without a verb ("static shot", "handheld camera"), or ""."""
    named = {"camera", "cam", "shot", "frame", "tripod", "view", "footage"} & set(words)
    if named and (_STEADY & set(words) or "tripod" in words):
        return "static"
    if _SHAKY & set(words) and (named or "handheld" in words):
        return "handheld"
    if "camera" in words:
        for way in found_ways(words, camera_directions()):
            if way in _CAMERA_WAYS["pan right"]:
                return _CAMERA_WAYS["pan right"][way]
    if ("haze" in words and "heat" in words) or words[:1] in (("reflections",), ("reflection",)):
        return "ripple"
    return ""


def read_unlisted_camera(verb: Predicate) -> str:
    """The camera's motion by its direction alone, or ""."""
    found = found_ways(verb.tail, camera_directions())
    return next((_CAMERA_WAYS["pan right"].get(way, "") for way in found), "")
