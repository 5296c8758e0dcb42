"""The photographs with their boxes, and the prompts that are tried on each."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.judge.outline import Box, Outline
from fbridge.data.pictures import SUFFIXES

OBJECT = {
    "jump": "the {} jumps",
    "left": "the {} moves left",
    "right": "the {} moves right",
    "fall": "the {} falls",
    "spin": "the {} spins",
    "closer": "the {} comes closer",
    "away": "the {} goes away",
    "shake": "the {} shakes",
    "swing": "the {} swings",
}
"""Verbs of a thing, in the wording that a model is trained on."""
CAMERA = {verb: verb for verb in ("zoom in", "zoom out", "pan left", "pan right", "tilt up")}
UNSEEN = {
    "the {} hops up and down": "jump",
    "the {} leaps into the air": "jump",
    "the {} glides to the right": "right",
    "the {} drops to the ground": "fall",
    "the {} twirls around": "spin",
    "the camera pushes in": "zoom in",
}
"""Wordings that are not trained on, and the verb that each means."""
GROUPS = ("object", "camera", "unseen", "free")


class Photograph(NamedTuple):
    """A picture file and what is known of it.

    Attributes:
        kind: such as "closeup"; see `benchmarks.photographs`.
        noun: what the box is around.
        box: None where no single thing is measured.
        free: prompts that a person judges.
        outlines: of the thing, drawn by hand where GrabCut in the box misses it.
    """

    name: str
    path: Path
    kind: str
    noun: str
    box: Box | None
    free: tuple[str, ...]
    outlines: tuple[Outline, ...] = ()


class Trial(NamedTuple):
    """One video to make.

    Attributes:
        label: what its row in the tables is called: the verb, the wording, or the free prompt.
        verb: what it should show; "" of a free prompt.
    """

    photograph: Photograph
    group: str
    label: str
    verb: str
    prompt: str
    seed: int

    @property
    def key(self) -> tuple[str, str, int]:
        """What tells it from the others."""
        return self.photograph.name, self.prompt, self.seed


def read_photographs(
    pictures: Path, boxes: Path, only: Collection[str] = ()
) -> Iterator[Photograph]:
    """The photographs that a table of boxes names, or only some of them.

    Raises:
        SystemExit: a picture, or something that the table should say of it, is missing.
    """
    table = json.loads(boxes.read_text(encoding="utf-8"))
    if unknown := set(only) - table.keys():
        raise SystemExit(f"--only {', '.join(sorted(unknown))}: not in {boxes}")
    files = {file.stem: file for file in pictures.iterdir() if file.suffix.lower() in SUFFIXES}
    for name, known in table.items():
        if only and name not in only:
            continue
        if name not in files:
            raise SystemExit(f"{pictures}: no picture {name}.*; take {name} out of {boxes}")
        if lacking := {"kind", "noun", "box", "free"} - known.keys():
            raise SystemExit(f"{boxes}: {name} has no {', '.join(sorted(lacking))}; add it")
        box = None if known["box"] is None else tuple(map(float, known["box"]))
        if box and not (len(box) == 4 and _within(box[::2]) and _within(box[1::2])):
            raise SystemExit(f"{boxes}: {name}: box {list(box)} is not left, top, right, bottom")
        corners = None if box is None else (box[0], box[1], box[2], box[3])
        free = tuple(known["free"])
        outlines = tuple(
            tuple((float(x), float(y)) for x, y in one) for one in known.get("outlines", ())
        )
        if (outlines and box is None) or any(len(one) < 3 for one in outlines):
            raise SystemExit(f"{boxes}: {name}: outlines want three corners or more, and a box")
        yield Photograph(name, files[name], known["kind"], known["noun"], corners, free, outlines)


def trials(
    photograph: Photograph, groups: Collection[str], verbs: Collection[str], seeds: Sequence[int]
) -> Iterator[Trial]:
    """All videos of one photograph; camera and unseen wordings with the first seed only.

    Args:
        photograph: what moves in it is the thing in its box; without one, only the camera.
        groups: some of `GROUPS`.
        verbs: which of `OBJECT`; none means all.
        seeds: of the random numbers.
    """
    for seed in seeds:
        for group, label, verb, prompt in _prompts(photograph):
            chosen = group in groups and (seed == seeds[0] or group in ("object", "free"))
            if chosen and (group != "object" or not verbs or verb in verbs):
                yield Trial(photograph, group, label, verb, prompt, seed)


def _within(ends: Sequence[float]) -> bool:
    return 0 <= ends[0] < ends[1] <= 1


def _prompts(photograph: Photograph) -> Iterator[tuple[str, str, str, str]]:
    """Group, label, verb and prompt."""
    noun = photograph.noun
    if photograph.box:
        yield from (("object", verb, verb, text.format(noun)) for verb, text in OBJECT.items())
    for text, verb in UNSEEN.items():
        if photograph.box or verb in CAMERA:
            yield "unseen", text.format("..."), verb, text.format(noun)
    yield from (("camera", verb, verb, text) for verb, text in CAMERA.items())
    yield from (("free", text, "", text) for text in photograph.free)
