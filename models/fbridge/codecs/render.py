"""The renderer of moved layers.

Coordinates are *frame units* (x right, y down, centre 0; half width times half height is 1). At
zero motion the frame is the picture itself: the colour of a layer is what it must add for that.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

TX, TY, LOG_SCALE, ANGLE, STRETCH, SHEAR, GAIN, FADE = range(8)
BEND_X, BEND_Y = slice(8, 17), slice(17, 26)
CHANNELS = 26
"""Motion channels of a layer in a frame: translation (2), log scale, angle, stretch, shear, log
brightness, fade, and displacements of 3 x 3 control points, all x then all y, row by row."""

BEYOND = 0.35
"""Distance beyond the picture's edge, in frame units, over which a cut-off object fades out."""

REACH, MOST_PULL, EDGE = 3.0, 0.6, 0.6
"""Range of an elastic object's pull in its half sizes; its maximum, and the width of the frame's
margin in which it weakens, in frame units."""


class Stack(NamedTuple):
    """The layers of one picture.

    Attributes:
        layers: (2, 4, H, W) each object's premultiplied colour and alpha, nearest first.
        background: (3, H, W) colour behind them.
        centre, extent: (2, 2) each object's centre and half sizes as (x, y) in frame units.
        elastic: whether the first object deforms its surroundings instead of moving over them.
    """

    layers: Tensor
    background: Tensor
    centre: Tensor
    extent: Tensor
    elastic: bool = False


def half_size(height: int, width: int) -> tuple[float, float]:
    """The frame's half width and half height in frame units."""
    return (width / height) ** 0.5, (height / width) ** 0.5


def pixel_grid(height: int, width: int, like: Tensor) -> Tensor:
    """(H, W, 2) centres (x, y) of the pixels in frame units."""
    half_w, half_h = half_size(height, width)
    x = (torch.arange(width, device=like.device) + 0.5) / width * 2 - 1
    y = (torch.arange(height, device=like.device) + 0.5) / height * 2 - 1
    grid = torch.meshgrid(y * half_h, x * half_w, indexing="ij")
    return torch.stack([grid[1], grid[0]], -1).to(like.dtype)


def shape_of(masks: Tensor) -> tuple[Tensor, Tensor]:
    """Centre and half sizes (..., 2) of masks (..., H, W), weighted by the squared mask.

    Half sizes are those of a box with the mask's variance; an empty mask is at the frame's centre.
    """
    height, width = masks.shape[-2:]
    grid = pixel_grid(height, width, masks)
    weight = masks.square()
    total = weight.sum((-2, -1))[..., None] + 1e-3
    centre = (weight[..., None] * grid).sum((-3, -2)) / total
    offset = grid - centre[..., None, None, :]
    spread = (weight[..., None] * offset.square()).sum((-3, -2)) / total
    return centre, (3 * spread).sqrt().clamp_min(0.05)


def build_stack(picture: Tensor, masks: Tensor, fill: Tensor) -> Stack:
    """Layers of a picture (3, H, W) from masks (2, H, W), whose sum is at most one.

    `fill` (3, H, W) is the colour behind the objects. At soft edges it replaces the picture sooner
    than the mask fades, so that no rim stays behind when an object moves away.
    """
    first, second = masks[:1], masks[1:]

    def hidden(mask: Tensor) -> Tensor:
        return (2.5 * mask).clamp(0, 1)

    background = torch.lerp(picture, fill, hidden(first + second))
    below = torch.lerp(picture, fill, hidden(first) * (1 - second))
    layers = torch.stack(
        [
            torch.cat([picture - (1 - first) * below, first]),
            torch.cat([below - (1 - second) * background, second]),
        ]
    )
    centre, extent = shape_of(masks)
    return Stack(layers, background, centre, extent)


def build_elastic(picture: Tensor, masks: Tensor) -> Stack:
    """A picture (3, H, W) as one elastic sheet, which moves where the first mask of (2, H, W) is.

    For close-ups, where an object has no contour to be cut out along.
    """
    sheet = torch.cat([picture, torch.ones_like(picture[:1])])
    layers = torch.stack([sheet, torch.zeros_like(sheet)])
    centre, extent = shape_of(masks)
    return Stack(layers, picture, centre, extent, elastic=True)


