"""How things and cameras move: a program for each verb that the embedded model knows.

Times, channels and units are those of `fbridge.data.shape_motions`. A thing is a photograph's
cut-out here, so a program keeps it whole: squash and stretch only where it touches the ground,
amplitudes that stay within the frame, feet that keep their ground.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fbridge.data.shape_motions import (
    ANGLE,
    FADE,
    GAIN,
    LOG_SCALE,
    TX,
    TY,
    Array,
    Body,
    Program,
    Rng,
    squash,
    still,
)

BEND = slice(8, 26)


def ease(u: Array, rng: Rng) -> Array:
    """A monotone profile from 0 to 1 that begins at rest; most also end at rest."""
    if rng.random() < 0.3:
        return u ** rng.uniform(1.3, 1.8)
    power = rng.uniform(1.0, 1.5)
    smooth = u * u * (3 - 2 * u)
    return smooth**power


def _hops(u: Array, count: int, crouch: float) -> tuple[Array, Array]:
    """Height of hops in [0, 1] and how far the body is pressed down in [0, 1], at times u."""
    phase = np.where(u < 1, (u * count) % 1.0, 0.0)
    air = np.clip((phase - crouch) / (1 - 2 * crouch), 0, 1)
    ground = np.where(phase < crouch, phase / crouch, (1 - phase) / crouch).clip(0, 1)
    pressed = np.where((phase < crouch) | (phase > 1 - crouch), np.sin(np.pi * ground), 0.0)
    return 4 * air * (1 - air), pressed


def jump(u: Array, body: Body, rng: Rng) -> Array:
    """One to three hops; the body is pressed down before and after each, and whole in the air."""
    motion, count = still(u), int(rng.integers(1, 4))
    most = 0.9 * body.room_up + 0.35 * body.half_height
    height = np.clip(rng.uniform(0.5, 1.1) * body.half_height + 0.1, 0.2, max(0.22, most))
    height = min(height, 0.65) / count**0.3
    up, pressed = _hops(u, count, rng.uniform(0.1, 0.16))
    motion[:, TY] = -height * up
    squash(motion, -rng.uniform(0.1, 0.25) * pressed, body)
    return motion


def move(dx: int, dy: int) -> Program:
    """Move along an axis, about as far as there is room."""

    def program(u: Array, body: Body, rng: Rng) -> Array:
        motion, way = still(u), ease(u, rng)
        room = {(-1, 0): body.room_left, (1, 0): body.room_right, (0, -1): body.room_up}.get(
            (dx, dy), body.room_down
        )
        distance = float(np.clip(room * rng.uniform(0.55, 1.0), 0.25, 0.9))
        motion[:, TX] = dx * distance * way
        motion[:, TY] = dy * distance * way
        if dx and rng.random() < 0.3:
            steps = np.abs(np.sin(np.pi * rng.uniform(2, 4) * way))
            motion[:, TY] -= rng.uniform(0.01, 0.03) * steps
        return motion

    return program


def roll(sign: int) -> Program:
    """Move sideways turning as a wheel on the ground does."""

    def program(u: Array, body: Body, rng: Rng) -> Array:
        motion, way = still(u), ease(u, rng)
        room = body.room_left if sign < 0 else body.room_right
        motion[:, TX] = sign * float(np.clip(room * rng.uniform(0.55, 1.0), 0.25, 0.9)) * way
        motion[:, ANGLE] = motion[:, TX] / max(body.half_height, 0.15)
        return motion

    return program


def spin(u: Array, body: Body, rng: Rng) -> Array:
    """Turn in the picture's plane, either way, about half a turn to a turn and a half."""
    motion = still(u)
    motion[:, ANGLE] = rng.choice([-1, 1]) * rng.uniform(1.1, 2.6) * np.pi * ease(u, rng)
    return motion


def closer(u: Array, body: Body, rng: Rng) -> Array:
    """Grow as if approaching the camera, the feet coming down a little.

    What fills much of the frame grows less: it would soon cover all that stands still.
    """
    motion, way = still(u), ease(u, rng)
    fills = max(
        body.half_width / (body.half_width + (body.room_left + body.room_right) / 2),
        body.half_height / (body.half_height + (body.room_up + body.room_down) / 2),
    )
    most = float(np.clip(-0.5 * np.log(fills), 0.22, 0.6))
    motion[:, LOG_SCALE] = rng.uniform(0.8, 1.1) * most * way
    grown = np.exp(motion[:, LOG_SCALE]) - 1
    motion[:, TY] = -rng.uniform(0.3, 0.8) * body.half_height * grown
    return motion


