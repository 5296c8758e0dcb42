"""Motions of composed scenes beyond those of shapes: more of objects, and those of the camera.

Times, channels and units are those of `fbridge.data.shape_motions`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fbridge.data.shape_motions import (
    ANGLE,
    GAIN,
    LOG_SCALE,
    SHEAR,
    TX,
    TY,
    Array,
    Body,
    Program,
    Rng,
    ease,
    move,
    squash,
    still,
)

_BEND = slice(8, 26)


def _bend(motion: Array, field: Callable[[Array, Array], tuple[Array, Array]]) -> None:
    """Add displacements field(x, y) -> (dx, dy), each (F, 9), of 3 x 3 points in [-1, 1]."""
    y, x = np.meshgrid([-1.0, 0.0, 1.0], [-1.0, 0.0, 1.0], indexing="ij")
    dx, dy = field(x.reshape(1, 9), y.reshape(1, 9))
    motion[:, _BEND] += np.concatenate([dx, dy], axis=1)


def roll(sign: int) -> Program:
    """Move sideways turning as a wheel on the ground does."""

    def program(u: Array, body: Body, rng: Rng) -> Array:
        motion = move(sign, 0)(u, body, rng)
        motion[:, [TY, SHEAR]] = 0
        motion[:, ANGLE] = motion[:, TX] / max(body.half_height, 0.15)
        return motion

    return program


def shake(u: Array, body: Body, rng: Rng) -> Array:
    """Tremble from side to side."""
    motion, turns, phase = still(u), rng.uniform(3.0, 6.0), np.minimum(1, 6 * u)
    swing = phase * np.sin(2 * np.pi * turns * u)
    motion[:, TX] = rng.uniform(0.03, 0.09) * swing
    motion[:, ANGLE] = rng.uniform(-0.14, 0.14) * swing
    _bend(motion, lambda x, y: (-0.05 * swing[:, None] * y + 0 * x, 0 * swing[:, None] * x))
    return motion


def sway(u: Array, body: Body, rng: Rng) -> Array:
    """Bend like a tree in the wind, the foot at rest."""
    motion = still(u)
    lean = rng.uniform(0.15, 0.4) * np.sin(2 * np.pi * rng.uniform(1.0, 2.5) * u)
    lean *= rng.choice([-1, 1]) * body.half_width
    _bend(motion, lambda x, y: (lean[:, None] * ((1 - y) / 2) ** 2 + 0 * x, 0 * lean[:, None] * x))
    return motion


def wobble(u: Array, body: Body, rng: Rng) -> Array:
    """Quiver like jelly: squash and stretch with the middle swinging."""
    motion, turns = still(u), rng.uniform(2.0, 4.0)
    wave = np.sin(2 * np.pi * turns * u)
    squash(motion, rng.uniform(0.12, 0.3) * wave, body)
    side = rng.uniform(0.05, 0.2) * body.half_width * np.sin(2 * np.pi * turns * u + 0.8) * (u > 0)
    _bend(motion, lambda x, y: (side[:, None] * (1 - y * y) + 0 * x, 0 * side[:, None] * x))
    return motion


def glow(u: Array, body: Body, rng: Rng) -> Array:
    """Grow brighter, steadily or pulsing."""
    motion = still(u)
    wave = ease(u, rng) if rng.random() < 0.5 else np.sin(np.pi * rng.uniform(1, 3) * u) ** 2
    motion[:, GAIN] = rng.uniform(0.3, 0.7) * wave
    return motion


def pan(dx: int, dy: int) -> Program:
    """Turn the camera: the scene goes the other way."""

    def program(u: Array, body: Body, rng: Rng) -> Array:
        motion, way = still(u), rng.uniform(0.25, 0.65) * ease(u, rng)
        motion[:, TX], motion[:, TY] = -dx * way, -dy * way
        return motion

    return program


def zoom(sign: int) -> Program:
    """Come nearer or draw back."""

    def program(u: Array, body: Body, rng: Rng) -> Array:
        motion, most = still(u), rng.uniform(0.3, 0.75) if sign > 0 else rng.uniform(0.2, 0.45)
        motion[:, LOG_SCALE] = sign * most * ease(u, rng)
        return motion

    return program


def turn(sign: int) -> Program:
    """Roll the camera; sign 0 is either way."""

    def program(u: Array, body: Body, rng: Rng) -> Array:
        motion, way = still(u), rng.uniform(0.25, 0.8) * ease(u, rng)
        motion[:, ANGLE] = -(sign or rng.choice([-1, 1])) * way
        motion[:, LOG_SCALE] = 0.35 * np.abs(np.sin(way))
        return motion

    return program


def handheld(u: Array, body: Body, rng: Rng) -> Array:
    """A camera held in the hand."""
    motion = still(u)
    for channel, size in ((TX, 0.06), (TY, 0.06), (ANGLE, 0.04)):
        for turns in (1.3, 2.9, 5.1):
            wave = np.sin(2 * np.pi * turns * rng.uniform(0.8, 1.2) * u)
            motion[:, channel] += size * rng.normal() / turns**0.5 * wave
    motion[:, LOG_SCALE] = 0.05 * np.minimum(1, 5 * u)
    return motion


def ripple(u: Array, body: Body, rng: Rng) -> Array:
    """Reflections in moving water."""
    motion, turns, size = still(u), rng.uniform(1.0, 2.5), rng.uniform(0.02, 0.06)
    phase = 2 * np.pi * turns * u[:, None]
    _bend(
        motion,
        lambda x, y: (
            size * (np.sin(phase + 2.2 * y + x) - np.sin(2.2 * y + x)),
            0.6 * size * (np.sin(phase + 2.2 * x) - np.sin(2.2 * x)),
        ),
    )
    return motion


def dim(sign: int) -> Program:
    """The light fades or grows."""

    def program(u: Array, body: Body, rng: Rng) -> Array:
        motion = still(u)
        size = rng.uniform(0.8, 1.8) if sign < 0 else rng.uniform(0.25, 0.5)
        motion[:, GAIN] = sign * size * ease(u, rng)
        return motion

    return program