def render(stack: Stack, motion: Tensor) -> Tensor:
    """Frames (F, 3, H, W) of motions (F, 3, 26): first object, second object, camera."""
    height, width = stack.background.shape[-2:]
    grid = pixel_grid(height, width, stack.background)
    size = grid.new_tensor(half_size(height, width))
    camera = motion[:, 2]
    view = bend(unmove(grid, camera, torch.zeros_like(size)), camera, size)
    frames = _sample(stack.background, view / size, "reflection")
    for slot in (1, 0):
        layer = motion[:, slot]
        place = unmove(view, layer, stack.centre[slot]) - stack.centre[slot]
        place = bend(place, layer, stack.extent[slot]) + stack.centre[slot]
        if stack.elastic and slot == 0:
            place = _pull(view, place, stack.centre[slot], stack.extent[slot], size)
        colour, alpha = _sample(stack.layers[slot], place / size, "border").split([3, 1], 1)
        left = (1 - layer[:, FADE].clamp(0, 1))[:, None, None, None] * _beyond(place, size)
        gain = layer[:, GAIN].exp()[:, None, None, None]
        frames = left * gain * colour + (1 - left * alpha) * frames
    return (frames * camera[:, GAIN].exp()[:, None, None, None]).clamp(0, 1)


def unmove(grid: Tensor, motion: Tensor, centre: Tensor) -> Tensor:
    """Positions in the layer at rest that motions (F, 26) bring to `grid` (..., H, W, 2)."""
    m = motion[:, :, None, None].unbind(1)
    x, y = (grid - centre).unbind(-1)
    x, y = x - m[TX], y - m[TY]
    cos, sin = m[ANGLE].cos(), m[ANGLE].sin()
    x, y = cos * x + sin * y, cos * y - sin * x
    x = x - m[SHEAR] * y
    x = x * (m[STRETCH] / 2 - m[LOG_SCALE]).exp()
    y = y * (-m[STRETCH] / 2 - m[LOG_SCALE]).exp()
    return torch.stack([x, y], -1) + centre


def bend(place: Tensor, motion: Tensor, extent: Tensor) -> Tensor:
    """Positions (F, H, W, 2) relative to the layer's centre, displaced by the control points."""
    x, y = (place / extent).clamp(-1.3, 1.3).unbind(-1)

    def basis(v: Tensor) -> Tensor:
        return torch.stack([v * (v - 1) / 2, 1 - v * v, v * (v + 1) / 2], -1)

    points = torch.stack([motion[:, BEND_X], motion[:, BEND_Y]], -1).unflatten(1, (3, 3))
    return place - torch.einsum("fhwi,fhwj,fijc->fhwc", basis(y), basis(x), points)


def _pull(view: Tensor, place: Tensor, centre: Tensor, extent: Tensor, size: Tensor) -> Tensor:
    """Positions between `view` (at rest) and `place` (moved) of an elastic sheet.

    The displacement is full inside the object, decays around it and towards the frame's edge, and
    is bounded, so that the sheet never folds.
    """
    radius = ((view - centre) / (REACH * extent)).norm(dim=-1, keepdim=True)
    edge = ((size - view.abs()).amin(-1, keepdim=True) / EDGE).clamp(0, 1)
    hold = (1 - radius.square()).clamp_min(0).square() * edge
    shift = place - view
    return view + hold * shift / (1 + shift.norm(dim=-1, keepdim=True) / MOST_PULL)


def _beyond(place: Tensor, size: Tensor) -> Tensor:
    """(F, 1, H, W) opacity of an object beyond the picture's edge."""
    outside = (place.abs() - size).clamp_min(0).amax(-1)
    return (1 - outside / BEYOND).clamp_min(0)[:, None]


def _sample(layer: Tensor, where: Tensor, padding: str) -> Tensor:
    frames = layer[None].expand(len(where), -1, -1, -1)
    return F.grid_sample(frames, where, padding_mode=padding, align_corners=False)
