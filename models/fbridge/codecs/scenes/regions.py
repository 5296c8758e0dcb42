"""Regions of a picture that flow: sky, water, grass, leaves, fire and smoke.

Each is found by what is known of it: its colours, its place in the frame and its texture. A mask
for the noun, where a segmenter gives one, decides between what fits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fbridge.codecs.matting import guided_filter, resize
from fbridge.codecs.scenes.currents import FALLING
from fbridge.codecs.scenes.looks import SCORES, Looks, falling, looks_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

_COARSE = 192
"""Longer side of the picture in which regions are sought."""
_LEAST = 0.01
"""Share of the frame below which a region counts as not there."""
OF_WATER = (
    460, 472, 484, 510, 525, 554, 576, 625, 628, 718, 780, 814, 833, 871, 914, 973, 975, 976, 977,
    978,
)  # fmt: skip
"""ImageNet's classes of shores, of what stands in water and of what swims on it."""
OF_FALLS = (562, 974)
"""ImageNet's classes of fountains and geysers, which show what goes with water that falls."""
THAT_SWIM = (97, 98, 99, 100, 137, 144)
"""ImageNet's classes of ducks, geese, swans, coots and pelicans."""
ANIMALS = 398
"""The first of ImageNet's classes are those of animals."""
OF_THE_HINT = ("flag", "hair")
"""Kinds that look like anything; only a mask for the noun finds them."""


_REACHING = {"fire": (0.15, 0.05), "flag": (0.05, 0.05), "hair": (0.04, 0.04)}
"""Kinds whose outline moves: how far it may go up, and to the sides, in the region's own size."""

_BAND, _APART, _SHARED, _LEVEL = 6, 25.0, 0.3, 0.9
"""Rows above and below an edge in grass; least difference of their colours in CIELAB, which a
forest behind a meadow has (57) and bushes behind a field (28), and 16 other pictures of grass do
not (18 at most); least share of the columns in which the region goes on over the edge, and of these
in which it is one."""
_TREES = frozenset(
    ("tree", "trees", "palm", "palms", "forest", "woods", "jungle", "pines", "willows", "treetops")
)
"""Nouns of leaves that grow above what else is green."""
_THIN, _DIFFERS, _HARDLY = 0.03, 0.12, 0.05
"""Greatest width of spires and masts before the sky, as a share of the longer side; least by which
they are darker or lighter than the sky on both sides, and by which their fainter ends are."""


def find_region(
    picture: Tensor,
    kind: str,
    noun: str = "",
    hint: Tensor | None = None,
    exclude: Tensor | None = None,
    *,
    scene: Tensor | None = None,
) -> Tensor:
    """(H, W) in [0, 1], how much each pixel of a picture (3, H, W) belongs to what flows.

    All 0 where nothing of the kind covers at least one hundredth of the frame.

    Args:
        picture: in [0, 1].
        kind: what flows, "water"; rain and snow have no region.
        noun: the word that names it, "lake".
        hint: (H, W) mask of the noun from a segmenter; may be wrong.
        exclude: (H, W) mask of other things, which stay out of the region.
        scene: (h, w) probability that a place shows a class that goes with the kind, as `OF_WATER`;
            where that is too small, nothing of the kind is there, whatever the colours.
    """
    height, width = picture.shape[-2:]
    scale = _COARSE / max(height, width)
    size = (max(8, round(height * scale)), max(8, round(width * scale)))
    small = resize(picture[None], size)[0]
    looks = looks_of(small)
    mask = None if hint is None else resize(hint[None, None], size)[0, 0]
    if kind in OF_THE_HINT:
        region = mask if mask is not None else torch.zeros(size)
    elif kind in SCORES:
        region = _sought(kind, noun, looks, small, mask)
    else:
        return torch.zeros(height, width)
    if kind == "grass":
        region = _before_trees(region, small)
    if scene is not None:
        region = _confirmed(region, small, scene)
    if exclude is not None:
        region = region * (1 - resize(exclude[None, None], size)[0, 0])
    if float(region.mean()) < _LEAST:
        return torch.zeros(height, width)
    if kind in _REACHING:
        region = _wider(region, *_REACHING[kind])
    fine = _refined(picture, region, exclude)
    return without_spires(picture, fine) if kind == "clouds" else fine


