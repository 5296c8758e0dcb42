"""Where an object's outline lies: on which of the frame's edges, and whether it fills the frame."""

from __future__ import annotations

import torch
from torch import Tensor

from fbridge.codecs.render import half_size

LEFT, RIGHT, TOP, BOTTOM = range(4)
EDGES = ((-1.0, 0.0), (1.0, 0.0), (0.0, -1.0), (0.0, 1.0))
"""Outward normals (x, y) of the frame's edges."""

TOUCH = 0.04
"""Least length of contact with an edge that counts, as a share of that edge."""

NEAR = 0.01
"""How near an edge an object touches it, as a share of the shorter side."""

FILLS = 0.7
"""Share of the frame from which on an object moves as the whole frame."""

SPANNING = 0.62
"""The same for an object that opposite edges of the frame cut."""

FRAMED, LARGE = 0.5, 0.3
"""The same for an object with this share of its outline on the frame's edges, and of the frame."""

UNSEEN, FLAT, EVEN = 0.1, 0.4, 0.95
"""What an edge only grazes: most of the object that lies beyond the edge, as a share of what is
seen, across the edge; least that each side widens by, in pixels from row to row; and least share of
the width's change that a round end explains."""

SOFT, LOOKED_AT, FEWEST = 0.018, 0.1, 5
"""How near an edge the outline is as soft as the edge, as a share of the shorter side; how much of
the object from there on shows how it goes on beyond the edge; and at least so many rows."""


def contacts(alpha: Tensor) -> Tensor:
    """(4, 2) least and greatest place in frame units along each edge that cuts the object.

    Rows are the left, right, top and bottom edge; NaN where an edge does not cut it, or only grazes
    it.
    """
    height, width = alpha.shape
    half_w, half_h = half_size(height, width)
    out = torch.full((4, 2), torch.nan)
    grazed = ~grazes(alpha)[:, 0].isnan()
    for edge, half in enumerate((half_h, half_h, half_w, half_w)):
        ends = _touching(alpha, edge)
        if ends is not None and not grazed[edge]:
            along = height if edge in (LEFT, RIGHT) else width
            out[edge] = (torch.tensor(ends) / along * 2 - 1) * half
    return out


def grazes(alpha: Tensor) -> Tensor:
    """(4, 3) of each edge that only grazes the object: where along it, and how far it goes beyond.

    First and last pixel along the edge, and pixels across it; NaN elsewhere. Such an object meets
    the edge at a flat angle, and the square of its width shrinks evenly towards the end that is not
    seen, as a disc's does. What an edge cuts goes on as wide, or has such an end nowhere.
    """
    out = torch.full((4, 3), torch.nan)
    for edge in range(4):
        ends = _touching(alpha, edge)
        beyond = None if ends is None else _beyond(_from_edge(alpha, edge), ends)
        if ends is not None and beyond is not None:
            out[edge] = torch.tensor([*ends, beyond])
    return out


def _beyond(alpha: Tensor, ends: tuple[int, int]) -> float | None:
    """By how many pixels an object (h, w) goes on above its first row; None if that is not told.

    Args:
        alpha: from the edge inwards.
        ends: where it touches the edge.
    """
    deep = int((alpha > 0.5).any(1).nonzero()[-1]) + 1
    soft = max(2, round(SOFT * min(alpha.shape)))
    rows = alpha[soft : soft + max(FEWEST, soft, round(LOOKED_AT * deep))]
    middle = sum(ends) // 2
    parts = rows[:, :middle].flip(1), rows[:, middle:]
    joined = [(part > 0.05).cumprod(1) for part in parts]
    if len(rows) < FEWEST or any(bool(part[:, -1].any()) for part in joined):
        return None
    sides = torch.stack([(a * near).sum(1) for a, near in zip(parts, joined, strict=True)])
    depth = soft + 0.5 + torch.arange(len(rows))
    line = torch.stack([torch.ones_like(depth), depth], 1)
    if float(torch.linalg.lstsq(line, sides.T).solution[1].min()) < FLAT:
        return None
    # Of a disc of radius r that goes on by s, (w / 2)^2 + d^2 = 2 (r - s) d + s (2 r - s).
    half = (sides.sum(0) / 2).square()
    first, more = (fit := torch.linalg.lstsq(line, (half + depth.square())[:, None]).solution)[:, 0]
    unexplained = (half + depth.square() - (line @ fit)[:, 0]).var() / half.var().clamp_min(1e-6)
    beyond = ((more.square() + 4 * first).clamp_min(0).sqrt() - more) / 2
    radius, chord = more / 2 + beyond, (ends[1] - ends[0]) / 2
    arc = float(radius - (radius.square() - chord**2).clamp_min(0).sqrt())
    told = unexplained <= 1 - EVEN and beyond.abs() <= UNSEEN * deep
    return min(max(0.0, arc - _rim(alpha)), UNSEEN * deep) if told else None


def _from_edge(alpha: Tensor, edge: int) -> Tensor:
    """The picture (H, W) turned so that the edge is its first row."""
    return (alpha.T, alpha.flip(1).T, alpha, alpha.flip(0))[edge]


def _touching(alpha: Tensor, edge: int) -> tuple[int, int] | None:
    """Where along an edge an object touches it: first pixel, and the one behind the last."""
    band = (_from_edge(alpha, edge)[: _rim(alpha)] > 0.5).any(0)
    touching = band.nonzero()[:, 0]
    if len(touching) < TOUCH * len(band):
        return None
    return int(touching[0]), int(touching[-1]) + 1


def to_edges(alpha: Tensor) -> Tensor:
    """The opacity (H, W) of an object continued to the edges it touches, where it ends short."""
    rim, cut = _rim(alpha), [_touching(alpha, edge) is not None for edge in range(4)]
    alpha = alpha.clone()
    if cut[LEFT]:
        alpha[:, :rim] = alpha[:, : rim + 1].amax(1, keepdim=True)
    if cut[RIGHT]:
        alpha[:, -rim:] = alpha[:, -rim - 1 :].amax(1, keepdim=True)
    if cut[TOP]:
        alpha[:rim] = alpha[: rim + 1].amax(0)
    if cut[BOTTOM]:
        alpha[-rim:] = alpha[-rim - 1 :].amax(0)
    return alpha


def _rim(alpha: Tensor) -> int:
    return max(1, round(NEAR * min(alpha.shape)))


def framed_share(alpha: Tensor) -> float:
    """The share of the object's outline that lies on the frame's edges."""
    solid = (alpha > 0.5).int()
    inside = int(solid.diff(dim=0).abs().sum() + solid.diff(dim=1).abs().sum())
    border = int(solid[0].sum() + solid[-1].sum() + solid[:, 0].sum() + solid[:, -1].sum())
    return border / max(1, inside + border)


def moves_whole(alpha: Tensor) -> bool:
    """Whether an object (H, W) fills the frame, by area or outline, so that all of it moves."""
    area = float(alpha.mean())
    return (
        area >= FILLS
        or (area >= SPANNING and _opposite([bool(_touching(alpha, edge)) for edge in range(4)]))
        or (area >= LARGE and framed_share(alpha) >= FRAMED)
    )


def spans(cuts: Tensor) -> bool:
    """Whether opposite edges of the frame cut an object, told from its `contacts`."""
    return _opposite((~cuts[:, 0].isnan()).tolist())


def _opposite(edges: list[bool]) -> bool:
    left, right, top, bottom = edges
    return (left and right) or (top and bottom)
