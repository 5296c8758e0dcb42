"""Scenes without pixels: where things are in a frame, what they shall do, and one way to do it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from examples.embedded.scenes.motions import CAMERA_PROGRAMS, OBJECT_PROGRAMS
from fbridge.codecs.render import CHANNELS, half_size
from fbridge.codecs.scenes.describe import OBJECTS, SLOTS, Deed
from fbridge.data.shape_motions import Body

Rng = np.random.Generator
SPEEDS = (0.45, 0.5, 0.6, 1.5)
_FRAME = Body(1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
_CELLS = 24
"""Square root of the number of cells of a mask."""


@dataclass(frozen=True)
class Scene:
    """Masks (2, h, w) of the things, their boxes, and the deeds of both and of the camera."""

    masks: NDArray[np.float32]
    bodies: tuple[Body | None, ...]
    deeds: tuple[Deed | None, ...]


def draw_aspect(rng: Rng) -> tuple[int, int]:
    """(height, width) of the masks for a usual frame, upright or not."""
    aspect = float(rng.choice([1.0, 4 / 3, 3 / 2, 16 / 9])) ** float(rng.choice([-1, 1, 1]))
    return round(_CELLS / aspect**0.5), round(_CELLS * aspect**0.5)


def draw_scene(rng: Rng, cells: tuple[int, int]) -> Scene:
    """No thing, one or two, each with a verb; the camera moves in a third of the scenes."""
    number = int(rng.choice([0, 1, 2], p=[0.1, 0.65, 0.25]))
    masks = np.zeros((OBJECTS, *cells), np.float32)
    bodies: list[Body | None] = [None] * OBJECTS
    deeds: list[Deed | None] = [None] * SLOTS
    for slot in range(number):
        masks[slot], bodies[slot] = _thing(rng, cells, large=number == 1)
        deeds[slot] = _deed(rng, tuple(OBJECT_PROGRAMS))
    masks[1] *= 1 - masks[0]
    moving = number == 0 or rng.random() < 0.3
    deeds[OBJECTS] = _deed(rng, tuple(CAMERA_PROGRAMS)) if moving else ("static", 1.0)
    return Scene(masks, tuple(bodies), tuple(deeds))


def draw_motion(scene: Scene, num_frames: int, rng: Rng) -> NDArray[np.float64]:
    """(F, 3, 26): one of the motions that the deeds allow; objects first, then the camera."""
    u = np.linspace(0.0, 1.0, num_frames)
    whole = np.zeros((num_frames, SLOTS, CHANNELS))
    for slot, (deed, body) in enumerate(zip(scene.deeds, (*scene.bodies, _FRAME), strict=True)):
        if deed is None or body is None:
            continue
        programs = CAMERA_PROGRAMS if slot == OBJECTS else OBJECT_PROGRAMS
        whole[:, slot] = programs[deed[0]](np.minimum(u * deed[1], 1), body, rng)
    return whole


def motions(scenes: Sequence[Scene], num_frames: int, rng: Rng) -> Tensor:
    """(N, F, 3, 26) float32: one motion of each scene."""
    drawn = [draw_motion(scene, num_frames, rng) for scene in scenes]
    return torch.from_numpy(np.stack(drawn)).float()


def _deed(rng: Rng, verbs: tuple[str, ...]) -> Deed:
    speed = float(rng.choice(SPEEDS)) if rng.random() < 0.2 else 1.0
    return verbs[rng.integers(len(verbs))], speed


def _thing(rng: Rng, cells: tuple[int, int], *, large: bool) -> tuple[NDArray[np.float32], Body]:
    """A soft superellipse somewhere in the frame, and the part of its box that shows."""
    height, width = cells
    half_w, half_h = half_size(height, width)
    most = 1.3 if large and rng.random() < 0.4 else 0.7
    size = np.exp(rng.uniform(np.log(0.15), np.log(most)))
    shape = np.exp(rng.normal(0, 0.35))
    a, b = size * shape**0.5, size / shape**0.5
    x = rng.uniform(-1, 1) * max(half_w - 0.7 * a, 0.2 * half_w)
    y = rng.uniform(-1, 1) * max(half_h - 0.7 * b, 0.2 * half_h)
    if rng.random() < 0.25:  # stands on the frame's lower edge or is cut by it
        y = half_h - b * rng.uniform(0.6, 1.0)
    gx = (np.arange(width) + 0.5) / width * 2 * half_w - half_w
    gy = (np.arange(height) + 0.5) / height * 2 * half_h - half_h
    power = rng.uniform(1.6, 5.0)
    far = np.abs((gx[None] - x) / a) ** power + np.abs((gy[:, None] - y) / b) ** power
    mask = np.clip((1 - far ** (1 / power)) * _CELLS * size / 2 + 0.5, 0, 1)
    left, right = max(x - a, -half_w), min(x + a, half_w)
    top, bottom = max(y - b, -half_h), min(y + b, half_h)
    body = Body(
        (right - left) / 2, (bottom - top) / 2,
        left + half_w, half_w - right, top + half_h, half_h - bottom,
    )  # fmt: skip
    return mask.astype(np.float32), body
