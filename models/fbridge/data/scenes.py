"""Scenes of one or two of the shapes of `fbridge.data.shapes`, with captions and the truth.

A world small enough to be learnt on a CPU, in which all that is said of a clip can be measured
(`fbridge.data.scene_judge`). It is what `pretrained/t2v.safetensors` knows, and the built-in data
set, which needs no download. A scene depends on its seed and number alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fbridge.data.shape_motions import VERBS, Array, Body, Rng, Verb
from fbridge.data.shapes import COLOURS, ROUND, SHAPES, background, cover, noun, write_drawn
from fbridge.weights import cache_folder

SCENE_FRAMES, SCENE_SIZE, SCENE_FPS = 17, 64, 8.0
"""Frames, side in pixels, and frames per second of a scene."""
DEMO_CLIPS, DEMO_SEED = 400, 2
"""Of the built-in demo; t2v.safetensors was trained on scenes of seed 0, measured on seed 1."""
DEMO_NAME = "demo-2"
"""Folder of the demo in the cache; must change if the drawn scenes change."""
KNOWN = ("jump", "left", "right", "up", "down", "fall", "spin", "closer", "away", "vanish", "stay")
"""The verbs of these scenes, of `fbridge.data.shape_motions.VERBS`."""
TWO = 0.35
"""Share of scenes with two things."""
SMALLER = 0.78
"""Size of each of two things, of what it would be alone."""


@dataclass(frozen=True)
class Thing:
    """What is known of a thing in a scene.

    Attributes:
        colour: a name in `COLOURS`.
        shape: a name in `SHAPES`.
        verb: a name in `KNOWN`.
        cover: (F, H, W) share of each pixel that it covers.
    """

    colour: str
    shape: str
    verb: str
    cover: NDArray[np.float32]


@dataclass(frozen=True)
class Scene:
    """A clip with its caption and truth.

    Attributes:
        frames: (F, H, W, 3) uint8 sRGB.
        caption: such as "a red star moves left and a blue ring spins".
        things: one or two; the later one is in front.
    """

    frames: NDArray[np.uint8]
    caption: str
    things: tuple[Thing, ...]


def draw_scene(  # noqa: PLR0913 - each fixes one thing that is drawn
    seed: int,
    number: int,
    *,
    things: int | None = None,
    shape: str | None = None,
    colour: str | None = None,
    verb: str | None = None,
    take: int = 0,
    count: int = SCENE_FRAMES,
    size: int = SCENE_SIZE,
) -> Scene:
    """Scene `number` of the data set of `seed`: what is not given is drawn at random.

    Args:
        seed: of the data set.
        number: in it.
        things: how many.
        shape: of the first thing; so are colour and verb.
        colour: likewise.
        verb: likewise.
        take: of the scene; another one has the same first frame and caption, and moves otherwise.
        count: frames; another count gives the same two seconds at another rate.
        size: side in pixels.
    """
    rng = np.random.default_rng([seed, number, 17])
    both = rng.random() < TWO
    many = (2 if both else 1) if things is None else things
    colours = _first(list(COLOURS), colour, rng)
    shapes = _first(list(SHAPES), shape, rng)
    pictures = np.broadcast_to(background(rng, size), (count, size, size, 3))
    side = rng.choice([-1, 1])
    told, found = [], []
    for place in range(many):
        verbs = [n for n in KNOWN if n != "spin" or shapes[place] not in ROUND]
        name = verb if verb and not place else verbs[int(rng.integers(len(verbs)))]
        chosen = {v.name: v for v in VERBS}[name]
        tint = np.clip(np.array(COLOURS[colours[place]]) + rng.normal(0, 0.02, 3), 0, 1)
        lane = 0 if many == 1 else int(side * (1 - 2 * place))
        again = np.random.default_rng([seed, number, take, place]) if take else None
        covered = _moved(shapes[place], chosen, lane, rng, again, count, size)
        pictures = covered[..., None] * tint + (1 - covered[..., None]) * pictures
        able = [w for w in chosen.wordings if many == 1 or w.startswith("{}")]
        wording = able[rng.integers(len(able))]
        told.append(wording.format(noun(colours[place], shapes[place])))
        found.append(Thing(colours[place], shapes[place], name, covered.astype(np.float32)))
    frames = np.clip(pictures * 255 + 0.5, 0, 255).astype(np.uint8)
    return Scene(frames, " and ".join(told), tuple(found))


def write_scenes(folder: Path, count: int, *, seed: int, first: int = 0) -> None:
    """Write `count` scenes from `first` on as <number>.mp4 and <number>.txt, unless they exist.

    Raises:
        DependencyError: a file cannot be written.
    """
    write_drawn(folder, range(first, first + count), lambda n: draw_scene(seed, n), SCENE_FPS)


def demo_videos(count: int = DEMO_CLIPS) -> Path:
    """The folder of the demo's clips in the cache; draws those that are missing."""
    folder = cache_folder() / DEMO_NAME / "videos"
    write_scenes(folder, count, seed=DEMO_SEED)
    return folder


def _first(names: list[str], named: str | None, rng: Rng) -> list[str]:
    """All names in a random order, after the given one."""
    mixed = [names[place] for place in rng.permutation(len(names))]
    return mixed if named is None else [named, *(name for name in mixed if name != named)]


def _moved(
    shape: str, verb: Verb, lane: int, rng: Rng, again: Rng | None, count: int, size: int
) -> Array:
    """(F, H, W) coverage by a shape; one of two stays in its half of the picture (lane -1 or 1).

    Where `again` is given, the motion is drawn by it, and `rng` is used up all the same.
    """
    half = rng.uniform(*verb.half_size) * (SMALLER if lane else 1)
    most = 1 - half
    x, y = (
        side * rng.uniform(0.3, 1.0) * most if side else rng.uniform(-0.8, 0.8) * most
        for side in verb.start
    )
    if lane and verb.start[0]:  # crosses the picture above or below the other's middle
        y = rng.uniform(0.5, 0.8) * most * rng.choice([-1, 1])
    elif lane:
        x = lane * rng.uniform(0.8, 1.0) * min(0.5, most)
    body = Body(half, half, *(max(way + 1 - half, 0.0) for way in (x, -x, y, -y)))
    u = np.linspace(0.0, 1.0, count)
    u = np.minimum(u * min(1.0, 1.25 * verb.speed), 1)
    motion = verb.program(u, body, rng)
    motion = motion if again is None else verb.program(u, body, again)
    return cover(SHAPES[shape], motion, (x, y), half, size)
