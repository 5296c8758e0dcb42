"""Scores of how much each pixel of a picture looks like sky, water, grass, leaves, fire or smoke.

By what is known of each: its colours, its place in the frame and its texture.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

_LAPLACE = ((0.0, 1.0, 0.0), (1.0, -4.0, 1.0), (0.0, 1.0, 0.0))


class Looks(NamedTuple):
    """What a pixel looks like; all (h, w).

    Attributes:
        red, green, blue: smoothed colour in [0, 1].
        value, colourful: largest channel; its distance to the smallest, as a share of it.
        texture: contrast among near pixels.
        rough: how fine the texture is; clouds are smooth from near where rock and trees are not.
        lying: share of that contrast that is across rows, as of ripples seen from the side.
        down: row, 0 at the top and 1 at the bottom.
    """

    red: Tensor
    green: Tensor
    blue: Tensor
    value: Tensor
    colourful: Tensor
    texture: Tensor
    rough: Tensor
    lying: Tensor
    down: Tensor


def looks_of(small: Tensor) -> Looks:
    """The looks of a small picture (3, h, w)."""
    height, width = small.shape[1:]
    smooth = _blur(small, 1)
    value, least = smooth.amax(0), smooth.amin(0)
    grey = small.mean(0)
    down, across = (part.square() for part in torch.gradient(grey))
    upright, sideways = (_blur(part[None], 3)[0] for part in (down, across))
    texture = (upright + sideways).sqrt()
    curved = F.conv2d(_padded(grey[None], 1), grey.new_tensor(_LAPLACE)[None, None])[0]
    fine = _blur(curved.square(), 4)[0].sqrt()
    row = ((torch.arange(height) + 0.5) / height)[:, None].expand(height, width)
    red, green, blue = smooth
    return Looks(
        red,
        green,
        blue,
        value,
        (value - least) / value.clamp_min(0.02),
        texture,
        fine / (texture + 0.008),
        upright / (upright + sideways + 1e-6),
        row,
    )


def _padded(image: Tensor, radius: int) -> Tensor:
    return F.pad(image[None], (radius,) * 4, mode="replicate")


def _blur(image: Tensor, radius: int) -> Tensor:
    return F.avg_pool2d(_padded(image, radius), 2 * radius + 1, 1)[0]


def _rise(value: Tensor, low: float, high: float) -> Tensor:
    """0 below `low`, 1 above `high`, a line between; falls where `high` is the smaller."""
    return ((value - low) / (high - low)).clamp(0, 1)


def _horizon(small: Tensor) -> int | None:
    """The row of the highest level edge across the whole picture, between 12 and 90 % of it."""
    height = small.shape[1]
    bands = F.avg_pool2d(small[None], (3, 1), 1)[0]
    step = bands[:, 3:] - bands[:, :-3]  # the three rows from i + 3 on less those from i on
    usual = step.mean(2, keepdim=True)
    channel = usual.abs().argmax(0, keepdim=True)
    step, usual = (
        part.gather(0, channel.expand(1, -1, part.shape[2]))[0] for part in (step, usual)
    )
    along = step * usual.sign()
    # An edge, no gradient: a few rows above and below there is no such step.
    around = torch.maximum(along.roll(7, 0), along.roll(-7, 0)).clamp_min(0)
    excess = F.max_pool2d((along - 1.5 * around)[None], (3, 1), 1, (1, 0))[0]
    agree = (excess > 0.02).float().mean(1)
    low, high = max(0, round(0.12 * height) - 3), round(0.9 * height) - 3
    rows = [row for row in range(low, min(high, len(agree))) if agree[row] > 0.75]
    if not rows:
        return None
    strength = agree * usual[:, 0].abs()
    return rows[0] + int(strength[rows[0] : rows[0] + 5].argmax()) + 3


def _sky(looks: Looks, small: Tensor) -> Tensor:
    """Score of sky and clouds: smooth, blue or pale or glowing, and open to the frame's top."""
    blue = _rise(looks.blue - looks.red, -0.02, 0.06) * _rise(looks.blue - looks.green, -0.06, 0.0)
    pale = _rise(looks.colourful, 0.35, 0.2) * _rise(looks.value, 0.15, 0.3)
    glow = _rise(looks.red - looks.green, -0.05, 0.02) * _rise(looks.value, 0.5, 0.7)
    glow = glow * _rise(looks.texture, 0.03, 0.015)
    colour = torch.stack([blue * _rise(looks.value, 0.06, 0.2), pale, glow]).amax(0)
    # Sunlit clouds have more contrast than anything else that is sky.
    most = 0.09 + 0.08 * _rise(looks.value, 0.5, 0.75)
    score = colour * ((most - looks.texture) / 0.05).clamp(0, 1) * _rise(looks.rough, 1.7, 1.2)
    row = _horizon(small)
    if row is not None:
        score = score * (looks.down * len(score) < row)
    return score * _open_to_top(score)


def _open_to_top(score: Tensor) -> Tensor:
    """(h, w) 1 where nothing solid is above, thin things apart; and in the same row beside it."""
    closed = F.max_pool2d(score[None, None], 7, 1, 3)
    closed = -F.max_pool2d(-closed, 7, 1, 3)[0, 0]
    seen = (closed.cummin(0).values > 0.45) & (score > 0.45)
    inside = score > 0.45
    starts = inside & ~F.pad(inside, (1, 0))[:, :-1]
    runs = starts.flatten().cumsum(0).reshape(score.shape) * inside
    reached = torch.zeros(int(runs.amax()) + 1, dtype=torch.bool)
    reached[runs[seen]] = True
    reached[0] = False
    return reached[runs].float()


