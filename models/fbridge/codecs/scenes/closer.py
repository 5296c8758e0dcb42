"""Closer looks: a mask found once more in a part of the picture, where things are shown larger."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from fbridge.codecs.matting import resize

Area: TypeAlias = tuple[slice, slice]
"""Rows and columns of a picture."""
Look: TypeAlias = Callable[[Area], Tensor]
"""Gives the mask (h, w) that is found in a part of the picture, at the part's own size."""

AROUND, SMALL = 0.35, 0.7
"""A thing is looked at again in a part of the picture that holds it with a margin of this share of
its longer side, where that part is at most this share of the picture."""
NARROW = 0.15
"""Margin of a part of the picture that shall hold little else, as a share of the longer side."""
LEAST_SIDE = 32
"""Pixels that a part of the picture must have for a closer look."""
SMALLEST = 1e-3
"""Probability that none is below, so that logits stay finite."""

PEAK, CLEAR = 0.5, 0.5
"""A noun is seen where its probability is at least this share of its greatest, which must be
`CLEAR` for a look at that place alone."""
COMPACT = 0.4
"""Share of a mask up to which the places where the noun is seen leave room for something else."""
PART = 0.7
"""Share of a mask up to which what is found in it is another thing, and not the same once more."""
LOOKS, WIDER = 5, 0.3
"""Most looks at a thing on something, and by which share of its longer side the part of the picture
grows to the sides where it cuts what is found."""
CUT, RIM = 0.03, 0.02
"""Share of its outline on the part's inner edges below which a thing is all in the part; and how
near such an edge is on it, as a share of the part's shorter side."""
FAINT, BESIDE = 0.1, 0.1
"""A noun is seen beside a mask where its probability is at least `FAINT`, and in the mask at most
this share of that."""
FEWEST = 0.003
"""Share of the picture below which a mask shows nothing."""


def sharper(mask: Tensor, look: Look, same: float | None = None) -> Tensor:
    """A small thing's mask (H, W), its logits averaged with those found where it is shown larger.

    With `same`, only where both looks overlap by that much, as intersection over union: the largest
    thing near it may be another one.
    """
    area = _surroundings(mask > 0.5)
    if area is None:
        return mask
    closer = look(area)
    if same is not None and overlap(mask[area], closer) < same:
        return mask
    out = torch.zeros_like(mask)
    out[area] = torch.stack([mask[area], closer]).logit(SMALLEST).mean(0).sigmoid()
    return out


def alone(mask: Tensor, seen: Tensor, look: Look) -> Tensor | None:
    """(H, W) the thing where a noun is seen, if the mask found for the noun holds much besides.

    A cup on an armchair may be found with the chair. It is looked for in the part of the picture
    where it is seen, which grows until it cuts nothing off. The head of a dog, seen for the dog, is
    no thing of its own: its part of the picture grows until the dog is in it.

    Args:
        mask: (H, W) found in the whole picture.
        seen: (h, w) probability of the noun at each place.
        look: finds the noun in a part of the picture.

    Returns:
        None where the mask stays the better answer.
    """
    places = seen >= PEAK * seen.amax()
    found = float((mask > 0.5).float().mean())
    if float(seen.amax()) < CLEAR or float(places.float().mean()) > COMPACT * found:
        return None
    small = _around(places, (mask.shape[0], mask.shape[1]), look)
    return None if small is None or float((small > 0.5).float().mean()) > PART * found else small


def elsewhere(mask: Tensor, seen: Tensor, look: Look) -> Tensor | None:
    """(H, W) the thing where a noun is seen, if the mask found for the noun is not there.

    Of a man and a horse the decoder may take the man, whatever is asked for. So the horse is looked
    for in the part of the picture beside the man in which it is seen.

    Args:
        mask: (H, W) found in the whole picture.
        seen: (h, w) probability of the noun at each place.
        look: finds the noun in a part of the picture.

    Returns:
        None where the noun is seen in the mask or hardly anywhere, or nothing whole is found there.
    """
    most = float(seen.amax())
    if most < FAINT or not (mask > 0.5).any() or shown_in(mask, seen) > BESIDE * most:
        return None
    area = _beside(mask, seen)
    if area is None:
        return None
    there = torch.zeros_like(mask)
    there[area] = closer = look(area)
    found = float((there > 0.5).float().mean()) >= FEWEST and shown_in(there, seen) == most
    whole = sum(_cut(closer > 0.5, area, (mask.shape[0], mask.shape[1]))) < CUT
    return there if found and whole else None


def shown_in(mask: Tensor, seen: Tensor) -> float:
    """Greatest of the probabilities (h, w) at places of which a mask (H, W) covers something."""
    covered = F.adaptive_max_pool2d(mask[None, None], (seen.shape[0], seen.shape[1]))[0, 0] > 0.5
    return float((seen * covered).amax())


