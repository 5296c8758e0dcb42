"""What lies behind an object, continued with the picture's texture.

Wexler, Shechtman, Irani: Space-Time Completion of Video (PAMI 2007), for one picture: every patch
that overlaps the hole is matched with one outside, and pixels are means of what the matches of the
patches around them show there, from coarse to fine. As in PatchMatch (Barnes et al., 2009), finer
levels look for better matches among those of neighbours. At full size pixels are copied. Where the
ground is plain, other things that stand before it are not copied.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fbridge.codecs.matting import pull_push, resize
from fbridge.codecs.scenes.ground import standing

SIDES = (48, 96, 192)
"""The longer side of the picture at each level."""

REACH = 3
"""Patches have 2 * REACH + 1 pixels a side."""

WIDER = 0.025
"""By how much of the shorter side the hole is wider than the object."""

FAR = (1.0, 25.0)
"""Cost of a match that is a picture's width or height away: things there look otherwise."""

ROUNDS = (3, 2, 2)
"""How often patches are matched anew at each level."""

TRACE = 0.02
"""Least opacity that counts as the object."""

KIND = 0.6
"""Largest share of what is around a hole that other things of a kind may cover, if nothing is to be
copied from them."""

LEAST = 60
"""Fewest patches outside the hole to copy from; else it is filled with smooth colours."""

SEAM = 0.1
"""Largest correction of colour where copies meet what is around; more is another structure."""

_TAPS = tuple((dy, dx) for dy in (-2, 0, 2) for dx in (-2, 0, 2))
_JUMPS = tuple(
    (dy * step, dx * step) for step in (1, 4) for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0))
)


class _Level(NamedTuple):
    """A picture (3, h, w) at one size; its unknown pixels; its patches, by their centres.

    `source` (h, w) are patches that can be copied from, with `features` (h w, 32);
    `active` (N,) are indices of those to match.
    """

    picture: Tensor
    hole: Tensor
    source: Tensor
    features: Tensor
    active: Tensor


def fill_behind(picture: Tensor, alpha: Tensor, alike: Tensor | None = None) -> Tensor:
    """The picture (3, H, W) without the object whose opacity is alpha (H, W).

    Other objects of its kind, `alike` (H, W), are not copied into the hole that it leaves.
    """
    return complete(picture, dilate(alpha > TRACE, reach(alpha)), alike)


