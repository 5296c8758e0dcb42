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


def contacts(alpha: Tensor) -> Tensor:
    """(4, 2) least and greatest place in frame units along each edge that cuts the object.

    Rows are the left, right, top and bottom edge; NaN where an edge does not cut it.
    """
    height, width = alpha.shape
    half_w, half_h = half_size(height, width)
    rim = _rim(alpha)
    solid = alpha > 0.5
    bands = (
        solid[:, :rim].any(1), solid[:, -rim:].any(1), solid[:rim].any(0), solid[-rim:].any(0),
    )  # fmt: skip
    out = torch.full((4, 2), torch.nan)
    for edge, (band, half) in enumerate(zip(bands, (half_h, half_h, half_w, half_w), strict=True)):
        touching = band.nonzero()[:, 0]
        if len(touching) >= TOUCH * len(band):
            ends = torch.stack([touching[0], touching[-1] + 1]).to(out.dtype)
            out[edge] = (ends / len(band) * 2 - 1) * half
    return out


def to_edges(alpha: Tensor) -> Tensor:
    """The opacity (H, W) of an object continued to the edges that cut it, where it ends short."""
    rim, cut = _rim(alpha), ~contacts(alpha)[:, 0].isnan()
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
        or (area >= SPANNING and spans(contacts(alpha)))
        or (area >= LARGE and framed_share(alpha) >= FRAMED)
    )


def spans(cuts: Tensor) -> bool:
    """Whether opposite edges of the frame cut an object, told from its `contacts`."""
    left, right, top, bottom = (~cuts[:, 0].isnan()).tolist()
    return bool((left and right) or (top and bottom))
