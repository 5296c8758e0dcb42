"""Velocity fields of what flows, and displacement fields of what sways, by kind.

Fields are (2, h, w), x then y, in frame units (half width times half height is 1; y down) on a
coarse grid. Velocities are per cycle: the time after which a looping video is back at its start.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from fbridge.codecs.render import pixel_grid

FALLING = ("waterfall", "cascade", "falls", "fountain")
RUNNING = ("river", "stream", "creek", "brook", "rapids", "current")


class Style(NamedTuple):
    """How a kind moves.

    Attributes:
        travel: distance that the fastest part moves in a cycle; 0: it only sways.
        sway: amplitude of the displacement that comes back.
        cycles: cycles in `FRAMES_OF_CYCLES` frames.
        turbulence: speed of the eddies as a share of the travel.
        slip: share of the speed that is left at the region's border.
        shade: amplitude of the brightness that goes with the sway.
        loops: whether two phases are blended, so that the end is the beginning again.
    """

    travel: float = 0.0
    sway: float = 0.0
    cycles: float = 1.0
    turbulence: float = 0.0
    slip: float = 0.0
    shade: float = 0.0
    loops: bool = True


FRAMES_OF_CYCLES = 40
STYLES = {
    "water": Style(travel=0.10, sway=0.012, turbulence=0.3, shade=0.05),
    "waves": Style(travel=0.17, sway=0.016, turbulence=0.15, shade=0.07),
    "clouds": Style(travel=0.16, turbulence=0.12, slip=0.5, loops=False),
    "smoke": Style(travel=0.12, sway=0.016, turbulence=0.8),
    "steam": Style(travel=0.12, sway=0.016, turbulence=0.8),
    "fire": Style(travel=0.09, sway=0.035, cycles=4, turbulence=0.5, shade=0.12),
    "leaves": Style(sway=0.022, cycles=2),
    "grass": Style(sway=0.032, cycles=2),
    "flag": Style(sway=0.065, cycles=2, shade=0.16),
    "hair": Style(sway=0.045, cycles=1),
}
"""Of the kinds that move a region; rain and snow are drawn over the picture."""
_FALL = Style(travel=0.45, cycles=2, turbulence=0.1, slip=0.3)


def style_of(kind: str, noun: str = "") -> Style:
    """The style of a kind; falling water has its own."""
    if kind not in STYLES:
        raise ValueError(
            f"kind = {kind!r}: no region moves like this; known are {', '.join(STYLES)}"
        )
    return _FALL if kind == "water" and noun in FALLING else STYLES[kind]


def smooth_noise(
    size: tuple[int, int], cells: float, generator: torch.Generator, *, repeats: bool = False
) -> Tensor:
    """(h, w) smooth noise of mean 0 and variance 1, with about `cells` hills along the longer side.

    With `repeats`, its right edge goes on at its left one and its lower edge at its upper one.
    """
    counts = [max(2, round(cells * part / max(size))) for part in size]
    if repeats:
        coarse = torch.randn(1, 1, *counts, generator=generator)
        coarse = F.pad(coarse, (2, 2, 2, 2), mode="circular")
        large = [part * (count + 4) // count for part, count in zip(size, counts, strict=True)]
        noise = F.interpolate(coarse, large, mode="bicubic", align_corners=False)[0, 0]
        top, left = ((whole - part) // 2 for whole, part in zip(large, size, strict=True))
        noise = noise[top : top + size[0], left : left + size[1]]
    else:
        coarse = torch.randn(1, 1, *(count + 3 for count in counts), generator=generator)
        noise = F.interpolate(coarse, size, mode="bicubic", align_corners=True)[0, 0]
    return (noise - noise.mean()) / noise.std().clamp_min(1e-6)


def _eddies(size: tuple[int, int], cells: float, generator: torch.Generator) -> Tensor:
    """(2, h, w) velocity of mean square 1 without divergence: a curl of smooth noise."""
    potential = smooth_noise(size, cells, generator)
    down, right = torch.gradient(potential)
    curl = torch.stack([down, -right])
    return curl / curl.square().sum(0).mean().sqrt().clamp_min(1e-6)


def _down(region: Tensor) -> Tensor:
    """(h, w) position of a row in the region's height: 0 at its top, 1 at its bottom."""
    rows = torch.nonzero(region.amax(1) > 0.5).flatten()
    top, bottom = (int(rows[0]), int(rows[-1])) if len(rows) else (0, len(region) - 1)
    place = (torch.arange(len(region)) - top) / max(1, bottom - top)
    return place.clamp(0, 1)[:, None].expand_as(region)