def _sought(kind: str, noun: str, looks: Looks, small: Tensor, hint: Tensor | None) -> Tensor:
    """The region of a kind in a small picture, without stray spots; the hint decides in doubt."""
    falls = kind in ("water", "waves") and noun in FALLING
    score = falling(looks, small) if falls else SCORES[kind](looks, small)
    if kind == "leaves" and noun.split()[-1:] in ([one] for one in _TREES):
        score = _above_meadow(score, small)
    if kind in ("smoke", "steam"):
        # Soft grey parts are too common to be taken for smoke without a mask for it.
        score = torch.zeros_like(score) if hint is None else torch.minimum(2 * score, hint)
    elif hint is not None and float(hint.mean()) >= _LEAST:
        fits = float((score * hint).sum() / hint.sum())
        if fits > 0.3:
            score = (score * 0.5 + hint * 0.5) * (hint > 0.1)
    fine = guided_filter(small[None], score[None, None], 5, 2e-3)[0, 0].clamp(0, 1)
    return _whole_parts(_cut(small, fine))


def _before_trees(region: Tensor, small: Tensor) -> Tensor:
    """A region of grass (h, w) without what is above a clear level edge in it: trees behind it.

    Bands of rows above and below differ by `_APART` in CIELAB, nearly all columns in the same way.
    """
    kept = region.clone()
    kept[: _level_edge(region, small)[0]] = 0
    return kept


def _above_meadow(score: Tensor, small: Tensor) -> Tensor:
    """A score of leaves (h, w) without what is below a clear level edge and lighter: a meadow."""
    edge, step = _level_edge(score, small)
    kept = score.clone()
    if step > 0:
        kept[edge:] = 0
    return kept


def _level_edge(region: Tensor, small: Tensor) -> tuple[int, float]:
    """The row of the clearest level edge in a region (h, w), 0 for none, and how light it is below.

    The latter is the step in CIELAB's lightness.
    """
    import cv2

    inside = region.numpy() > 0.5
    colours = cv2.cvtColor(small.permute(1, 2, 0).contiguous().numpy(), cv2.COLOR_RGB2LAB)
    height, width = inside.shape
    most, edge, lighter = _APART, 0, 0.0
    for row in range(_BAND, height - _BAND):
        bands = slice(row - _BAND, row), slice(row, row + _BAND)
        shared = inside[bands[0]].all(0) & inside[bands[1]].all(0)
        if shared.sum() < _SHARED * width:
            continue
        above, below = (colours[band][:, shared].mean(0) for band in bands)
        step = np.median(below - above, 0)
        size = float(np.linalg.norm(step))
        alike = ((below - above) @ step > size * size / 3).mean()
        if size > most and alike >= _LEVEL:
            most, edge, lighter = size, row, float(step[0])
    return edge, lighter


def _confirmed(region: Tensor, small: Tensor, scene: Tensor) -> Tensor:
    """A region of water (h, w) in the rows whose places show what goes with water; or none."""
    most, size = float(scene.amax()), (region.shape[0], region.shape[1])
    if most >= 0.3:
        rows = scene.mean(1, keepdim=True)
        near = ((rows / rows.amax() - 0.1) / 0.1).clamp(0, 1).expand_as(scene)
        region = region * resize(near[None, None].contiguous(), size)[0, 0]
    area = float(region.sum())
    if area < 1:
        return torch.zeros_like(region)
    red, green, blue = ((small * region).sum((1, 2)) / area).tolist()
    wide = area > 0.6 * region.numel()
    inside = float((resize(scene[None, None], size)[0, 0] * region).sum()) / area
    coloured = green - red > 0.2 or (blue - red > 0.06 and not wide)
    shown = inside >= (0.1 if wide else 0.06) or (most >= 0.08 and coloured)
    return region if shown else torch.zeros_like(region)


