"""One of several things of a kind, told from the others by colour, place or size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fbridge.codecs.matting import resize
from fbridge.words.which import COLOURS, ORDINALS, PLACES, SIZES

if TYPE_CHECKING:
    from numpy.typing import NDArray

SMALLEST_PART, PART, MANY = 0.004, 0.25, 5
"""Share of the picture, and of the largest thing, below which a part is no thing; of so many and
more the middle one in size counts in place of the largest, which may be two that touch."""
ONE = 0.4
"""Share of the smaller of two parts that lies in the other, from which on they are one thing: what
is seen of a thing with a look led elsewhere may be a piece of it."""
SEEN, SURE = 0.3, 0.25
"""Least evidence of the noun in a thing, as a share of the greatest; where a colour is told and all
evidence is less than `SURE`, the colour alone tells."""
COLOURED, LESS = 0.1, 0.6
"""Least share of a thing that has its colour, and what is enough beside the thing that has most."""
FAINTEST = 0.02
"""Share of a thing below which it has none of a colour."""
ASIDE = 0.05
"""How far beyond the middle of the picture a thing must lie to be on the other side."""
SPREAD = 0.7
"""Share of the picture's width from which on a thing is not in its middle only."""
BAND, HALF, BROAD = 0.1, 0.5, 1.1
"""A thing as broad as this share of its height has a colour in part only where less than `HALF` of
its columns have it on a share of `BAND`: one of several people side by side wears it."""

NECKS = tuple(0.05 * step for step in range(3, 15))
"""Half widths of what joins two things of a kind that touch, in those of the thickest of both."""
ALIKE, APART = 0.5, 1.5
"""Least size of the smaller of two such things, as a share of the larger; and how much farther they
lie from each other to the side that is told than along the other one: so not head and shoulders."""

_HUES = {
    "red": (0, 18, 0.35), "orange": (28, 14, 0.35), "golden": (38, 16, 0.25),
    "yellow": (52, 16, 0.35), "green": (115, 45, 0.3), "blue": (210, 40, 0.3),
    "purple": (280, 28, 0.25), "pink": (340, 25, 0.15), "brown": (28, 16, 0.25),
}  # fmt: skip
"""Middle and half width of the hues, in degrees, and least saturation."""
_BRIGHTEST = {"brown": 0.65}
_DARKEST = {"brown": 0.1, "pink": 0.5}
"""Limits of the brightness; else a colour is brighter than 0.25."""


@dataclass(frozen=True)
class Thing:
    """A part of a mask that may be a thing of its own.

    Attributes:
        mask: (h, w) in [0, 1].
        shown: (h, w) where it is, bool.
        evidence: how surely the noun is seen in it.
    """

    mask: Tensor
    shown: Tensor
    evidence: float

    @property
    def area(self) -> float:
        """Its pixels."""
        return float(self.shown.sum())

    def middle(self, axis: int) -> float:
        """Its middle along rows (0) or columns (1), in [0, 1]."""
        places = self.shown.nonzero()[:, axis].float()
        return float(places.mean()) / self.shown.shape[axis]


def focus_maps(height: int, width: int) -> Tensor:
    """(5, h, w): everywhere, then the left, right, upper and lower half with soft edges."""
    x = torch.linspace(-4, 4, width).expand(height, width)
    y = torch.linspace(-4, 4, height)[:, None].expand(height, width)
    return torch.stack([torch.ones(height, width), *(way.sigmoid() for way in (-x, x, -y, y))])


class Answer(Enum):
    """How what is taken goes with the words."""

    FITS = auto()
    OTHER = auto()
    """There is no such thing."""
    JOINED = auto()
    """It may be there, and is not told from others of its kind."""


def choose(
    masks: Tensor, seen: Tensor, picture: Tensor, told: Sequence[str], *, several: bool
) -> tuple[Tensor | None, Answer]:
    """The mask (h, w) of the thing that is meant, and how the words fit it.

    Args:
        masks: (N, h, w) found with other focuses, the one without any first.
        seen: (h', w') probability of the noun.
        picture: (3, H, W).
        told: names of colours, places and sizes.
        several: whether all that fit are meant.

    Returns:
        None in place of a mask where there is nothing to choose from.
    """
    coloured_one = any(word in COLOURS for word in told)
    things = _things(masks, seen, SURE if coloured_one else 0.0)
    number = next((1 + ORDINALS.index(word) for word in told if word in ORDINALS), 0)
    small = resize(picture[None], (masks.shape[1], masks.shape[2]))[0].clamp(0, 1)
    colours = [(word, coloured(small, word)) for word in told if word in COLOURS]
    if len(things) < 2:
        answers = [Answer.OTHER if number else _fits(one, colours, told) for one in things]
        if answers == [Answer.FITS] and not several and _may_be_joined(things[0], colours, told):
            return None, Answer.JOINED
        return None, next(iter(answers), Answer.FITS)
    for last, (_, where) in enumerate(colours, start=1):
        alone = not several and last == len(told)
        things = _of_colour(things, where, alone=alone)
    if len(things) <= number:
        return None, Answer.OTHER
    if number:
        return _counted(things, told)[number].mask, Answer.FITS
    if several:
        return torch.stack([one.mask for one in things]).amax(0), Answer.FITS
    places = [word for word in told if word in PLACES]
    if places:
        thing = _in_corner(things, places) or _at(things, places[0])
        return thing.mask, _fits(thing, colours, told)
    by_size = sorted(things, key=lambda one: one.area)
    return by_size[0 if {"small", "smallest"} & set(told) else -1].mask, Answer.FITS


