"""Motion programs of objects and camera: what the verbs of `verbs` do.

A program turns the clip's normalised time u (F,) in [0, 1] into motion channels (F, 26), zero at
u = 0, where the clip is the picture itself. The channel layout is that of `fbridge.codecs.render`.
Lengths are in *frame units*: x to the right, y down, the picture's area is 4 (its half width times
half height is 1), so that a motion does not depend on resolution. Angles are radians, clockwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
CHANNELS = 26
TX, TY, LOG_SCALE, ANGLE, STRETCH, SHEAR, GAIN, FADE = range(8)
BEND = slice(8, 26)


@dataclass(frozen=True)
class Body:
    """What a program may know of the object it moves (frame units)."""

    half_width: float
    half_height: float
    room_left: float
    room_right: float
    room_up: float
    room_down: float


def still(u: Array) -> Array:
    """The motion of a picture that stays as it is: (F, 26) zeros."""
    return np.zeros((len(u), CHANNELS))


def _ease(u: Array, rng: np.random.Generator) -> Array:
    """A monotone profile from 0 to 1: steady, starting slowly, or slow at both ends."""
    kind = rng.integers(3)
    if kind == 0:
        return u
    if kind == 1:
        return u ** rng.uniform(1.3, 2.2)
    return u * u * (3 - 2 * u)


def _squash(motion: Array, amount: Array, body: Body) -> None:
    """Stretch vertically by exp(amount / 2) at constant area with the feet kept in place."""
    motion[:, STRETCH] += amount
    motion[:, TY] -= body.half_height * (np.exp(amount / 2) - 1)


def _grid(motion: Array, field: Callable[[Array, Array], tuple[Array, Array]]) -> None:
    """Add a bending: field(x, y) -> (dx, dy), each (F, 9), at 3 x 3 points in [-1, 1]."""
    y, x = np.meshgrid([-1.0, 0.0, 1.0], [-1.0, 0.0, 1.0], indexing="ij")
    dx, dy = field(x.reshape(1, 9), y.reshape(1, 9))
    motion[:, BEND] += np.concatenate([dx, dy], axis=1)


def jump(u: Array, body: Body, rng: np.random.Generator) -> Array:
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
    _squash(motion, amount * rng.uniform(0.5, 1.1), body)
    motion[:, TX] += rng.normal(0, 0.06) * u
    return motion


def move(dx: int, dy: int) -> Callable[[Array, Body, np.random.Generator], Array]:
    """Go somewhere, as far as there is room."""

    def program(u: Array, body: Body, rng: np.random.Generator) -> Array:
        motion, way = still(u), _ease(u, rng)
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


def roll(sign: int) -> Callable[[Array, Body, np.random.Generator], Array]:
    """Move sideways turning as a wheel on the ground does."""

    def program(u: Array, body: Body, rng: np.random.Generator) -> Array:
        motion = move(sign, 0)(u, body, rng)
        motion[:, [TY, SHEAR]] = 0
        motion[:, ANGLE] = motion[:, TX] / max(body.half_height, 0.15)
        return motion

    return program


def spin(u: Array, body: Body, rng: np.random.Generator) -> Array:
    """Turn in the plane, either way round."""
    motion = still(u)
    motion[:, ANGLE] = rng.choice([-1, 1]) * rng.uniform(0.8, 2.2) * np.pi * _ease(u, rng)
    return motion


def closer(u: Array, body: Body, rng: np.random.Generator) -> Array:
    """Grow as if coming towards the camera."""
    motion = still(u)
    most = np.log(1.7 / max(body.half_height, body.half_width, 0.2))
    motion[:, LOG_SCALE] = np.clip(rng.uniform(0.35, 0.9), 0.3, max(most, 0.35)) * _ease(u, rng)
    motion[:, TY] = rng.uniform(0.0, 0.15) * u
    return motion


def away(u: Array, body: Body, rng: np.random.Generator) -> Array:
    """Shrink as if leaving the camera."""
    motion = still(u)
    motion[:, LOG_SCALE] = -rng.uniform(0.45, 1.2) * _ease(u, rng)
    motion[:, TY] = -rng.uniform(0.0, 0.2) * u
    return motion


def shake(u: Array, body: Body, rng: np.random.Generator) -> Array:
    """Tremble from side to side."""
    motion, turns, phase = still(u), rng.uniform(3.0, 6.0), np.minimum(1, 6 * u)
    swing = phase * np.sin(2 * np.pi * turns * u)
    motion[:, TX] = rng.uniform(0.03, 0.09) * swing
    motion[:, ANGLE] = rng.uniform(-0.14, 0.14) * swing
    _grid(motion, lambda x, y: (-0.05 * swing[:, None] * y + 0 * x, 0 * swing[:, None] * x))
    return motion


def fall(u: Array, body: Body, rng: np.random.Generator) -> Array:
    """Drop with gravity, perhaps tumbling, perhaps out of sight."""
    motion = still(u)
    distance = max(0.5, body.room_down * rng.uniform(0.9, 1.3)) + rng.uniform(0, 0.4)
    delay = rng.uniform(0, 0.2)
    motion[:, TY] = distance * np.clip((u - delay) / (1 - delay), 0, 1) ** 2
    motion[:, ANGLE] = rng.normal(0, 0.5) * u * u
    motion[:, STRETCH] = 0.12 * u
    return motion


def bounce(u: Array, body: Body, rng: np.random.Generator) -> Array:
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
    _squash(motion, -0.4 * contact * rng.uniform(0.5, 1.0), body)
    return motion


def swing(u: Array, body: Body, rng: np.random.Generator) -> Array:
    """A pendulum hung somewhat above the object's top."""
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


