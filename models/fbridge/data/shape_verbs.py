"""The vocabulary: verbs of objects and camera, several wordings of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fbridge.data.shape_motions import (
    Array,
    Body,
    away,
    bounce,
    closer,
    dim,
    fall,
    glow,
    handheld,
    jump,
    move,
    pan,
    ripple,
    roll,
    shake,
    spin,
    stay,
    still,
    sway,
    swing,
    turn,
    vanish,
    wobble,
    zoom,
)


@dataclass(frozen=True)
class Verb:
    """A motion with its words; `{}` stands for the noun, "" in place of it must still read."""

    name: str
    program: Callable[[Array, Body, np.random.Generator], Array]
    wordings: tuple[str, ...]
    bare: tuple[str, ...]


OBJECT_VERBS: tuple[Verb, ...] = (
    Verb(
        "jump",
        jump,
        ("{} jumping", "{} jumps", "{} jumps up", "{} hops", "{} is leaping up and down"),
        ("jumping", "jump", "it jumps", "hopping"),
    ),
    Verb(
        "left",
        move(-1, 0),
        (
            "{} moves left",
            "{} moving to the left",
            "{} goes left",
            "{} slides to the left",
            "{} walks left",
            "{} runs to the left",
        ),
        ("moves left", "moving left", "go left", "to the left"),
    ),
    Verb(
        "right",
        move(1, 0),
        (
            "{} moves right",
            "{} moving to the right",
            "{} goes right",
            "{} slides to the right",
            "{} walks right",
            "{} runs to the right",
        ),
        ("moves right", "moving right", "go right", "to the right"),
    ),
    Verb(
        "up",
        move(0, -1),
        ("{} moves up", "{} rises", "{} flies up", "{} floats upwards", "{} lifts off"),
        ("moves up", "rising", "flying up", "upwards"),
    ),
    Verb(
        "down",
        move(0, 1),
        ("{} moves down", "{} sinks", "{} goes down", "{} slides downwards"),
        ("moves down", "sinking", "downwards"),
    ),
    Verb(
        "spin",
        spin,
        ("{} spinning", "{} spins", "{} rotates", "{} turns around", "{} twirls"),
        ("spinning", "spin", "rotating", "twirling"),
    ),
    Verb(
        "closer",
        closer,
        ("{} coming closer", "{} comes closer", "{} approaches", "{} grows", "{} gets bigger"),
        ("coming closer", "approaching", "growing", "gets bigger"),
    ),
    Verb(
        "away",
        away,
        (
            "{} going away",
            "{} goes away",
            "{} leaves into the distance",
            "{} shrinks",
            "{} gets smaller",
        ),
        ("going away", "moves away", "shrinking", "gets smaller"),
    ),
    Verb(
        "shake",
        shake,
        ("{} shaking", "{} shakes", "{} trembles", "{} vibrates", "{} shivers"),
        ("shaking", "trembling", "shivers", "vibrating"),
    ),
    Verb(
        "fall",
        fall,
        ("{} falling", "{} falls", "{} falls down", "{} drops", "{} tumbles down"),
        ("falling", "falls down", "dropping"),
    ),
    Verb(
        "bounce",
        bounce,
        ("{} bouncing", "{} bounces", "{} bounces on the ground", "{} bouncing like a ball"),
        ("bouncing", "bounces", "bounce"),
    ),
    Verb(
        "swing",
        swing,
        ("{} swinging", "{} swings", "{} swings from side to side", "{} dangles to and fro"),
        ("swinging", "swings back and forth", "dangling"),
    ),
    Verb(
        "sway",
        sway,
        ("{} swaying", "{} sways in the wind", "{} bends in the breeze", "{} waves", "{} dances"),
        ("swaying", "in the wind", "waving", "dancing"),
    ),
    Verb(
        "wobble",
        wobble,
        ("{} wobbles", "{} wobbling like jelly", "{} jiggles", "{} breathes"),
        ("wobbling", "jiggling", "breathing"),
    ),
    Verb(
        "roll left",
        roll(-1),
        ("{} rolls left", "{} rolling to the left", "{} rolls away to the left"),
        ("rolls left", "rolling left"),
    ),
    Verb(
        "roll right",
        roll(1),
        ("{} rolls right", "{} rolling to the right", "{} rolls along to the right"),
        ("rolls right", "rolling right"),
    ),
    Verb(
        "vanish",
        vanish,
        ("{} disappears", "{} fades away", "{} vanishes", "{} becomes invisible"),
        ("disappears", "vanishing", "fades away"),
    ),
    Verb(
        "glow",
        glow,
        ("{} glows", "{} lights up", "{} glowing brightly", "{} shines"),
        ("glowing", "shining", "lights up"),
    ),
    Verb(
        "stay",
        stay,
        ("{} stands still", "{} does not move", "{} stays where it is", "a still picture of {}"),
        ("still", "nothing moves", "no motion"),
    ),
)


CAMERA_VERBS: tuple[Verb, ...] = (
    Verb("pan left", pan(-1, 0), ("the camera pans left", "pan left", "camera moves left"), ()),
    Verb("pan right", pan(1, 0), ("the camera pans right", "pan right", "camera moves right"), ()),
    Verb("tilt up", pan(0, -1), ("the camera tilts up", "tilt up", "camera moves up"), ()),
    Verb("tilt down", pan(0, 1), ("the camera tilts down", "tilt down", "camera moves down"), ()),
    Verb(
        "zoom in",
        zoom(1),
        ("zoom in", "the camera zooms in", "the camera moves closer", "slow zoom in", "dolly in"),
        (),
    ),
    Verb(
        "zoom out",
        zoom(-1),
        ("zoom out", "the camera zooms out", "the camera moves back", "pull back", "dolly out"),
        (),
    ),
    Verb(
        "rotate clockwise",
        turn(1),
        ("the camera rotates clockwise", "camera rolls clockwise"),
        (),
    ),
    Verb(
        "rotate counterclockwise",
        turn(-1),
        ("the camera rotates counterclockwise", "camera rolls anticlockwise"),
        (),
    ),
    Verb("rotate", turn(0), ("the camera rotates", "rotate the view", "dutch angle"), ()),
    Verb(
        "handheld",
        handheld,
        ("handheld camera", "the camera shakes", "shaky camera", "camera shake"),
        (),
    ),
    Verb(
        "ripple",
        ripple,
        ("the scene ripples", "ripples like water", "reflections in water", "heat haze"),
        (),
    ),
    Verb("darken", dim(-1), ("it gets dark", "the light fades", "fade to black"), ()),
    Verb("brighten", dim(1), ("it gets brighter", "the light grows", "the sun comes out"), ()),
    Verb("static", lambda u, _body, _rng: still(u), ("static camera", "the camera is still"), ()),
)
SPEEDS: tuple[tuple[str, float], ...] = (
    ("slowly", 0.5),
    ("gently", 0.6),
    ("a little", 0.45),
    ("quickly", 1.5),
    ("fast", 1.5),
    ("a lot", 1.5),
)
