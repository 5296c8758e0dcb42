"""The vocabulary of composed scenes: verbs of objects and of the camera, with their captions."""

from __future__ import annotations

from examples.embedded.scenes.motions import (
    dim,
    glow,
    handheld,
    pan,
    ripple,
    roll,
    shake,
    sway,
    turn,
    wobble,
    zoom,
)
from fbridge.data.shape_motions import VERBS, Verb, stay

_SHAKE = Verb(
    "shake", shake, ("{} shaking", "{} shakes", "{} trembles", "{} vibrates", "{} shivers")
)
_SWAYS = (
    Verb(
        "sway",
        sway,
        ("{} swaying", "{} sways in the wind", "{} bends in the breeze", "{} waves", "{} dances"),
    ),
    Verb(
        "wobble",
        wobble,
        ("{} wobbles", "{} wobbling like jelly", "{} jiggles", "{} breathes"),
    ),
    Verb(
        "roll left",
        roll(-1),
        ("{} rolls left", "{} rolling to the left", "{} rolls away to the left"),
    ),
    Verb(
        "roll right",
        roll(1),
        ("{} rolls right", "{} rolling to the right", "{} rolls along to the right"),
    ),
)
_GLOW = Verb("glow", glow, ("{} glows", "{} lights up", "{} glowing brightly", "{} shines"))

OBJECT_VERBS = (*VERBS[:8], _SHAKE, *VERBS[8:11], *_SWAYS, VERBS[11], _GLOW, VERBS[12])
"""In this order: what a seed draws depends on it."""
WITHOUT_NOUN = {
    "jump": ("jumping", "jump", "it jumps", "hopping"),
    "left": ("moves left", "moving left", "go left", "to the left"),
    "right": ("moves right", "moving right", "go right", "to the right"),
    "up": ("moves up", "rising", "flying up", "upwards"),
    "down": ("moves down", "sinking", "downwards"),
    "spin": ("spinning", "spin", "rotating", "twirling"),
    "closer": ("coming closer", "approaching", "growing", "gets bigger"),
    "away": ("going away", "moves away", "shrinking", "gets smaller"),
    "shake": ("shaking", "trembling", "shivers", "vibrating"),
    "fall": ("falling", "falls down", "dropping"),
    "bounce": ("bouncing", "bounces", "bounce"),
    "swing": ("swinging", "swings back and forth", "dangling"),
    "sway": ("swaying", "in the wind", "waving", "dancing"),
    "wobble": ("wobbling", "jiggling", "breathing"),
    "roll left": ("rolls left", "rolling left"),
    "roll right": ("rolls right", "rolling right"),
    "vanish": ("disappears", "vanishing", "fades away"),
    "glow": ("glowing", "shining", "lights up"),
    "stay": ("still", "nothing moves", "no motion"),
}
"""Captions of an object's verb that name no object."""

CAMERA_VERBS = (
    Verb("pan left", pan(-1, 0), ("the camera pans left", "pan left", "camera moves left")),
    Verb("pan right", pan(1, 0), ("the camera pans right", "pan right", "camera moves right")),
    Verb("tilt up", pan(0, -1), ("the camera tilts up", "tilt up", "camera moves up")),
    Verb("tilt down", pan(0, 1), ("the camera tilts down", "tilt down", "camera moves down")),
    Verb(
        "zoom in",
        zoom(1),
        ("zoom in", "the camera zooms in", "the camera moves closer", "slow zoom in", "dolly in"),
    ),
    Verb(
        "zoom out",
        zoom(-1),
        ("zoom out", "the camera zooms out", "the camera moves back", "pull back", "dolly out"),
    ),
    Verb(
        "rotate clockwise",
        turn(1),
        ("the camera rotates clockwise", "camera rolls clockwise"),
    ),
    Verb(
        "rotate counterclockwise",
        turn(-1),
        ("the camera rotates counterclockwise", "camera rolls anticlockwise"),
    ),
    Verb("rotate", turn(0), ("the camera rotates", "rotate the view", "dutch angle")),
    Verb(
        "handheld",
        handheld,
        ("handheld camera", "the camera shakes", "shaky camera", "camera shake"),
    ),
    Verb(
        "ripple",
        ripple,
        ("the scene ripples", "ripples like water", "reflections in water", "heat haze"),
    ),
    Verb("darken", dim(-1), ("it gets dark", "the light fades", "fade to black")),
    Verb("brighten", dim(1), ("it gets brighter", "the light grows", "the sun comes out")),
    Verb("static", stay, ("static camera", "the camera is still")),
)
SPEEDS = (
    ("slowly", 0.5),
    ("gently", 0.6),
    ("a little", 0.45),
    ("quickly", 1.5),
    ("fast", 1.5),
    ("a lot", 1.5),
)