def _cut(small: Tensor, score: Tensor) -> Tensor:
    """A score moved to the edges of colour: GrabCut with the score's extremes given.

    Rother, Kolmogorov, Blake: GrabCut (SIGGRAPH 2004).
    """
    import cv2

    sure, never = score > 0.85, score < 0.12
    labels = torch.where(score > 0.5, cv2.GC_PR_FGD, cv2.GC_PR_BGD)
    labels[sure], labels[never] = cv2.GC_FGD, cv2.GC_BGD
    if min(int((score > 0.5).sum()), int((score <= 0.5).sum())) < 20:
        return score
    image = (small.permute(1, 2, 0) * 255).round().byte().numpy().copy()
    mask = labels.byte().numpy()
    behind, before = (np.zeros((1, 65)) for _ in range(2))
    cv2.setRNGSeed(0)
    cv2.grabCut(image, mask, (0, 0, 1, 1), behind, before, 2, cv2.GC_INIT_WITH_MASK)
    return torch.from_numpy(mask % 2).float() * (0.6 + 0.4 * score)


def _whole_parts(score: Tensor) -> Tensor:
    """A score made firm: parts above one half, without specks, with small holes filled."""
    import cv2

    inside = (score > 0.5).numpy().astype("uint8")
    for value in (1, 0):
        count, labels, facts, _ = cv2.connectedComponentsWithStats(
            (inside == value).astype("uint8"), connectivity=4
        )
        area = facts[:, cv2.CC_STAT_AREA]
        least = (
            max(0.004 * inside.size, 0.1 * area[1:].max())
            if value and count > 1
            else 0.0006 * inside.size
        )
        for part in range(1, count):
            if area[part] < least:
                inside[labels == part] = 1 - value
    firm = torch.from_numpy(inside).float()
    return firm * (0.5 + 0.5 * (4 * (score - 0.4)).clamp(0, 1))


def _wider(region: Tensor, up: float, aside: float) -> Tensor:
    """A region (h, w) grown upwards and to all sides by shares of the side of a square like it."""
    side = float(region.sum()) ** 0.5
    rise, rim = max(1, round(up * side)), max(1, round(aside * side))
    grown = F.max_pool2d(region[None, None], 2 * rim + 1, 1, rim)
    return F.max_pool2d(F.pad(grown, (0, 0, 0, rise)), (rise + 1, 1), 1)[0, 0]


def _refined(picture: Tensor, region: Tensor, exclude: Tensor | None) -> Tensor:
    """The region (h, w) at the picture's size, aligned with its edges; exactly 0 outside."""
    size = (picture.shape[1], picture.shape[2])
    wide = F.interpolate(region[None, None], size, mode="bilinear", align_corners=False)
    radius = max(2, round(2.0 * size[0] / region.shape[0]))
    fine = guided_filter(picture[None], wide, radius, 1e-3)[0, 0]
    fine = ((fine - 0.5) * 1.6 + 0.5).clamp(0, 1) * (wide[0, 0] > 0)
    if exclude is not None:
        fine = fine * (1 - exclude.clamp(0, 1))
    return torch.where(fine < 0.02, torch.zeros_like(fine), fine)


def without_spires(picture: Tensor, sky: Tensor) -> Tensor:
    """A sky (H, W) without thin upright things that rise into it from what is no sky.

    They are lost at the size in which regions are sought.
    """
    import cv2

    light = picture.mean(0).numpy()
    line = np.ones((1, max(5, round(_THIN * max(light.shape)))), np.uint8)
    closed = cv2.morphologyEx(light, cv2.MORPH_CLOSE, line)
    opened = cv2.morphologyEx(light, cv2.MORPH_OPEN, line)
    apart, outside = np.maximum(closed - light, light - opened), (sky < 0.5).numpy()
    rising = ~outside & _joined((apart > _DIFFERS) | outside, outside)
    rising = _joined((apart > _HARDLY) & ~outside, rising)
    _, parts, facts, _ = cv2.connectedComponentsWithStats(rising.astype(np.uint8))
    upright = facts[:, cv2.CC_STAT_HEIGHT] > facts[:, cv2.CC_STAT_WIDTH]
    upright[0] = False
    rim = np.ones((2 * round(_THIN / 10 * max(light.shape)) + 1,) * 2, np.uint8)
    gone = cv2.dilate(upright[parts].astype(np.uint8), rim)
    return sky * (1 - torch.from_numpy(gone).to(sky))


def _joined(inside: NDArray[np.bool_], some: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The connected parts of `inside` (h, w) of which `some` has a pixel."""
    import cv2

    _, parts = cv2.connectedComponents(inside.astype(np.uint8))
    found: NDArray[np.bool_] = inside & np.isin(parts, np.unique(parts[some & inside]))
    return found
