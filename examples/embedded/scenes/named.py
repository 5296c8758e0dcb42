"""Pictures of several things of which one is named, with its mask: composed, or photographs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from examples.embedded.scenes.compose import (
    Cutout,
    Library,
    Pixels,
    Rng,
    finish_of,
    floats,
    lay_over,
    photo_background,
    place,
    tinted,
)
from fbridge.errors import DataError

SIZES = ((288, 288), (256, 320), (320, 256), (224, 352), (352, 224))
UNNAMED = 0.2
"""Share of pictures whose main thing is to be found without a noun."""
PHOTOGRAPHIC = 0.6
"""Least share of things that are photographs (Tux Paint's stamps) rather than drawings."""
_TRIES = 40
"""Cut-outs drawn at most to find one that fits."""


@dataclass(frozen=True)
class Named:
    """A picture (h, w, 3) in [0, 1], the mask (h, w) of one thing in it, and that thing's noun.

    `noun` is "" where the main thing is meant, None where a network shall say what it sees.
    """

    picture: Pixels
    mask: NDArray[np.float32]
    noun: str | None


def compose_named(library: Library, rng: Rng, size: tuple[int, int]) -> Named:
    """One to four cut-outs over a photograph; one of them is named, the largest may be left so."""
    while True:
        picture = photo_background(library, rng, size)
        number = int(rng.choice([1, 2, 3, 4], p=[0.5, 0.25, 0.15, 0.1]))
        target = int(rng.integers(number))
        masks: list[Pixels] = []
        nouns: list[str] = []
        for index in range(number):
            cutout = _other(library, rng, nouns)
            close = number == 1 and rng.random() < 0.35
            low, high = (0.6, 2.0) if close else (0.2, 0.9 if number == 1 else 0.6)
            layer = place(_harmonised(cutout, picture, rng), rng, size, low=low, high=high)
            if rng.random() < 0.4:
                picture = _shadow(picture, layer[..., 3], rng)
            picture = lay_over(layer, picture)
            masks = [mask * (1 - layer[..., 3]) for mask in masks] + [layer[..., 3]]
            nouns.append(cutout.noun)
            if index == target and layer[..., 3].mean() < 0.01:
                break
        if len(masks) < number or masks[target].mean() < 0.008:
            continue
        areas = [float(mask.sum()) for mask in masks]
        main = areas[target] > 1.5 * sum(areas[:target] + areas[target + 1 :])
        noun = "" if main and rng.random() < UNNAMED else nouns[target]
        return Named(finish_of(rng)(picture), masks[target].astype(np.float32), noun)


def crop_photo(picture: Image.Image, mask: Image.Image, rng: Rng, size: tuple[int, int]) -> Named:
    """A random crop of a photograph around the thing that a mask shows."""
    height, width = size
    box = mask.point(lambda v: 255 if v > 127 else 0).getbbox() or (0, 0, *mask.size)
    most = min(picture.width / width, picture.height / height)
    least = min(most, 0.7 * max((box[2] - box[0]) / width, (box[3] - box[1]) / height))
    scale = most if rng.random() < 0.35 else rng.uniform(least, most)
    w, h = min(width * scale, picture.width), min(height * scale, picture.height)
    left = _around(box[0], box[2], w, picture.width, rng)
    top = _around(box[1], box[3], h, picture.height, rng)
    area = (left, top, left + w, top + h)
    seen = picture.resize((width, height), Image.Resampling.BICUBIC, area)
    truth = mask.resize((width, height), Image.Resampling.BILINEAR, area)
    if rng.random() < 0.5:
        seen, truth = (p.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for p in (seen, truth))
    noun = "" if rng.random() < 0.5 else None
    return Named(finish_of(rng)(floats(seen)), floats(truth), noun)


def load_photos(folder: Path, *, held_out: bool = False) -> list[tuple[Path, Path]]:
    """Photographs of a folder with their masks in `masks/`; every tenth by name is held out."""
    pairs = [(p, folder / "masks" / f"{p.stem}.png") for p in sorted(folder.glob("*.jpg"))]
    found = [pair for pair in pairs if pair[1].exists()]
    if not found:
        raise DataError(f"{folder}: no NAME.jpg with masks/NAME.png; see examples/embedded")
    return [pair for i, pair in enumerate(found) if (i % 10 == 9) == held_out]


def _around(low: float, high: float, length: float, frame: float, rng: Rng) -> float:
    """Where a crop begins that shows most of low..high."""
    slack = 0.25 * (high - low)
    first, last = sorted((low - slack, high + slack - length))
    return float(np.clip(rng.uniform(first, last), 0, frame - length))


def _other(library: Library, rng: Rng, nouns: Sequence[str]) -> Cutout:
    """A cut-out whose noun shares no word with those drawn; mostly photographs."""
    taken = {word for noun in nouns for word in noun.split()}
    photographic = rng.random() < PHOTOGRAPHIC
    cutout = tinted(library, rng)
    for _ in range(_TRIES):
        drawn = not cutout.name.startswith("stamp-")
        if not taken & set(cutout.noun.split()) and not (drawn and photographic):
            break
        cutout = tinted(library, rng)
    return cutout


def _harmonised(cutout: Cutout, picture: Pixels, rng: Rng) -> Cutout:
    """The cut-out with part of the picture's brightness and contrast, as light would give it."""
    if rng.random() < 0.5:
        return cutout
    pixels = floats(cutout.picture)
    inside = pixels[..., 3] > 0.5
    if not inside.any():
        return cutout
    own, aim = pixels[..., :3][inside], picture.reshape(-1, 3)
    share = rng.uniform(0.2, 0.7)
    mean = own.mean(0) + share * (aim.mean(0) - own.mean(0))
    gain = (aim.std() / max(own.std(), 0.05)) ** share
    colours = (pixels[..., :3] - own.mean(0)) * np.clip(gain, 0.5, 1.6) + mean
    whole = np.concatenate([np.clip(colours, 0, 1), pixels[..., 3:]], -1)
    return replace(cutout, picture=Image.fromarray((whole * 255).astype(np.uint8)))


def _shadow(picture: Pixels, alpha: Pixels, rng: Rng) -> Pixels:
    soft = Image.fromarray((alpha * 255).astype(np.uint8))
    soft = soft.filter(ImageFilter.GaussianBlur(rng.uniform(3, 12)))
    moved = np.roll(floats(soft), (int(rng.integers(2, 14)), int(rng.integers(-8, 9))), (0, 1))
    return picture * (1 - rng.uniform(0.15, 0.5) * moved)[..., None]