def close_by(mask: Tensor) -> Area:
    """The part of the picture that holds a thing (H, W) and little else."""
    ends = _ends(mask > 0.5)
    margin = round(NARROW * max(last - first for first, last in ends))
    rows, columns = (
        slice(max(0, first - margin), min(side, last + margin))
        for (first, last), side in zip(ends, mask.shape, strict=True)
    )
    return rows, columns


def _around(places: Tensor, size: tuple[int, int], look: Look) -> Tensor | None:
    """(H, W) what is found around places (h, w) of a picture of that size; None of nothing."""
    area = _surroundings(resize(places[None, None].float(), size)[0, 0] > 0.5)
    for _ in range(LOOKS):
        if area is None:
            return None
        closer = look(area)
        cut = _cut(closer > 0.5, area, size)
        if sum(cut) < CUT:
            out = torch.zeros(size)
            out[area] = closer
            return out if float((out > 0.5).float().mean()) >= FEWEST else None
        area = _wider(area, [share > CUT / 3 for share in cut], size)
    return None


def overlap(one: Tensor, other: Tensor) -> float:
    """Intersection over union of two masks of one size."""
    both = torch.minimum(one, other).sum() / torch.maximum(one, other).sum().clamp_min(1e-6)
    return float(both)


def _beside(mask: Tensor, seen: Tensor) -> Area | None:
    """The largest part of a picture that has the place where a noun is seen and nothing of a mask.

    It goes from edge to edge of the picture: it is left of the mask, right, above or below.
    """
    (top, bottom), (left, right) = _ends(mask > 0.5)
    height, width = mask.shape
    row, column = divmod(int(seen.argmax()), seen.shape[1])
    y, x = (row + 0.5) / seen.shape[0] * height, (column + 0.5) / seen.shape[1] * width
    parts = [
        area
        for rows, columns in (
            ((0, height), (0, left)), ((0, height), (right, width)),
            ((0, top), (0, width)), ((bottom, height), (0, width)),
        )
        if rows[0] <= y <= rows[1] and columns[0] <= x <= columns[1]
        and (area := _part([rows, columns], mask.shape))
    ]  # fmt: skip
    return max(parts, default=None, key=_area)


def _area(area: Area) -> int:
    rows, columns = area
    return (rows.stop - rows.start) * (columns.stop - columns.start)


def _ends(shown: Tensor) -> list[tuple[int, int]]:
    """Of rows and columns that a thing covers (H, W): the first, and the one behind the last."""
    return [
        (int(places[0]), int(places[-1]) + 1)
        for places in (shown.any(1).nonzero()[:, 0], shown.any(0).nonzero()[:, 0])
    ]


def _surroundings(shown: Tensor) -> Area | None:
    """Where a small thing (H, W) and what is near it are."""
    if not shown.any():
        return None
    ends = _ends(shown)
    margin = AROUND * max(last - first for first, last in ends)
    return _part([(first - margin, last + margin) for first, last in ends], shown.shape)


def _wider(area: Area, sides: Sequence[bool], size: Sequence[int]) -> Area | None:
    """A part of the picture grown to the sides that are chosen: top, bottom, left, right."""
    more = WIDER * max(side.stop - side.start for side in area)
    top, bottom, left, right = (more * chosen for chosen in sides)
    rows, columns = area
    return _part(
        [(rows.start - top, rows.stop + bottom), (columns.start - left, columns.stop + right)], size
    )


def _part(ends: Sequence[tuple[float, float]], size: Sequence[int]) -> Area | None:
    """Rows and columns in a picture of that size; None of what is nearly all of it, or tiny."""
    rows, columns = (
        slice(max(0, round(first)), min(side, round(last)))
        for (first, last), side in zip(ends, size, strict=True)
    )
    height, width = rows.stop - rows.start, columns.stop - columns.start
    small = height * width <= SMALL * size[0] * size[1] and min(height, width) >= LEAST_SIDE
    return (rows, columns) if small else None


def _cut(shown: Tensor, area: Area, size: Sequence[int]) -> list[float]:
    """Shares of a thing's outline on the part's top, bottom, left and right edge.

    0 on those that are the picture's own.
    """
    outline = int(shown.int().diff(dim=0).abs().sum() + shown.int().diff(dim=1).abs().sum())
    rim = max(2, round(RIM * min(shown.shape)))
    bands = (
        shown[:rim].any(0), shown[-rim:].any(0), shown[:, :rim].any(1), shown[:, -rim:].any(1),
    )  # fmt: skip
    rows, columns = area
    inner = (rows.start > 0, rows.stop < size[0], columns.start > 0, columns.stop < size[1])
    return [
        int(band.sum()) / max(1, outline) if here else 0.0
        for band, here in zip(bands, inner, strict=True)
    ]
