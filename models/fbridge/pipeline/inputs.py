"""Inputs of the pipeline: broadcasting, pictures as tensors, class names, sizes."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fbridge.errors import ConfigError

Inputs = tuple[list[Image.Image], list[str], list[str], list[int]]
"""Pictures, prompts, negative prompts and seeds, one per video."""


def broadcast_inputs(
    image: Image.Image | Sequence[Image.Image],
    prompt: str | Sequence[str],
    negative: str | Sequence[str],
    seed: int | Sequence[int],
) -> Inputs:
    """Repeat single inputs to the number of videos.

    Raises:
        ConfigError: an input has neither one entry nor as many as the others.
    """
    columns: list[list[Any]] = [
        [column] if isinstance(column, (str, int, np.integer, Image.Image)) else list(column)
        for column in (image, prompt, negative, seed)
    ]
    rows = max(len(column) for column in columns)
    for name, column in zip(("image", "prompt", "negative_prompt", "seed"), columns, strict=True):
        if len(column) not in (1, rows):
            raise ConfigError(f"{name} has {len(column)} entries where others have {rows}")
    full = [column * rows if len(column) == 1 else column for column in columns]
    return full[0], full[1], full[2], [int(seed) for seed in full[3]]


def picture_tensor(picture: Image.Image) -> Tensor:
    """(3, H, W) float32 in [0, 1]."""
    array = np.asarray(picture, np.float32) / 255
    return torch.from_numpy(array).permute(2, 0, 1).contiguous()


def class_of(prompt: str, classes: Sequence[str]) -> int:
    """The label of the class that a prompt names; case, spaces and underscores are ignored.

    Raises:
        ConfigError: it names none; the nearest names are suggested.
    """
    known = {_plain(name): label for label, name in enumerate(classes)}
    if _plain(prompt) in known:
        return known[_plain(prompt)]
    near = difflib.get_close_matches(_plain(prompt), known, n=3)
    hint = (
        f"did you mean {' or '.join(repr(classes[known[name]]) for name in near)}?"
        if near
        else f"it has {len(classes)}, such as {', '.join(map(repr, classes[:5]))}"
    )
    raise ConfigError(
        f"prompt {prompt!r}: this class-conditional model has no class of that name; {hint}"
    )


def nearest_shape(picture: tuple[int, int], sizes: Sequence[Sequence[int]]) -> tuple[int, int]:
    """The (width, height) with the aspect ratio nearest to a picture's; of equals the largest."""

    def distance(size: Sequence[int]) -> tuple[float, int]:
        ratio = (size[0] / size[1]) / (picture[0] / picture[1])
        return (round(abs(math.log(ratio)), 9), -size[0] * size[1])

    width, height = min(sizes, key=distance)
    return int(width), int(height)


def fitting_size(size: tuple[int, int], step: int, *, asked: bool) -> tuple[int, int]:
    """The nearest size whose sides are multiples of a step.

    Raises:
        ConfigError: the size was asked for (`asked`) and is another one.
    """
    width, height = (max(1, round(side / step)) * step for side in size)
    if asked and (width, height) != size:
        raise ConfigError(
            f"size {size[0]}x{size[1]} is not possible with this network: sides must be multiples "
            f"of {step}; use {width}x{height}"
        )
    return width, height


def _plain(name: str) -> str:
    return "".join(name.split()).replace("_", "").casefold()