def away(u: Array, body: Body, rng: Rng) -> Array:
    """Shrink as if leaving the camera, the feet rising a little towards the horizon."""
    motion, way = still(u), ease(u, rng)
    motion[:, LOG_SCALE] = -rng.uniform(0.35, 0.85) * way
    lost = 1 - np.exp(motion[:, LOG_SCALE])
    motion[:, TY] = rng.uniform(-0.2, 0.6) * body.half_height * lost
    return motion


def shake(u: Array, body: Body, rng: Rng) -> Array:
    """Tremble from side to side; of one rhythm, for a mean of several would be stillness."""
    motion = still(u)
    wave = np.sin(2 * np.pi * 4 * u) * np.minimum(1, 6 * u)
    motion[:, TX] = rng.uniform(0.035, 0.065) * wave
    motion[:, ANGLE] = rng.choice([-1, 1]) * rng.uniform(0.04, 0.1) * wave
    return motion


def fall(u: Array, body: Body, rng: Rng) -> Array:
    """Fall with constant acceleration to the frame's lower part, and stay there."""
    motion = still(u)
    distance = float(np.clip(body.room_down * rng.uniform(0.85, 1.05), 0.3, 1.3))
    delay, landing = rng.uniform(0, 0.15), rng.uniform(0.7, 1.0)
    motion[:, TY] = distance * np.clip((u - delay) / (landing - delay), 0, 1) ** 2
    motion[:, ANGLE] = rng.normal(0, 0.12) * motion[:, TY] / distance
    return motion


def bounce(u: Array, body: Body, rng: Rng) -> Array:
    """Hops that lose height, pressed down a little at each landing."""
    motion, count = still(u), int(rng.integers(3, 5))
    keep = rng.uniform(0.5, 0.8)
    lengths = np.sqrt(keep ** np.arange(count))
    edges = np.concatenate([[0.0], np.cumsum(lengths) / lengths.sum()])
    lane = np.clip(np.searchsorted(edges, u, side="right") - 1, 0, count - 1)
    phase = (u - edges[lane]) / (edges[lane + 1] - edges[lane])
    height = np.clip(rng.uniform(0.6, 1.2) * body.half_height + 0.1, 0.22, 0.6)
    up = keep**lane * 4 * phase * (1 - phase)
    motion[:, TY] = -height * up
    contact = np.exp(-((up / 0.12) ** 2)) * (u > 0.02) * (1 - u)
    squash(motion, -rng.uniform(0.1, 0.22) * contact, body)
    return motion


def swing(u: Array, body: Body, rng: Rng) -> Array:
    """Swing as a pendulum fixed at or above the top."""
    motion, arm = still(u), body.half_height + rng.uniform(0.0, 0.35)
    wave = np.sin(2 * np.pi * rng.uniform(1.0, 2.0) * u)
    angle = rng.choice([-1, 1]) * rng.uniform(0.25, 0.5) * wave
    motion[:, ANGLE] = angle
    motion[:, TX] = -arm * np.sin(angle)
    motion[:, TY] = arm * (np.cos(angle) - 1)
    return motion


def _bend(motion: Array, field: Callable[[Array, Array], tuple[Array, Array]]) -> None:
    """Add displacements field(x, y) -> (dx, dy), each (F, 9), of 3 x 3 points in [-1, 1]."""
    y, x = np.meshgrid([-1.0, 0.0, 1.0], [-1.0, 0.0, 1.0], indexing="ij")
    dx, dy = field(x.reshape(1, 9), y.reshape(1, 9))
    motion[:, BEND] += np.concatenate([dx, dy], axis=1)


def sway(u: Array, body: Body, rng: Rng) -> Array:
    """Bend like a tree in the wind, the foot at rest."""
    motion = still(u)
    wave = np.sin(2 * np.pi * rng.uniform(1.4, 1.6) * u)
    lean = rng.choice([-1, 1]) * rng.uniform(0.12, 0.3) * body.half_width * wave
    _bend(motion, lambda x, y: (lean[:, None] * ((1 - y) / 2) ** 2 + 0 * x, 0 * lean[:, None] * x))
    return motion


