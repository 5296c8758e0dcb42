"""A picture as objects that are cut out of it, and what lies behind them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from fbridge.codecs.matting import pull_push
from fbridge.codecs.render import shape_of
from fbridge.codecs.scenes.fill import fill_behind, hidden
from fbridge.codecs.scenes.outline import contacts, grazes, moves_whole, to_edges


class Scene(NamedTuple):
    """A picture as two objects and what lies behind them.

    Attributes:
        picture: (3, H, W) in [0, 1].
        alphas: (2, H, W) opacity of the objects, nearest first; their sum is at most one.
        colours: (2, 3, H, W) the objects' own colours, free of the background's at soft edges.
        fill: (3, H, W) the picture without the objects.
        centre, extent: (2, 2) each object's centre and half sizes (x, y) in frame units.
        contacts: (2, 4, 2) where the frame's edges cut each object, see `outline.contacts`.
        grazes: (2, 4, 3) where they only graze it, see `outline.grazes`.
        whole: whether each object fills the frame, which then moves in its place.
    """

    picture: Tensor
    alphas: Tensor
    colours: Tensor
    fill: Tensor
    centre: Tensor
    extent: Tensor
    contacts: Tensor
    grazes: Tensor
    whole: tuple[bool, bool]


def build_scene(picture: Tensor, alphas: Tensor, alike: Tensor | None = None) -> Scene:
    """The layers of a picture (3, H, W) in [0, 1] from the opacity (2, H, W) of two objects.

    What they leave is not filled with other objects of their kinds, `alike` (H, W).
    """
    alphas = torch.stack([to_edges(alpha) for alpha in alphas])
    alphas = alphas / alphas.sum(0).clamp_min(1)
    whole = (moves_whole(alphas[0]), moves_whole(alphas[1]))
    layers = alphas * (~torch.tensor(whole))[:, None, None]
    fill = fill_behind(picture, layers.sum(0), alike)
    centre, extent = shape_of(alphas)
    colours = torch.stack([own_colours(picture, alpha) for alpha in layers])
    cuts = torch.stack([contacts(alpha) for alpha in layers])
    grazed = torch.stack([grazes(alpha) for alpha in layers])
    return Scene(picture, layers, colours, fill, centre, extent, cuts, grazed, whole)


def own_colours(picture: Tensor, alpha: Tensor) -> Tensor:
    """The colours (3, H, W) of an object alone, estimated where it covers pixels in part.

    Forte: Approximate Fast Foreground Colour Estimation (ICIP 2021): colours of opaque pixels
    continued outwards, and of clear pixels inwards, corrected by what their blend lacks.
    """
    if not alpha.any():
        return picture
    a = alpha[None]
    front = pull_push(picture[None], (a[None] > 0.95).to(picture.dtype))[0]
    back = pull_push(picture[None], (a[None] < 0.05).to(picture.dtype))[0]
    better = front + a * (picture - a * front - (1 - a) * back)
    return torch.where(a > 0.95, picture, better.clamp(0, 1))


def background(scene: Scene, moving: tuple[bool, bool] = (True, True)) -> Tensor:
    """The picture (3, H, W) without the objects that move; the rest is the picture bit for bit."""
    gone = scene.alphas[list(moving)].sum(0)
    if not gone.any():
        return scene.picture
    share = hidden(gone)
    return torch.where(share > 0, torch.lerp(scene.picture, scene.fill, share), scene.picture)
