"""Cut-outs and photographs, and how one is laid over the other as a camera would see them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from fbridge.errors import DataError

Rng = np.random.Generator
Pixels = NDArray[np.float32]


@dataclass(frozen=True)
class Cutout:
    """An object with alpha (RGBA), what it is called, and its file's name without suffix."""

    picture: Image.Image
    noun: str
    name: str = ""


@dataclass(frozen=True)
class Library:
    """Cut-outs and photographs; `held_out` holds the tenth that training never sees."""

    cutouts: list[Cutout]
    photos: list[Image.Image]

    @classmethod
    def load(cls, folder: Path, *, held_out: bool = False) -> Library:
        """Read `cutouts/*.png` (noun in `*.txt`) and `photos/*.jpg`; split by the name's hash."""

        def chosen(path: Path) -> bool:
            tenth = int(hashlib.sha256(path.stem.encode()).hexdigest(), 16) % 10 == 0
            return tenth == held_out

        def read(path: Path, mode: str) -> Image.Image:
            with Image.open(path) as picture:
                return picture.convert(mode)

        cutouts = [
            Cutout(
                read(p, "RGBA"), p.with_suffix(".txt").read_text(encoding="utf-8").strip(), p.stem
            )
            for p in sorted((folder / "cutouts").glob("*.png"))
            if chosen(p)
        ]
        photos = [read(p, "RGB") for p in sorted((folder / "photos").glob("*.jpg")) if chosen(p)]
        if not cutouts or not photos:
            raise DataError(f"{folder}: no cutouts/*.png and photos/*.jpg; see examples/embedded")
        return cls(cutouts, photos)


def lay_over(layer: Pixels, below: Pixels) -> Pixels:
    """A layer (h, w, 4) over what is below it (h, w, 3)."""
    alpha = layer[..., 3:]
    return layer[..., :3] * alpha + below * (1 - alpha)


def photo_background(library: Library, rng: Rng, size: tuple[int, int]) -> Pixels:
    """A random crop of a photograph, or now and then a plain ramp of colour."""
    height, width = size
    if rng.random() < 0.1:
        ends = rng.uniform(0, 1, (2, 3)) if rng.random() < 0.6 else np.ones((2, 3))
        ramp = np.linspace(0, 1, height)[:, None, None]
        flat = ends[0] * (1 - ramp) + ends[1] * ramp
        return np.broadcast_to(flat, (height, width, 3)).astype(np.float32)
    photo = library.photos[rng.integers(len(library.photos))]
    most = min(photo.width / width, photo.height / height)
    scale = most * rng.uniform(0.3, 1.0)
    w, h = width * scale, height * scale
    left, top = rng.uniform(0, photo.width - w), rng.uniform(0, photo.height - h)
    crop = photo.resize((width, height), Image.Resampling.BICUBIC, (left, top, left + w, top + h))
    if rng.random() < 0.5:
        crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if rng.random() < 0.3:
        crop = crop.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 3.0)))
    return _tone(floats(crop), rng, 0.25)


def floats(picture: Image.Image) -> Pixels:
    """Its bytes as float32 in [0, 1]."""
    return (np.asarray(picture) / 255).astype(np.float32)


def _tone(pixels: Pixels, rng: Rng, size: float) -> Pixels:
    gain = 1 + rng.normal(0, size / 2) + rng.normal(0, size / 4, 3)
    toned = np.clip(pixels * np.clip(gain, 0.4, 1.7), 0, 1) ** np.exp(rng.normal(0, size / 2))
    return toned.astype(np.float32)


def tinted(library: Library, rng: Rng) -> Cutout:
    """A cut-out in other light, perhaps mirrored or turned a little."""
    cutout = library.cutouts[rng.integers(len(library.cutouts))]
    pixels = floats(cutout.picture)
    pixels = np.concatenate([_tone(pixels[..., :3], rng, 0.2), pixels[..., 3:]], -1)
    picture = Image.fromarray((pixels * 255).astype(np.uint8))
    if rng.random() < 0.5:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if rng.random() < 0.4:
        picture = picture.rotate(rng.normal(0, 12), Image.Resampling.BICUBIC, expand=True)
    return Cutout(picture, cutout.noun, cutout.name)


def place(
    cutout: Cutout, rng: Rng, size: tuple[int, int], *, low: float = 0.18, high: float = 0.85
) -> Pixels:
    """The object somewhere in a canvas of `size`, its longer side `low`..`high` of the frame."""
    height, width = size
    unit = np.sqrt(height * width)
    scale = np.exp(rng.uniform(np.log(low), np.log(high))) * unit / max(cutout.picture.size)
    w = max(4, round(cutout.picture.width * scale))
    h = max(4, round(cutout.picture.height * scale))
    overhang = 0.25 if max(w / width, h / height) > 0.7 else 0.05
    cx, cy = _middle(w, width, overhang, rng), _middle(h, height, overhang, rng)
    canvas = Image.new("RGBA", (width, height))
    canvas.paste(
        cutout.picture.resize((w, h), Image.Resampling.LANCZOS),
        (round(cx - w / 2), round(cy - h / 2)),
    )
    if rng.random() < 0.5:
        pixels = floats(canvas)
        soft = canvas.getchannel("A").filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.9)))
        pixels = np.concatenate([pixels[..., :3], floats(soft)[..., None]], -1)
    else:
        pixels = floats(canvas)
    return pixels


def _middle(length: int, frame: int, overhang: float, rng: Rng) -> float:
    """Where along a frame's side an object's middle lies; a larger one covers most of the side."""
    if length > frame:
        return frame * rng.uniform(0.35, 0.65)
    inside = (0.5 - overhang) * length
    return rng.uniform(inside, frame - inside)


def finish_of(rng: Rng) -> Callable[[Pixels], Pixels]:
    """What a camera does to the whole picture: one tone, blur and grain for all its parts."""
    gain, gamma = 1 + rng.normal(0, 0.08, 3), np.exp(rng.normal(0, 0.12))
    blur = rng.uniform(0.3, 1.1) if rng.random() < 0.35 else 0.0
    grain, seed = (rng.uniform(0, 0.04) if rng.random() < 0.4 else 0.0), int(rng.integers(2**31))

    def finish(pixels: Pixels) -> Pixels:
        toned = np.clip(pixels * gain, 0, 1) ** gamma
        if blur:
            soft = Image.fromarray((toned * 255).astype(np.uint8)).filter(
                ImageFilter.GaussianBlur(blur)
            )
            toned = floats(soft)
        if grain:
            toned = toned + np.random.default_rng(seed).normal(0, grain, toned.shape)
        return np.clip(toned, 0, 1).astype(np.float32)

    return finish