def wobble(u: Array, body: Body, rng: Rng) -> Array:
    """Quiver like jelly: squash and stretch with the foot at rest, fading out."""
    motion = still(u)
    fading = 1 - 0.6 * u
    wave = np.sin(2 * np.pi * rng.uniform(2.9, 3.1) * u) * fading
    squash(motion, rng.uniform(0.1, 0.22) * wave, body)
    side = rng.choice([-1, 1]) * rng.uniform(0.04, 0.12) * body.half_width * wave
    _bend(motion, lambda x, y: (side[:, None] * (1 - y * y) + 0 * x, 0 * side[:, None] * x))
    return motion


def vanish(u: Array, body: Body, rng: Rng) -> Array:
    """Fade until only the background is left."""
    motion = still(u)
    motion[:, FADE] = np.clip(u / rng.uniform(0.7, 1.0), 0, 1)
    return motion


def glow(u: Array, body: Body, rng: Rng) -> Array:
    """Grow brighter, steadily or pulsing."""
    motion = still(u)
    wave = ease(u, rng) if rng.random() < 0.5 else np.sin(np.pi * rng.uniform(1, 3) * u) ** 2
    motion[:, GAIN] = rng.uniform(0.25, 0.5) * wave
    return motion


def stay(u: Array, body: Body, rng: Rng) -> Array:
    """Do not move."""
    return still(u)


def pan(dx: int, dy: int) -> Program:
    """Turn the camera: the scene goes the other way."""

    def program(u: Array, body: Body, rng: Rng) -> Array:
        motion, way = still(u), rng.uniform(0.15, 0.35) * ease(u, rng)
        motion[:, TX], motion[:, TY] = -dx * way, -dy * way
        return motion

    return program


def zoom(sign: int) -> Program:
    """Come nearer or draw back, the latter only as far as the picture can be continued."""

    def program(u: Array, body: Body, rng: Rng) -> Array:
        motion, most = still(u), rng.uniform(0.2, 0.5) if sign > 0 else rng.uniform(0.13, 0.2)
        motion[:, LOG_SCALE] = sign * most * ease(u, rng)
        return motion

    return program


def turn(sign: int) -> Program:
    """Roll the camera; sign 0 is either way."""

    def program(u: Array, body: Body, rng: Rng) -> Array:
        motion, way = still(u), rng.uniform(0.15, 0.45) * ease(u, rng)
        motion[:, ANGLE] = -(sign or rng.choice([-1, 1])) * way
        return motion

    return program


def handheld(u: Array, body: Body, rng: Rng) -> Array:
    """A camera held in the hand."""
    motion = still(u)
    for channel, size in ((TX, 0.03), (TY, 0.03), (ANGLE, 0.015)):
        for turns in (1.3, 2.9):
            phase = 2 * np.pi * turns * rng.uniform(0.8, 1.2)
            motion[:, channel] += size * rng.normal() / turns**0.5 * np.sin(phase * u)
    return motion


def ripple(u: Array, body: Body, rng: Rng) -> Array:
    """Reflections in moving water."""
    motion, turns, size = still(u), rng.uniform(1.0, 2.5), rng.uniform(0.02, 0.05)
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


OBJECT_PROGRAMS: dict[str, Program] = {
    "jump": jump, "left": move(-1, 0), "right": move(1, 0), "up": move(0, -1), "down": move(0, 1),
    "spin": spin, "closer": closer, "away": away, "shake": shake, "fall": fall, "bounce": bounce,
    "swing": swing, "sway": sway, "wobble": wobble, "roll left": roll(-1), "roll right": roll(1),
    "vanish": vanish, "glow": glow, "stay": stay,
}  # fmt: skip
CAMERA_PROGRAMS: dict[str, Program] = {
    "pan left": pan(-1, 0), "pan right": pan(1, 0), "tilt up": pan(0, -1), "tilt down": pan(0, 1),
    "zoom in": zoom(1), "zoom out": zoom(-1), "rotate clockwise": turn(1),
    "rotate counterclockwise": turn(-1), "rotate": turn(0), "handheld": handheld, "ripple": ripple,
    "darken": dim(-1), "brighten": dim(1), "static": stay,
}  # fmt: skip
