"""How the shapes of `fbridge.data.shapes` move: a program and its captions for each verb.

A program turns the clip's normalised time u (F,) in [0, 1] into motion channels (F, 26), zero at
u = 0. The channels are those of `fbridge.codecs.render`. Lengths are in *frame units*: x to the
right, y down, the frame's half width times its half height is 1. Angles are radians, clockwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
Rng: TypeAlias = np.random.Generator
CHANNELS = 26
TX, TY, LOG_SCALE, ANGLE, STRETCH, SHEAR, GAIN, FADE = range(8)


@dataclass(frozen=True)
class Body:
    """Half sizes of a moved object, and its distances from the frame's edges, in frame units."""

    half_width: float
    half_height: float
    room_left: float
    room_right: float
    room_up: float
    room_down: float


Program: TypeAlias = Callable[[Array, Body, Rng], Array]
"""From times u (F,), the object and a generator to motion channels (F, 26)."""


@dataclass(frozen=True)
class Verb:
    """A motion and its captions.

    Attributes:
        name: short, unique.
        program: draws the motion.
        wordings: captions, in which `{}` stands for the noun.
        speed: the share of the program that a clip of shapes shows, as it lasts one second.
        start: where a shape starts on the axes (x, y): -1, 0 or 1; 0 is anywhere.
        half_size: smallest and largest half size of a shape, in frame units.
    """

    name: str
    program: Program
    wordings: tuple[str, ...]
    speed: float = 1.0
    start: tuple[int, int] = (0, 0)
    half_size: tuple[float, float] = (0.26, 0.44)


def still(u: Array) -> Array:
    """No motion: zeros (F, 26)."""
    return np.zeros((len(u), CHANNELS))


def ease(u: Array, rng: Rng) -> Array:
    """A monotone profile from 0 to 1: linear, accelerating, or slow at both ends."""
    kind = rng.integers(3)
    if kind == 0:
        return u
    if kind == 1:
        return u ** rng.uniform(1.3, 2.2)
    return u * u * (3 - 2 * u)


def squash(motion: Array, amount: Array, body: Body) -> None:
    """Stretch vertically by exp(amount / 2) at constant area, the lower edge fixed, in place."""
    motion[:, STRETCH] += amount
    motion[:, TY] -= body.half_height * (np.exp(amount / 2) - 1)


def jump(u: Array, body: Body, rng: Rng) -> Array:
    """One to three hops with a crouch before each and a stretch in the air."""
    motion, hops = still(u), rng.integers(1, 4)
    height = rng.uniform(0.3, 0.75) / np.sqrt(hops) * np.clip(body.half_height + 0.25, 0.4, 0.9)
    height = min(height, body.room_up + 0.6 * body.half_height)
    crouch = rng.uniform(0.12, 0.25)
    phase = (u * hops) % 1.0
    air = np.clip((phase - crouch) / (1 - crouch), 0, 1)
    motion[:, TY] -= height * 4 * air * (1 - air)
    amount = -0.35 * np.sin(np.pi * np.clip(phase / crouch, 0, 1)) + 0.22 * np.sin(
        np.pi * air
    ) * np.sign(air)
    squash(motion, amount * rng.uniform(0.5, 1.1), body)
    motion[:, TX] += rng.normal(0, 0.06) * u
    return motion


def move(dx: int, dy: int) -> Program:
    """Moves along an axis, about as far as there is room."""

    def program(u: Array, body: Body, rng: Rng) -> Array:
        motion, way = still(u), ease(u, rng)
        room = {(-1, 0): body.room_left, (1, 0): body.room_right, (0, -1): body.room_up}.get(
            (dx, dy), body.room_down
        )
        distance = np.clip(room * rng.uniform(0.7, 1.15), 0.35, 1.3) * rng.uniform(0.7, 1.0)
        motion[:, TX] += dx * distance * way
        motion[:, TY] += dy * distance * way
        if dx and rng.random() < 0.5:
            motion[:, TY] -= rng.uniform(0.01, 0.05) * np.abs(
                np.sin(np.pi * rng.uniform(2, 4.5) * u)
            )
        motion[:, SHEAR] += -dx * rng.uniform(0, 0.12) * np.sin(np.pi * u)
        return motion

    return program


def spin(u: Array, body: Body, rng: Rng) -> Array:
    """Turns in the picture's plane, either way."""
    motion = still(u)
    motion[:, ANGLE] = rng.choice([-1, 1]) * rng.uniform(0.8, 2.2) * np.pi * ease(u, rng)
    return motion


def closer(u: Array, body: Body, rng: Rng) -> Array:
    """Grows as if approaching the camera."""
    motion = still(u)
    most = np.log(1.7 / max(body.half_height, body.half_width, 0.2))
    motion[:, LOG_SCALE] = np.clip(rng.uniform(0.35, 0.9), 0.3, max(most, 0.35)) * ease(u, rng)
    motion[:, TY] = rng.uniform(0.0, 0.15) * u
    return motion


def away(u: Array, body: Body, rng: Rng) -> Array:
    """Shrinks as if leaving the camera."""
    motion = still(u)
    motion[:, LOG_SCALE] = -rng.uniform(0.45, 1.2) * ease(u, rng)
    motion[:, TY] = -rng.uniform(0.0, 0.2) * u
    return motion


