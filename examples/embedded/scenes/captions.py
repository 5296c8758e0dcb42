"""Captions of composed scenes, and the motions that they describe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from examples.embedded.scenes.verbs import CAMERA_VERBS, OBJECT_VERBS, SPEEDS, WITHOUT_NOUN

Rng = np.random.Generator
Act = tuple[str, float]
"""A verb's name and its speed."""
STATIC, STAY = CAMERA_VERBS[-1], OBJECT_VERBS[-1]


@dataclass(frozen=True)
class Script:
    """A caption and the motions that it describes.

    Attributes:
        caption: its text.
        acts: the motion of each object, in the order of the nouns.
        camera: the camera's motion.
        names_objects: whether the caption says which objects move.
    """

    caption: str
    acts: tuple[Act, ...]
    camera: Act
    names_objects: bool


def write_script(nouns: Sequence[str], rng: Rng, *, crowded: bool) -> Script:
    """Draw motions of objects and camera, and a caption; `crowded` scenes name each object."""
    camera, camera_words = STATIC, ""
    if not nouns or rng.random() < 0.3:
        camera = CAMERA_VERBS[rng.integers(len(CAMERA_VERBS))]
        camera_words = camera.wordings[rng.integers(len(camera.wordings))]
    only_camera = not nouns or (camera is not STATIC and rng.random() < 0.4)
    acts, clauses, camera_speed = [(STAY.name, 1.0)] * len(nouns), [], 1.0
    for number, noun in enumerate(() if only_camera else nouns):
        words, acts[number] = _clause(noun, rng, bare=len(nouns) == 1 and not crowded)
        clauses.append(words)
    caption = str(rng.choice([" and ", ", ", " while "])).join(clauses)
    if camera_words:
        if rng.random() < 0.2:
            adverb, camera_speed = SPEEDS[rng.integers(len(SPEEDS))]
            camera_words += f" {adverb}"
        caption = f"{caption}, {camera_words}" if caption else camera_words
    if rng.random() < 0.3:
        caption = caption[:1].upper() + caption[1:] + "."
    return Script(caption, tuple(acts), (camera.name, camera_speed), not only_camera)


def _clause(noun: str, rng: Rng, *, bare: bool) -> tuple[str, Act]:
    verb = OBJECT_VERBS[rng.integers(len(OBJECT_VERBS))]
    if bare and rng.random() < 0.3:
        captions = WITHOUT_NOUN[verb.name]
        words = captions[rng.integers(len(captions))]
    else:
        article = str(rng.choice(["a ", "the ", ""], p=[0.35, 0.45, 0.2]))
        words = verb.wordings[rng.integers(len(verb.wordings))].format(article + noun)
    if rng.random() < 0.15:
        adverb, speed = SPEEDS[rng.integers(len(SPEEDS))]
        return f"{words} {adverb}", (verb.name, speed)
    return words, (verb.name, 1.0)