def sway(u: Array, body: Body, rng: np.random.Generator) -> Array:
    """Bend like a tree in the wind, the foot at rest."""
    motion = still(u)
    lean = rng.uniform(0.15, 0.4) * np.sin(2 * np.pi * rng.uniform(1.0, 2.5) * u)
    lean *= rng.choice([-1, 1]) * body.half_width
    _grid(motion, lambda x, y: (lean[:, None] * ((1 - y) / 2) ** 2 + 0 * x, 0 * lean[:, None] * x))
    return motion


def wobble(u: Array, body: Body, rng: np.random.Generator) -> Array:
    """Quiver like jelly: squash and stretch with the middle swinging."""
    motion, turns = still(u), rng.uniform(2.0, 4.0)
    wave = np.sin(2 * np.pi * turns * u)
    _squash(motion, rng.uniform(0.12, 0.3) * wave, body)
    side = rng.uniform(0.05, 0.2) * body.half_width * np.sin(2 * np.pi * turns * u + 0.8) * (u > 0)
    _grid(motion, lambda x, y: (side[:, None] * (1 - y * y) + 0 * x, 0 * side[:, None] * x))
    return motion


def vanish(u: Array, body: Body, rng: np.random.Generator) -> Array:
    """Fade until only what was behind is left."""
    motion = still(u)
    motion[:, FADE] = np.clip(u / rng.uniform(0.6, 1.0), 0, 1)
    return motion


def glow(u: Array, body: Body, rng: np.random.Generator) -> Array:
    """Grow brighter, steadily or pulsing."""
    motion = still(u)
    wave = _ease(u, rng) if rng.random() < 0.5 else np.sin(np.pi * rng.uniform(1, 3) * u) ** 2
    motion[:, GAIN] = rng.uniform(0.3, 0.7) * wave
    return motion


def stay(u: Array, body: Body, rng: np.random.Generator) -> Array:
    """Nothing happens."""
    return still(u)


def pan(dx: int, dy: int) -> Callable[[Array, Body, np.random.Generator], Array]:
    """Turn the camera: the scene goes the other way."""

    def program(u: Array, body: Body, rng: np.random.Generator) -> Array:
        motion, way = still(u), rng.uniform(0.25, 0.65) * _ease(u, rng)
        motion[:, TX], motion[:, TY] = -dx * way, -dy * way
        return motion

    return program


def zoom(sign: int) -> Callable[[Array, Body, np.random.Generator], Array]:
    """Come nearer or draw back."""

    def program(u: Array, body: Body, rng: np.random.Generator) -> Array:
        motion, most = still(u), rng.uniform(0.3, 0.75) if sign > 0 else rng.uniform(0.2, 0.45)
        motion[:, LOG_SCALE] = sign * most * _ease(u, rng)
        return motion

    return program


def turn(sign: int) -> Callable[[Array, Body, np.random.Generator], Array]:
    """Roll the camera; sign 0 is either way."""

    def program(u: Array, body: Body, rng: np.random.Generator) -> Array:
        motion, way = still(u), rng.uniform(0.25, 0.8) * _ease(u, rng)
        motion[:, ANGLE] = -(sign or rng.choice([-1, 1])) * way
        motion[:, LOG_SCALE] = 0.35 * np.abs(np.sin(way))
        return motion

    return program


def handheld(u: Array, body: Body, rng: np.random.Generator) -> Array:
    """A camera held in the hand."""
    motion = still(u)
    for channel, size in ((TX, 0.06), (TY, 0.06), (ANGLE, 0.04)):
        for turns in (1.3, 2.9, 5.1):
            wave = np.sin(2 * np.pi * turns * rng.uniform(0.8, 1.2) * u)
            motion[:, channel] += size * rng.normal() / turns**0.5 * wave
    motion[:, LOG_SCALE] = 0.05 * np.minimum(1, 5 * u)
    return motion


def ripple(u: Array, body: Body, rng: np.random.Generator) -> Array:
    """Reflections in moving water."""
    motion, turns, size = still(u), rng.uniform(1.0, 2.5), rng.uniform(0.02, 0.06)
    phase = 2 * np.pi * turns * u[:, None]
    _grid(
        motion,
        lambda x, y: (
            size * (np.sin(phase + 2.2 * y + x) - np.sin(2.2 * y + x)),
            0.6 * size * (np.sin(phase + 2.2 * x) - np.sin(2.2 * x)),
        ),
    )
    return motion


def dim(sign: int) -> Callable[[Array, Body, np.random.Generator], Array]:
    """The light fades or grows."""

    def program(u: Array, body: Body, rng: np.random.Generator) -> Array:
        motion = still(u)
        size = rng.uniform(0.8, 1.8) if sign < 0 else rng.uniform(0.25, 0.5)
        motion[:, GAIN] = sign * size * _ease(u, rng)
        return motion

    return program