def velocity(
    kind: str, noun: str, region: Tensor, generator: torch.Generator, way: str = ""
) -> Tensor:
    """(2, h, w) velocity in a region (h, w) on the coarse grid, before it fades at the border.

    What may drift to either side does so to that of `way`, "left" or "right", or by chance.
    """
    size = (region.shape[0], region.shape[1])
    style = style_of(kind, noun)
    place = _down(region)
    side = 1.0 if torch.rand((), generator=generator) < 0.5 else -1.0
    side = {"left": -1.0, "right": 1.0}.get(way, side)
    speed = torch.ones(size)
    if kind == "clouds":
        # Clouds high in the frame are near and seem faster than those at the horizon. Where new
        # ones would come in from outside the frame, those that are there stretch.
        heading, cells = (side, 0.0), 4.0
        inflow = torch.linspace(0, 1, size[1]) if side > 0 else torch.linspace(1, 0, size[1])
        stretch = 2.5 * style.travel / (2 * (size[1] / size[0]) ** 0.5)
        speed = (1 - 0.6 * place) * (inflow / stretch).clamp(0, 1)
    elif kind == "waves":
        heading, speed, cells = _shore(region), _depth(place), 8.0
    elif kind == "water" and (noun in FALLING or noun in RUNNING):
        heading, cells = (0.0, 1.0), 10.0
        speed = speed if noun in FALLING else _depth(place)
    elif kind == "water":
        heading, speed, cells = (side, 0.15), _depth(place), 8.0
    else:
        heading, cells = (0.12 * side, -1.0), 7.0
    straight = torch.tensor(heading)[:, None, None] * speed
    turbulent = style.turbulence * speed * _eddies(size, cells, generator)
    return style.travel * (straight + turbulent)


def _depth(place: Tensor) -> Tensor:
    """Apparent size of things on a flat surface, 1 at its near end; never quite 0."""
    return 0.12 + 0.88 * place


def _shore(region: Tensor) -> tuple[float, float]:
    """Unit vector from the region's centre to what it borders on below its upper third."""
    grid = pixel_grid(region.shape[0], region.shape[1], region).unbind(-1)
    weight = region / region.sum().clamp_min(1e-6)
    x, y = (float((weight * axis).sum()) for axis in grid)
    still = F.max_pool2d(1 - region[None], 3, 1, 1)[0] * region
    still = still * (_down(region) > 0.33)
    if float(still.sum()) < 0.5:
        return 0.0, 1.0
    to_x, to_y = (float((still * axis).sum() / still.sum()) for axis in grid)
    heading = (0.6 * (to_x - x), max(to_y - y, 0.0) + 0.15)
    length = math.hypot(*heading)
    return heading[0] / length, heading[1] / length


class Sway(NamedTuple):
    """A sum of travelling waves: displacement `along` times `height` of the wave at a time.

    Attributes:
        phases: (K, h, w) of the waves at the start, in turns.
        rates: (K,) whole turns that each makes in a cycle.
        weights: (K, h, w) share of each.
        along: (2, h, w) displacement where the wave is 1.
    """

    phases: Tensor
    rates: Tensor
    weights: Tensor
    along: Tensor

    def height(self, time: float) -> Tensor:
        """(h, w) height of the wave over that at the start; time in cycles."""
        turned = 2 * math.pi * time * self.rates[:, None, None]
        angle = 2 * math.pi * self.phases
        return (self.weights * ((angle - turned).sin() - angle.sin())).sum(0)