def parted(mask: Tensor, seen: Tensor, told: Sequence[str]) -> Tensor | None:
    """(h, w) the left, right, upper or lower of two things of a kind that touch.

    They are about as large, the noun is seen in both, and what joins them is narrower than either.
    So two girls side by side come apart, and neither a wheel from its car nor a head from its body.

    Args:
        mask: (h, w) in [0, 1] of both.
        seen: (h', w') probability of the noun.
        told: places, of which the first counts.

    Returns:
        None where they do not come apart.
    """
    place = next((word for word in told if word in ("left", "right", "top", "bottom")), "")
    if not place or float(seen.amax()) < SURE:
        return None
    shown = (mask > 0.5).numpy().astype(np.uint8)
    height, width = shown.shape
    rows, columns = height // 2, width // 2  # what the frame cuts goes on behind its edge
    wide = cv2.copyMakeBorder(shown, rows, rows, columns, columns, cv2.BORDER_REPLICATE)
    depth = cv2.distanceTransform(wide, cv2.DIST_L2, 5)
    depth = depth[rows : rows + height, columns : columns + width]
    for neck in NECKS:
        things = _around_cores(mask, depth > neck * depth.max(), seen)
        if len(things) > 1:
            break
    else:
        return None
    first, last = _at(things, place), max(things, key=lambda one: one.area)
    if first is last:
        last = max((one for one in things if one is not first), key=lambda one: one.area)
    evidence = [one.evidence for one in (first, last)]
    x, y = (abs(first.middle(axis) - last.middle(axis)) for axis in (1, 0))
    x, y = x * width, y * height
    along, across = (x, y) if place in ("left", "right") else (y, x)
    if min(evidence) < SEEN * max(evidence) or along < APART * across:
        return None
    return first.mask


def _around_cores(mask: Tensor, cores: NDArray[np.bool_], seen: Tensor) -> list[Thing]:
    """The parts of a mask nearest to each of its cores, but for those that are much smaller."""
    count, _ = cv2.connectedComponents(cores.astype(np.uint8))
    if count <= 2:
        return []
    _, nearest = cv2.distanceTransformWithLabels(
        (~cores).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_CCOMP
    )
    evidence = resize(seen[None, None], (mask.shape[0], mask.shape[1]))[0, 0]
    owner, shown = torch.from_numpy(nearest), mask > 0.5
    parts = [(owner == label, shown & (owner == label)) for label in np.unique(nearest[cores])]
    most = max(float(part.sum()) for _, part in parts)
    return [
        Thing(mask * near, part, float(evidence[part].amax()))
        for near, part in parts
        if float(part.sum()) >= ALIKE * most
    ]


def _fits(thing: Thing, colours: Sequence[tuple[str, Tensor]], told: Sequence[str]) -> Answer:
    """Whether a thing has the colours and is not on the other side of the picture."""
    if any(float(where[thing.shown].float().mean()) < FAINTEST for _, where in colours):
        return Answer.OTHER
    beyond = _beyond(thing)
    there = all(beyond.get(word, 0.0) <= ASIDE for word in told)
    return Answer.FITS if there else Answer.OTHER


def _may_be_joined(
    thing: Thing, colours: Sequence[tuple[str, Tensor]], told: Sequence[str]
) -> bool:
    """Whether the only thing found may hold the one that is meant and others that touch it.

    So the left one of two is on the left, and both together are in the middle; the middle one of
    three is not as broad as the picture, of men side by side one alone wears red, and where one is
    "smaller" there are two.
    """
    beyond = _beyond(thing)
    aside = any(beyond.get(word, -1.0) > -ASIDE for word in told)
    broad = "middle" in told and float(thing.shown.any(0).float().mean()) > SPREAD
    compared = bool(set(SIZES) & set(told))
    return compared or aside or broad or any(_in_part(thing, where) for _, where in colours)


