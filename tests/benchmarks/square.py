"""Videos of a textured square over a textured ground."""

from __future__ import annotations

import math
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
HEIGHT, WIDTH, SIDE, FRAMES = 120, 160, 44, 13
LEFT, TOP = 60, 40
BOX = (LEFT / WIDTH, TOP / HEIGHT, (LEFT + SIDE) / WIDTH, (TOP + SIDE) / HEIGHT)
WAVE = np.sin(np.linspace(0, math.pi, FRAMES))
"""From rest and back."""


@cache
def texture(seed: int, height: int, width: int, low: int, high: int) -> Picture:
    """Blurred noise, whose corners can be followed."""
    noise = np.random.default_rng(seed).uniform(size=(height, width, 3)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 1.5)
    return (low + (high - low) * (soft - soft.min()) / np.ptp(soft)).astype(np.uint8)


def ground() -> Picture:
    return texture(0, HEIGHT, WIDTH, 0, 130)


def scene(right: float = 0, down: float = 0, scale: float = 1, turn: float = 0) -> Picture:
    """The square on its ground, moved by pixels, a scale, and radians clockwise."""
    square = texture(1, SIDE, SIDE, 125, 255)
    middle = np.array([SIDE / 2 - 0.5, SIDE / 2 - 0.5])
    linear = scale * np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    place = np.array([LEFT, TOP]) + middle + [right, down]
    matrix = np.column_stack([linear, place - linear @ middle])
    size = (WIDTH, HEIGHT)
    drawn = cv2.warpAffine(square, matrix, size, borderMode=cv2.BORDER_REPLICATE)
    alpha = cv2.warpAffine(np.ones((SIDE, SIDE), np.float32), matrix, size)[..., None]
    return (alpha * drawn + (1 - alpha) * ground()).round().astype(np.uint8)


def video(**most: float) -> list[Picture]:
    """To the most and back."""
    return [scene(**{name: value * share for name, value in most.items()}) for share in WAVE]


def growing(scale: float) -> list[Picture]:
    return [scene(scale=1 + (scale - 1) * share) for share in WAVE]


def mask() -> Picture:
    inside = np.zeros((HEIGHT, WIDTH), np.uint8)
    inside[TOP : TOP + SIDE, LEFT : LEFT + SIDE] = 1
    return inside