def sway(kind: str, noun: str, region: Tensor, generator: torch.Generator) -> Sway:
    """The waves of a kind in a region (h, w) on the coarse grid."""
    x, y = pixel_grid(region.shape[0], region.shape[1], region).unbind(-1)
    size = (region.shape[0], region.shape[1])
    style = style_of(kind, noun)
    place = _down(region)
    wander = [0.25 * smooth_noise(size, 5.0, generator) for _ in range(3)]
    ones = torch.ones(size)
    if kind in ("water", "waves"):
        depth = _depth(place)
        # Phases of a wave train on a flat surface grow with the logarithm of the distance.
        trains = [7 * depth.log(), 11 * depth.log() + x / depth, 16 * depth.log() - 1.4 * x / depth]
        rates, share, along = [1.0, 2.0, 2.0], [0.5, 0.3, 0.2], torch.stack([0.6 * depth, depth])
        wander = [4 * part for part in wander[:1]] + [2 * part for part in wander[1:]]
    elif kind in ("fire", "smoke", "steam"):
        trains, rates, share = (
            [1.2 * y, 2.6 * y + x, 4.0 * y - 2 * x],
            [-1, -1, -2],
            [0.5, 0.3, 0.2],
        )
        along = torch.stack([1.0 - place, 0.5 * (1 - place)])
    elif kind == "flag":
        free = _from_pole(region)
        trains, rates = [1.1 * free, 2.0 * free + 0.3 * y, 0.4 * y], [1, 2, 1]
        share, along = [0.6, 0.3, 0.1], torch.stack([0.35 * free, free]).clamp(0, 1)
    elif kind == "hair":
        trains, rates, share = (
            [0.6 * y + 0.4 * x, 1.5 * y - x, 2.5 * x],
            [1, 1, 2],
            [0.6, 0.25, 0.15],
        )
        along = torch.stack([place.square(), 0.25 * place.square()])
    elif kind == "leaves":
        trains = [0.5 * x + 0.2 * y, 2.6 * x + 1.4 * y, 4.8 * x - 3.0 * y]
        rates, share, wander = [1, 2, 3], [0.5, 0.3, 0.2], [2 * part for part in wander]
        along = torch.stack([ones, 0.45 * ones])
    else:
        # A blade bends whole, from its root: down the frame the phase hardly changes.
        trains = [0.45 * x + 0.1 * y, 0.9 * x + 0.15 * y, 1.5 * x - 0.15 * y]
        rates, share = [1, 2, 2], [0.55, 0.3, 0.15]
        wander = [0.3 * smooth_noise(size, 2.5, generator) for _ in range(3)]
        along = torch.stack([ones, 0.1 * ones]) * (0.35 + 0.65 * place)
    phases = torch.stack(trains) + torch.stack(wander) + torch.rand(3, 1, 1, generator=generator)
    weights = torch.tensor(share)[:, None, None].expand(-1, *size)
    return Sway(phases, torch.tensor(rates, dtype=torch.float32), weights, style.sway * along)


def _from_pole(region: Tensor) -> Tensor:
    """(h, w) distance from a flag's pole, the straighter side of its region: from 0 to 1."""
    inside = region > 0.5
    columns = torch.arange(region.shape[1], dtype=torch.float32)
    rows = inside.any(1)
    if not bool(rows.any()):
        return torch.zeros_like(region)
    left = torch.where(inside, columns, float("inf")).amin(1)[rows]
    right = torch.where(inside, columns, -float("inf")).amax(1)[rows]
    low, high = float(left.min()), float(right.max())
    free = ((columns - low) / max(1.0, high - low)).clamp(0, 1)
    return (free if float(left.std(False)) <= float(right.std(False)) else 1 - free).expand_as(
        region
    )