def _in_part(thing: Thing, coloured: Tensor) -> bool:
    """Whether only few columns of a broad thing have a colour."""
    across, down = thing.shown.sum(0), thing.shown.sum(1)
    columns = across > 0
    if int(columns.sum()) < BROAD * int((down > 0).sum()):
        return False
    has = (thing.shown & coloured).sum(0) >= BAND * across
    return float(has[columns].float().mean()) < HALF


def _beyond(thing: Thing) -> dict[str, float]:
    """How far a thing is on the other side of each place of the picture, as a share of it."""
    x, y = thing.middle(1) - 0.5, thing.middle(0) - 0.5
    return {"left": x, "right": -x, "top": y, "bottom": -y}


def coloured(picture: Tensor, colour: str) -> Tensor:
    """(h, w) bool: which pixels of a picture (3, h, w) have a colour."""
    pixels = np.ascontiguousarray(picture.permute(1, 2, 0).float().numpy())
    hue, saturation, value = torch.from_numpy(cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV)).unbind(-1)
    if colour == "black":
        return value < 0.25
    if colour == "white":
        return (saturation < 0.2) & (value > 0.7)
    if colour == "grey":
        return (saturation < 0.2) & (value >= 0.25) & (value <= 0.7)
    middle, half, least = _HUES[colour]
    near = ((hue - middle + 180) % 360 - 180).abs() < half
    bright = (value > _DARKEST.get(colour, 0.25)) & (value < _BRIGHTEST.get(colour, 1.1))
    return near & (saturation > least) & bright


def _things(masks: Tensor, seen: Tensor, sure: float) -> list[Thing]:
    """The different parts of the masks in which the noun is seen; all if it is nowhere `sure`."""
    wide = F.interpolate(seen[None, None], masks.shape[1:], mode="bilinear", align_corners=False)
    found: list[Thing] = []
    for mask in masks:
        for shown in _parts(mask):
            if any(_shared(shown, other.shown) > ONE for other in found):
                continue
            near = F.max_pool2d(shown[None].float(), 5, 1, 2)[0]
            found.append(Thing(mask * near, shown, float(wide[0, 0][shown].amax())))
    most = max((one.evidence for one in found), default=0.0)
    least = SEEN * most if most >= sure else 0.0
    found = [one for one in found if one.evidence >= least]
    areas = sorted((one.area for one in found), reverse=True)
    usual = areas[(len(areas) - 1) // 2 if len(areas) >= MANY else 0] if areas else 0.0
    return [one for one in found if one.area >= PART * usual]


def _parts(mask: Tensor) -> Iterator[Tensor]:
    count, labels, stats, _ = cv2.connectedComponentsWithStats((mask > 0.5).byte().numpy())
    for part in range(1, count):
        if stats[part, cv2.CC_STAT_AREA] >= SMALLEST_PART * mask.numel():
            yield torch.from_numpy(labels == part)


def _shared(one: Tensor, other: Tensor) -> float:
    return float((one & other).sum()) / float(torch.minimum(one.sum(), other.sum()))


def _of_colour(things: Sequence[Thing], coloured: Tensor, *, alone: bool) -> list[Thing]:
    """Those that have a colour; if nothing else tells them apart, the one that has most of it."""
    shares = [float(coloured[one.shown].float().mean()) for one in things]
    enough = max(COLOURED, (1 if alone else LESS) * max(shares, default=0.0))
    return [one for one, share in zip(things, shares, strict=True) if share >= enough]


def _counted(things: Sequence[Thing], told: Sequence[str]) -> list[Thing]:
    """Things in the order in which they are counted: from a side, else from the left."""
    axis = 0 if {"top", "bottom"} & set(told) else 1
    backwards = bool({"right", "bottom"} & set(told))
    return sorted(things, key=lambda one: one.middle(axis), reverse=backwards)


def _in_corner(things: Sequence[Thing], places: Sequence[str]) -> Thing | None:
    """The thing that is nearest to a corner; None where no row and column are told."""
    axes = {"left": 1, "right": 1, "top": 0, "bottom": 0}
    corner = [place for place in places if place in axes]
    if len({axes[place] for place in corner}) < 2:
        return None

    def away(one: Thing) -> float:
        ends = (float(place in ("right", "bottom")) for place in corner)
        return sum(abs(one.middle(axes[p]) - end) for p, end in zip(corner, ends, strict=True))

    return min(things, key=away)


def _at(things: Sequence[Thing], place: str) -> Thing:
    """The thing that is farthest to a side, or nearest to the middle."""
    if place == "middle":
        return min(things, key=lambda one: abs(one.middle(1) - 0.5))
    if place in ("front", "back"):  # what is nearer reaches down farther in the picture
        feet = sorted(things, key=lambda one: int(one.shown.any(1).nonzero()[-1]))
        return feet[-1 if place == "front" else 0]
    axis = 1 if place in ("left", "right") else 0
    ordered = sorted(things, key=lambda one: one.middle(axis))
    return ordered[0 if place in ("left", "top") else -1]