def fall(u: Array, body: Body, rng: Rng) -> Array:
    """Falls with constant acceleration, possibly turning, possibly out of the frame."""
    motion = still(u)
    distance = max(0.5, body.room_down * rng.uniform(0.9, 1.3)) + rng.uniform(0, 0.4)
    delay = rng.uniform(0, 0.2)
    motion[:, TY] = distance * np.clip((u - delay) / (1 - delay), 0, 1) ** 2
    motion[:, ANGLE] = rng.normal(0, 0.5) * u * u
    motion[:, STRETCH] = 0.12 * u
    return motion


def bounce(u: Array, body: Body, rng: Rng) -> Array:
    """Hops that lose height, squashed at each landing."""
    motion = still(u)
    drop = float(np.clip(body.room_down * rng.uniform(0.5, 0.95), 0.2, 0.9))
    keep, bounces = rng.uniform(0.5, 0.85), rng.integers(3, 6)
    lengths = np.array([0.5, *np.sqrt(keep ** np.arange(1, bounces))])
    edges = np.concatenate([[0.0], np.cumsum(lengths) / lengths.sum()])
    lane = np.clip(np.searchsorted(edges, u, side="right") - 1, 0, bounces - 1)
    phase = (u - edges[lane]) / (edges[lane + 1] - edges[lane])
    height = drop * keep**lane
    rest = np.where(lane == 0, height * (1 - phase**2), height * 4 * phase * (1 - phase))
    motion[:, TY] = drop - rest
    contact = np.exp(-((np.minimum(rest, 1) / 0.07) ** 2)) * (u > 0.02)
    squash(motion, -0.4 * contact * rng.uniform(0.5, 1.0), body)
    return motion


def swing(u: Array, body: Body, rng: Rng) -> Array:
    """Swings as a pendulum fixed at or above the object's top."""
    motion, arm = still(u), body.half_height + rng.uniform(0.0, 0.5)
    angle = (
        rng.choice([-1, 1])
        * rng.uniform(0.25, 0.65)
        * np.sin(2 * np.pi * rng.uniform(0.9, 2.2) * u)
    )
    motion[:, ANGLE] = angle
    motion[:, TX] = -arm * np.sin(angle)
    motion[:, TY] = arm * (np.cos(angle) - 1)
    return motion


def vanish(u: Array, body: Body, rng: Rng) -> Array:
    """Fades until only the background is left."""
    motion = still(u)
    motion[:, FADE] = np.clip(u / rng.uniform(0.6, 1.0), 0, 1)
    return motion


def stay(u: Array, body: Body, rng: Rng) -> Array:
    """Does not move."""
    return still(u)


VERBS = (
    Verb(
        "jump", jump, start=(0, 1), speed=0.7,
        wordings=("{} jumping", "{} jumps", "{} jumps up", "{} hops", "{} is leaping up and down"),
    ),
    Verb(
        "left", move(-1, 0), start=(1, 0),
        wordings=("{} moves left", "{} moving to the left", "{} goes left",
                  "{} slides to the left", "{} walks left", "{} runs to the left"),
    ),
    Verb(
        "right", move(1, 0), start=(-1, 0),
        wordings=("{} moves right", "{} moving to the right", "{} goes right",
                  "{} slides to the right", "{} walks right", "{} runs to the right"),
    ),
    Verb(
        "up", move(0, -1), start=(0, 1),
        wordings=("{} moves up", "{} rises", "{} flies up", "{} floats upwards", "{} lifts off"),
    ),
    Verb(
        "down", move(0, 1), start=(0, -1),
        wordings=("{} moves down", "{} sinks", "{} goes down", "{} slides downwards"),
    ),
    Verb(
        "spin", spin, speed=0.6, half_size=(0.32, 0.5),
        wordings=("{} spinning", "{} spins", "{} rotates", "{} turns around", "{} twirls"),
    ),
    Verb(
        "closer", closer, half_size=(0.2, 0.32),
        wordings=("{} coming closer", "{} comes closer", "{} approaches", "{} grows",
                  "{} gets bigger"),
    ),
    Verb(
        "away", away, half_size=(0.4, 0.55),
        wordings=("{} going away", "{} goes away", "{} leaves into the distance", "{} shrinks",
                  "{} gets smaller"),
    ),
    Verb(
        "fall", fall, start=(0, -1),
        wordings=("{} falling", "{} falls", "{} falls down", "{} drops", "{} tumbles down"),
    ),
    Verb(
        "bounce", bounce, start=(0, -1), speed=0.5,
        wordings=("{} bouncing", "{} bounces", "{} bounces on the ground",
                  "{} bouncing like a ball"),
    ),
    Verb(
        "swing", swing, speed=0.7,
        wordings=("{} swinging", "{} swings", "{} swings from side to side",
                  "{} dangles to and fro"),
    ),
    Verb(
        "vanish", vanish,
        wordings=("{} disappears", "{} fades away", "{} vanishes", "{} becomes invisible"),
    ),
    Verb(
        "stay", stay,
        wordings=("{} stands still", "{} does not move", "{} stays where it is",
                  "a still picture of {}"),
    ),
)  # fmt: skip
"""The verbs of shapes."""
