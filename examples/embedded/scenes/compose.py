"""One composed picture with everything that is true of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from examples.embedded.scenes.captions import Act, Script, write_script
from examples.embedded.scenes.verbs import CAMERA_VERBS, OBJECT_VERBS
from fbridge.data.shape_motions import CHANNELS, Body
from fbridge.errors import DataError

Rng = np.random.Generator
Pixels = NDArray[np.float32]
OBJECT_SLOTS = 2
SLOTS = OBJECT_SLOTS + 1


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


@dataclass(frozen=True)
class Mover:
    """One object of the scene as placed: its noun, its layer (h, w, 4), its box."""

    noun: str
    layer: Pixels
    body: Body


@dataclass(frozen=True)
class Scene:
    """A composed picture and its truth.

    Attributes:
        picture: (h, w, 3) float32 in [0, 1].
        masks: (2, h, w) float32, the visible part of the first and second object named.
        background: (h, w, 3) what lies behind them.
        script: the words and what they stand for.
        bodies: the objects' boxes, for `draw_motion`.
    """

    picture: Pixels
    masks: Pixels
    background: Pixels
    script: Script
    bodies: tuple[Body, ...]


_VERBS = {verb.name: verb for verb in (*OBJECT_VERBS, *CAMERA_VERBS)}
_FRAME = Body(1.0, 1.0, 1.0, 1.0, 1.0, 1.0)


def draw_motion(
    acts: Sequence[Act], camera: Act, bodies: Sequence[Body], num_frames: int, rng: Rng
) -> NDArray[np.float64]:
    """(F, 3, 26): one of the motions that the acts allow; objects first, then the camera."""
    u = np.linspace(0.0, 1.0, num_frames)
    whole = np.zeros((num_frames, SLOTS, CHANNELS))
    slots = [*range(len(acts)), SLOTS - 1]
    for slot, (name, speed), body in zip(slots, [*acts, camera], [*bodies, _FRAME], strict=True):
        whole[:, slot] = _VERBS[name].program(np.minimum(u * speed, 1), body, rng)
    return whole


def compose(library: Library, rng: Rng, *, size: tuple[int, int], close_ups: float = 0.4) -> Scene:
    """Draw a scene of `size` (height, width): background, zero to two movers, bystanders, words.

    `close_ups` is the share of lone objects that fill much of the frame or more than all of it.
    """
    background = photo_background(library, rng, size)
    number = int(rng.choice([0, 1, 2], p=[0.06, 0.69, 0.25]))
    crowd = int(rng.choice([0, 1, 2], p=[0.7, 0.2, 0.1]))
    for _ in range(crowd if number else 0):
        layer = place(tinted(library, rng), rng, size, high=0.45)[0]
        background = lay_over(layer, background)
    movers = tuple(_mover(library, rng, size, number, close_ups) for _ in range(number))
    script = write_script([mover.noun for mover in movers], rng, crowded=bool(crowd))
    layers = np.zeros((OBJECT_SLOTS, *size, 4), np.float32)
    for slot, mover in enumerate(movers):
        layers[slot] = mover.layer
    if number and rng.random() < 0.35:
        background = _shadow(background, movers, rng)
    picture, masks = flatten(background, layers)
    finish = finish_of(rng)
    bodies = tuple(mover.body for mover in movers)
    return Scene(finish(picture), masks, finish(background), script, bodies)


def flatten(background: Pixels, layers: Pixels) -> tuple[Pixels, Pixels]:
    """Lay the second object, then the first, over the background; also the visible masks."""
    picture = background
    for layer in layers[::-1]:
        picture = lay_over(layer, picture)
    first, second = layers[0, ..., 3], layers[1, ..., 3]
    return picture, np.stack([first, second * (1 - first)])


def lay_over(layer: Pixels, below: Pixels) -> Pixels:
    alpha = layer[..., 3:]
    return layer[..., :3] * alpha + below * (1 - alpha)


def photo_background(library: Library, rng: Rng, size: tuple[int, int]) -> Pixels:
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
    return (np.asarray(picture) / 255).astype(np.float32)


def _tone(pixels: Pixels, rng: Rng, size: float) -> Pixels:
    gain = 1 + rng.normal(0, size / 2) + rng.normal(0, size / 4, 3)
    toned = np.clip(pixels * np.clip(gain, 0.4, 1.7), 0, 1) ** np.exp(rng.normal(0, size / 2))
    return toned.astype(np.float32)


def tinted(library: Library, rng: Rng) -> Cutout:
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
) -> tuple[Pixels, Body]:
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
    body = Body(
        w / unit,
        h / unit,
        2 * max(cx - w / 2, 0) / unit,
        2 * max(width - cx - w / 2, 0) / unit,
        2 * max(cy - h / 2, 0) / unit,
        2 * max(height - cy - h / 2, 0) / unit,
    )
    return pixels, body


def _middle(length: int, frame: int, overhang: float, rng: Rng) -> float:
    """Where along a frame's side an object's middle lies; a larger one covers most of the side."""
    if length > frame:
        return frame * rng.uniform(0.35, 0.65)
    inside = (0.5 - overhang) * length
    return rng.uniform(inside, frame - inside)


def _mover(
    library: Library, rng: Rng, size: tuple[int, int], number: int, close_ups: float
) -> Mover:
    cutout = tinted(library, rng)
    close = number == 1 and rng.random() < close_ups
    low, high = (0.6, 2.2) if close else (0.18, 0.8 if number == 1 else 0.55)
    layer, body = place(cutout, rng, size, low=low, high=high)
    return Mover(cutout.noun, layer, body)


def _shadow(background: Pixels, movers: tuple[Mover, ...], rng: Rng) -> Pixels:
    """Darken the ground under each object: a blurred, shifted copy of its alpha."""
    dark = np.ones(background.shape[:2], np.float32)
    for mover in movers:
        alpha = Image.fromarray((mover.layer[..., 3] * 255).astype(np.uint8))
        soft = alpha.filter(ImageFilter.GaussianBlur(rng.uniform(2, 6)))
        shift = (int(rng.integers(-4, 5)), int(rng.integers(1, 7)))
        moved = np.roll(floats(soft), shift, (1, 0))
        dark *= 1 - rng.uniform(0.15, 0.5) * moved
    return background * dark[..., None]


def finish_of(rng: Rng) -> Callable[[Pixels], Pixels]:
    """What a camera does to the whole picture: the same tone, blur and grain for all its parts."""
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