def hidden(alpha: Tensor) -> Tensor:
    """(H, W) how much of the filling replaces the picture: all of it behind the object and its rim.

    From there to the edge of what is filled it falls to none.
    """
    blur = max(1, reach(alpha) // 2)
    near = dilate(alpha > TRACE, reach(alpha) - blur).to(alpha.dtype)[None, None]
    return F.avg_pool2d(F.pad(near, (blur,) * 4, mode="replicate"), 2 * blur + 1, 1)[0, 0]


def reach(alpha: Tensor) -> int:
    """By how many pixels the hole behind an object (H, W) is wider than it."""
    return max(2, round(WIDER * min(alpha.shape)))


def complete(picture: Tensor, hole: Tensor, alike: Tensor | None = None) -> Tensor:
    """The picture (3, H, W) with its hole (H, W) filled; what is known stays bit for bit.

    Nothing is copied from `alike` (H, W), unless it is nearly all that there is.
    """
    if not hole.any():
        return picture
    smooth = pull_push(picture[None], (~hole)[None, None].to(picture.dtype))[0]
    others = _others(smooth, hole)
    if alike is not None and float((alike > 0.5).sum()) <= KIND * float((~hole).sum()):
        others = others | (alike > 0.5)
    levels = [_level(smooth, hole, others, side) for side in SIDES]
    levels = [level for level in levels if int(level.source.sum()) >= LEAST]
    if not levels:
        return smooth
    image = _peel(levels[0])
    match, _ = _search(levels[0], _features(image)[levels[0].active])
    for number, level in enumerate(levels):
        if number:
            match = _finer(levels[number - 1], match, level)
            image = _vote(level, match, torch.zeros_like(match, dtype=image.dtype))
        for _ in range(ROUNDS[number]):
            here = _features(image)[level.active]
            match, cost = _improve(level, here, match) if number > 1 else _search(level, here)
            image = _vote(level, match, cost)
    return torch.where(hole, _copy(picture, hole, levels[-1], match), picture)


def dilate(mask: Tensor, pixels: int) -> Tensor:
    """The mask (H, W) wider by so many pixels."""
    width = 2 * pixels + 1
    wide = F.max_pool2d(mask[None, None].float(), (1, width), 1, (0, pixels))
    return F.max_pool2d(wide, (width, 1), 1, (pixels, 0))[0, 0] > 0


def _others(picture: Tensor, hole: Tensor) -> Tensor:
    """(H, W) bool: what stands before a plain ground apart from the hole; nothing of a busy one.

    What touches the hole may go on in it.
    """
    import cv2

    size = _size_of(hole, SIDES[-1])
    small = (resize(picture[None], size)[0].clamp(0, 1) * 255).round().byte()
    gone = resize(hole[None, None].to(picture.dtype), size)[0, 0] > 0
    found = standing(small.permute(1, 2, 0).contiguous().numpy(), (~gone).numpy())
    if found is None:
        return torch.zeros_like(hole)
    _, parts = cv2.connectedComponents(found.astype(np.uint8))
    apart = (parts > 0) & ~np.isin(parts, parts[dilate(gone, 1).numpy()])
    small_apart = torch.from_numpy(apart)[None, None].float()
    return F.interpolate(small_apart, (hole.shape[0], hole.shape[1]))[0, 0] > 0


def _size_of(hole: Tensor, side: int) -> tuple[int, int]:
    """(h, w) with the longer side at most `side`."""
    shrink = min(1.0, side / max(hole.shape))
    return max(1, round(hole.shape[0] * shrink)), max(1, round(hole.shape[1] * shrink))


def _level(picture: Tensor, hole: Tensor, others: Tensor, side: int) -> _Level:
    """The picture with its longer side at most `side`; nothing is copied from `others` (H, W)."""
    size = _size_of(hole, side)
    known = (~hole)[None, None].to(picture.dtype)
    share = resize(known, size)
    small = resize(picture[None] * known, size) / share.clamp_min(1e-3)
    missing = share[0, 0] < 0.5
    small = pull_push(small, (~missing)[None, None].to(picture.dtype))[0]
    near = dilate(missing, REACH)
    source = ~near
    if others.any():
        source &= ~dilate(resize(others[None, None].to(known), size)[0, 0] > 0, REACH)
    source[:REACH] = source[-REACH:] = False
    source[:, :REACH] = source[:, -REACH:] = False
    return _Level(small, missing, source, _features(small), near.flatten().nonzero()[:, 0])


def _patches(image: Tensor) -> Tensor:
    """(h w, 3 k k) patches of an image (3, h, w) with replicated edges."""
    image = F.pad(image[None], (REACH,) * 4, mode="replicate")
    return F.unfold(image, 2 * REACH + 1)[0].T


def _features(image: Tensor) -> Tensor:
    """(h w, 32) coordinates of patches, whose squared distance is what a match costs.

    The cosine transform's ten coefficients of least frequency in each colour, and the place.
    """
    width, (height, across) = 2 * REACH + 1, image.shape[1:]
    k = torch.arange(width, dtype=image.dtype)
    waves = (math.pi / width * (k + 0.5) * k[:4, None]).cos() * (2 / width) ** 0.5
    waves[0] /= 2**0.5
    kept = [(i, j) for i in range(4) for j in range(4 - i)]
    kernels = torch.stack([torch.outer(waves[i], waves[j]) for i, j in kept])[:, None]
    padded = F.pad(image[:, None], (REACH,) * 4, mode="replicate")
    seen = F.conv2d(padded, kernels).flatten(0, 1).flatten(1)
    x = torch.arange(across, dtype=image.dtype) / across * FAR[0] ** 0.5
    y = torch.arange(height, dtype=image.dtype) / height * FAR[1] ** 0.5
    place = torch.stack(torch.meshgrid(y, x, indexing="ij")).flatten(1)
    return torch.cat([seen, place]).T.contiguous()


def _peel(level: _Level) -> Tensor:
    """A first filling: rings from the hole's edge inwards, each from patches known in part."""
    image, missing = level.picture.clone(), level.hole.clone()
    sources = level.source.flatten().nonzero()[:, 0]
    colours, known_patches = level.picture.flatten(1), _patches(level.picture)[sources]
    while missing.any():
        ring = (missing & dilate(~missing, 1)).flatten().nonzero()[:, 0]
        known = _patches((~missing)[None].to(image.dtype))[ring].repeat(1, 3)
        patches = _patches(image)[ring] * known
        cost = known @ known_patches.square().T - 2 * patches @ known_patches.T
        far = torch.stack([ring // missing.shape[1], ring % missing.shape[1]], 1)[:, None] - (
            torch.stack([sources // missing.shape[1], sources % missing.shape[1]], 1)
        )
        cost += far[..., 0].square() * (FAR[1] / missing.shape[0] ** 2)
        cost += far[..., 1].square() * (FAR[0] / missing.shape[1] ** 2)
        image.view(3, -1)[:, ring] = colours[:, sources[cost.argmin(1)]]
        missing.view(-1)[ring] = False
    return image


def _search(level: _Level, here: Tensor) -> tuple[Tensor, Tensor]:
    """The best match among all sources for features (n, 32), and its cost."""
    sources = level.source.flatten().nonzero()[:, 0]
    there = level.features[sources]
    norm = there.square().sum(1)
    match = torch.cat([(norm - 2 * part @ there.T).argmin(1) for part in here.split(512)])
    return sources[match], (here - there[match]).square().sum(1)


def _finer(before: _Level, match: Tensor, level: _Level) -> Tensor:
    """The coarser level's matches on this level."""
    (low_h, low_w), (height, width) = before.hole.shape, level.hole.shape
    field = torch.zeros(2, low_h * low_w)
    field[:, before.active] = torch.stack(
        [match // low_w - before.active // low_w, match % low_w - before.active % low_w]
    ).float()
    y, x = level.active // width, level.active % width
    near = (y * low_h // height) * low_w + x * low_w // width
    to_y = (y + (field[0, near] * height / low_h).round().long()).clamp(0, height - 1)
    to_x = (x + (field[1, near] * width / low_w).round().long()).clamp(0, width - 1)
    return to_y * width + to_x


def _improve(level: _Level, here: Tensor, match: Tensor) -> tuple[Tensor, Tensor]:
    """Better matches for features (N, 32) of the active patches, and their costs."""
    there = level.features
    height, width = level.hole.shape
    source = level.source.flatten()
    cost = (here - there[match]).square().sum(1).masked_fill(~source[match], torch.inf)
    lost = cost.isinf()
    if lost.any():
        match = match.clone()
        match[lost], cost[lost] = _search(level, here[lost])
    y, x = level.active // width, level.active % width
    row = torch.full((height * width,), -1)
    row[level.active] = torch.arange(len(level.active))
    draw = torch.Generator().manual_seed(0)
    for dy, dx in _JUMPS + ((0, 0),) * 3:
        inside = (y + dy >= 0) & (y + dy < height) & (x + dx >= 0) & (x + dx < width)
        other = row[((y + dy).clamp(0, height - 1) * width + (x + dx).clamp(0, width - 1))]
        to = match[other.clamp_min(0)]
        to_y, to_x = to // width - dy, to % width - dx
        if not dy and not dx:
            shift = torch.randint(-6, 7, (2, len(match)), generator=draw)
            to_y, to_x = to_y + shift[0], to_x + shift[1]
        inside &= (other >= 0) & (to_y >= 0) & (to_y < height) & (to_x >= 0) & (to_x < width)
        to = to_y.clamp(0, height - 1) * width + to_x.clamp(0, width - 1)
        new = (here - there[to]).square().sum(1)
        better = inside & source[to] & (new < cost)
        match, cost = torch.where(better, to, match), torch.where(better, new, cost)
    return match, cost


def _vote(level: _Level, match: Tensor, cost: Tensor) -> Tensor:
    """The image whose unknown pixels are means of what the matches of patches around them show."""
    height, width = level.hole.shape
    pixels = level.hole.flatten().nonzero()[:, 0]
    y, x = pixels // width, pixels % width
    row = torch.zeros(height * width, dtype=torch.long)
    row[level.active] = torch.arange(len(level.active))
    step = match - level.active
    scale = cost.quantile(0.5).clamp_min(1e-6) if len(cost) else cost.sum()
    weight = (-cost / scale).exp()
    colours = level.picture.flatten(1)
    total, sums = torch.zeros(len(pixels)), torch.zeros(3, len(pixels))
    for dy, dx in _TAPS:
        inside = (y + dy >= 0) & (y + dy < height) & (x + dx >= 0) & (x + dx < width)
        patch = row[((y + dy).clamp(0, height - 1) * width + (x + dx).clamp(0, width - 1))]
        w = weight[patch] * inside
        to = (pixels + step[patch]).clamp(0, height * width - 1)
        total += w
        sums += w * colours[:, to]
    image = level.picture.clone()
    image.view(3, -1)[:, pixels] = sums / total.clamp_min(1e-9)
    return image


def _copy(picture: Tensor, hole: Tensor, level: _Level, match: Tensor) -> Tensor:
    """The picture at full size: each pixel a blend of what the four nearest matches show."""
    (height, width), (low_h, low_w) = hole.shape, level.hole.shape
    step = torch.zeros(2, low_h * low_w)
    step[0, level.active] = (match // low_w - level.active // low_w) * (height / low_h)
    step[1, level.active] = (match % low_w - level.active % low_w) * (width / low_w)
    step = step.round().long()
    is_active = torch.zeros(low_h * low_w, dtype=torch.bool)
    is_active[level.active] = True
    ring = dilate(hole, 2)
    pixels = ring.flatten().nonzero()[:, 0]
    y, x = pixels // width, pixels % width
    at_y, at_x = (y + 0.5) * low_h / height - 0.5, (x + 0.5) * low_w / width - 0.5
    colours = picture.flatten(1)
    total, sums = torch.zeros(len(pixels)), torch.zeros(3, len(pixels))
    for dy in (0, 1):
        for dx in (0, 1):
            row, column = at_y.floor() + dy, at_x.floor() + dx
            w = _fade(at_y - row) * _fade(at_x - column)
            low = row.long().clamp(0, low_h - 1) * low_w + column.long().clamp(0, low_w - 1)
            to_y = (y + step[0, low]).clamp(0, height - 1)
            to_x = (x + step[1, low]).clamp(0, width - 1)
            to = to_y * width + to_x
            w = w * is_active[low] * (~hole.flatten()[to])
            total += w
            sums += w * colours[:, to]
    out = picture.clone()
    copied = sums / total.clamp_min(1e-9)
    out.view(3, -1)[:, pixels] = copied
    return (out + _membrane((picture - out).clamp(-SEAM, SEAM), ring & ~hole)).clamp(0, 1)


def _fade(distance: Tensor) -> Tensor:
    """Weight of a neighbour at a distance of at most one."""
    near = (1 - distance.abs()).clamp(0, 1)
    return near * near * (3 - 2 * near)


def _membrane(difference: Tensor, ring: Tensor) -> Tensor:
    """Differences (3, H, W) known in a ring, smoothly continued: copies meet what is around."""
    return pull_push(difference[None], ring[None, None].to(difference.dtype))[0]
