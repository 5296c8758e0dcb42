"""Whether a measured motion is the one that the prompt asks for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Series = NDArray[np.float64]
"""(F,): a number for each frame."""
Verdict = Literal["right", "hardly", "wrong"]

LEAST_SHIFT = 0.04
"""Heights of the picture."""
LEAST_GROWTH = math.log(1.08)
LEAST_TURN = 0.5
"""Radians, for a spin."""
_SHAKE = {"shift": 0.015, "turn": 0.05, "back": 0.004, "turn back": 0.015, "times": 2}
_SWING = {"shift": LEAST_SHIFT, "turn": 0.2, "back": 0.01, "turn back": 0.05, "times": 1}
"""Least extent in heights and radians, what counts as a turn back, and how often it must."""

LEAST_RIGID, MOST_DRAGGED, MOST_GHOST = 0.7, 0.15, 0.2
"""Shares between which a video that goes as asked is clean."""

_TOWARDS = {
    "jump": ("down", -1, LEAST_SHIFT),
    "fall": ("down", 1, LEAST_SHIFT),
    "left": ("right", -1, LEAST_SHIFT),
    "right": ("right", 1, LEAST_SHIFT),
    "closer": ("growth", 1, LEAST_GROWTH),
    "away": ("growth", -1, LEAST_GROWTH),
    "zoom in": ("growth", 1, LEAST_GROWTH),
    "zoom out": ("growth", -1, LEAST_GROWTH),
    "pan left": ("right", 1, LEAST_SHIFT),
    "pan right": ("right", -1, LEAST_SHIFT),
    "tilt up": ("down", 1, LEAST_SHIFT),
}
"""For each verb with a direction: what moves, which way, and how far at least.

When the camera turns, the picture goes the other way.
"""


class Motion(NamedTuple):
    """A thing's motion from the first frame on.

    Attributes:
        right, down: of its centre, in heights of the picture.
        growth: natural logarithm of its scale.
        turn: clockwise, in radians; whole turns are counted.
    """

    right: Series
    down: Series
    growth: Series
    turn: Series

    @classmethod
    def of_path(cls, path: Series, centre: Series, height: int) -> Motion:
        """From similarities (F, 2, 3) and the place of the thing in the first frame, in pixels."""
        places = path[:, :, :2] @ centre + path[:, :, 2]
        shift = (places - places[0]) / height
        across, along = path[:, 0, 0], path[:, 1, 0]
        growth = np.log(np.hypot(across, along).clip(1e-3))
        return cls(shift[:, 0], shift[:, 1], growth, np.unwrap(np.arctan2(along, across)))

    def amount(self, radius: float) -> Series:
        """How far a point at a radius of the thing moves at most, in heights, in each frame."""
        turned = np.abs(2 * np.sin(self.turn.clip(-math.pi, math.pi) / 2))
        grown = np.abs(np.exp(self.growth) - 1)
        amount: Series = np.hypot(self.right, self.down) + radius * (grown + turned)
        return amount


def judge(verb: str, motion: Motion) -> Verdict:
    """Whether a motion is that of a verb of `benchmarks.judge.prompts`.

    Verbs without a direction (spin, shake, swing) are never "wrong", only "hardly" done.
    """
    if verb in _TOWARDS:
        name, sign, least = _TOWARDS[verb]
        return _towards(sign * getattr(motion, name), least)
    if verb == "spin":
        return "right" if np.ptp(motion.turn) >= LEAST_TURN else "hardly"
    limits = {"shake": _SHAKE, "swing": _SWING}[verb]
    far = max(np.ptp(motion.right), np.ptp(motion.down)) >= limits["shift"]
    turned = np.ptp(motion.turn) >= limits["turn"]
    shifts = [motion.right, motion.down] if verb == "shake" else [motion.right]
    times = [reversals(series, limits["back"]) for series in shifts]
    times.append(reversals(motion.turn, limits["turn back"]))
    return "right" if (far or turned) and max(times) >= limits["times"] else "hardly"


def _towards(series: Series, least: float) -> Verdict:
    """Of a series that should rise."""
    asked, other = series.max(), -series.min()
    if asked >= max(least, other):
        return "right"
    return "wrong" if other >= least else "hardly"


def reversals(series: Series, least: float) -> int:
    """How often a series turns back by more than `least`."""
    count, extreme, way = 0, float(series[0]), 0
    for value in series[1:].tolist():
        if abs(value - extreme) > least and (value - extreme) * way <= 0:
            count += way != 0
            extreme, way = value, 1 if value > extreme else -1
        elif (value - extreme) * way > 0:
            extreme = value
    return count


def faults(row: Mapping[str, Any]) -> list[str]:
    """What keeps a measured video from being clean; none of a clean one.

    What cannot be measured counts as a fault of the thing, and as none of the ground.
    """
    if row["verdict"] != "right":
        return ["moves the wrong way" if row["verdict"] == "wrong" else "hardly moves"]
    found = {
        "thing torn": (row["rigid"] or 0) < LEAST_RIGID,
        "ground dragged": (row["bg_dragged"] or 0) > MOST_DRAGGED,
        "ghost left": (row["ghost"] or 0) > MOST_GHOST,
    }
    return [fault for fault, applies in found.items() if applies]