def _water(looks: Looks, small: Tensor) -> Tensor:
    """Score of water: below the horizon, blue to green or of the sky's colours, level texture."""
    blue = _rise(looks.blue - looks.red, -0.01, 0.05)
    teal = _rise(looks.green - looks.red, 0.0, 0.06) * _rise(looks.blue - looks.red, -0.05, 0.02)
    pale = _rise(looks.colourful, 0.3, 0.12) * 0.75
    sky, row = _sky(looks, small), _horizon(small)
    bottom = ((sky > 0.5).float() * looks.down).amax(0).quantile(0.8)
    open_water = row is None and float(bottom) > 0.88
    reflects = torch.zeros_like(sky)
    if float(sky.mean()) > 0.03 and not open_water:
        tone = (small * sky).sum((1, 2)) / sky.sum()
        tint, here = tone / tone.sum(), small / small.sum(0).clamp_min(0.05)
        reflects = _rise((here - tint[:, None, None]).abs().sum(0), 0.22, 0.08)
    smooth = _rise(looks.texture, 0.03, 0.012)
    level = torch.maximum(_rise(looks.lying, 0.42, 0.6), smooth)
    strict = torch.maximum(_rise(looks.lying, 0.5, 0.66), smooth * _rise(looks.value, 0.1, 0.25))
    score = torch.maximum(
        torch.maximum(blue, teal) * (0.45 + 0.55 * level), torch.maximum(pale, reflects) * strict
    )
    if open_water:  # without sky: what reaches the picture's bottom
        return score * _touching(score > 0.4, bottom=True)
    line = bottom if row is None else row / len(score)
    score = score * (looks.down > line) * (1 - sky)
    return score * (0.3 + 0.7 * _touching(score > 0.4))


def falling(looks: Looks, small: Tensor) -> Tensor:
    """Score of falling water: pale and upright in texture."""
    pale = _rise(looks.colourful, 0.4, 0.15) * _rise(looks.value, 0.4, 0.6)
    return pale * _rise(looks.lying, 0.6, 0.35) * (1 - _sky(looks, small))


def _green(looks: Looks) -> Tensor:
    lead = looks.green - torch.maximum(looks.red, looks.blue)
    return _rise(lead, -0.03, 0.02) * _rise(looks.colourful, 0.12, 0.3)


def _straw(looks: Looks) -> Tensor:
    warm = _rise(looks.red - looks.blue, 0.08, 0.2) * _rise(looks.green - looks.blue, 0.05, 0.12)
    return warm * _rise(looks.green / looks.red.clamp_min(0.02), 0.6, 0.75)


def _grass(looks: Looks, _small: Tensor) -> Tensor:
    """Score of grass, reeds and fields: green to yellow; straw where little below is green."""
    green, lower = _green(looks), looks.down > 0.5
    straw = _straw(looks) * _rise(looks.down, 0.2, 0.45)
    if float(green[lower].mean()) > 0.2:
        straw = straw * _rise(looks.green / looks.red.clamp_min(0.02), 0.8, 0.9)
    colour = torch.maximum(green * (0.6 + 0.4 * _rise(looks.down, 0.1, 0.4)), straw)
    return colour * _rise(looks.texture, 0.003, 0.01)


def _leaves(looks: Looks, _small: Tensor) -> Tensor:
    """Score of foliage: green, yellow, orange or red, and textured."""
    autumn = _rise(looks.red - looks.blue, 0.12, 0.25) * _rise(looks.colourful, 0.35, 0.5)
    colour = torch.maximum(_green(looks), autumn)
    around = torch.maximum(looks.texture, _blur(looks.texture[None], 8)[0])
    return colour * _rise(around, 0.01, 0.025)


def _fire(looks: Looks, small: Tensor) -> Tensor:
    """Score of flames: bright, red over green over blue; their cores may be white."""
    flame = _rise(looks.red - looks.green, 0.02, 0.1) * _rise(looks.green - looks.blue, 0.02, 0.12)
    flame = flame * _rise(looks.red, 0.6, 0.85)
    core = _rise(small.amin(0), 0.75, 0.9) * _blur(flame[None], 5)[0].mul(4).clamp(0, 1)
    return torch.maximum(flame, core)


def _soft(looks: Looks, _small: Tensor) -> Tensor:
    """Score of smoke and steam: without colour, and soft."""
    return _rise(looks.colourful, 0.35, 0.15) * _rise(looks.texture, 0.06, 0.025)


SCORES: dict[str, Callable[[Looks, Tensor], Tensor]] = {
    "clouds": _sky,
    "water": _water,
    "waves": _water,
    "grass": _grass,
    "leaves": _leaves,
    "fire": _fire,
    "smoke": _soft,
    "steam": _soft,
}


def _touching(inside: Tensor, *, bottom: bool = False) -> Tensor:
    """(h, w) 1 in the connected parts that reach the frame's bottom, or also only its sides."""
    import cv2

    count, labels = cv2.connectedComponents(inside.numpy().astype("uint8"), connectivity=4)
    parts = torch.from_numpy(labels)
    edge = parts[-1] if bottom else torch.cat([parts[-1], parts[:, 0], parts[:, -1]])
    size = torch.bincount(edge, minlength=count)
    kept = size > (0.1 if bottom else 0.04) * len(edge)
    kept[0] = False
    return kept[parts.long()].float()
