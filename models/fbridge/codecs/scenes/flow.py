"""Eulerian flow: a region of a still picture moves by a steady velocity field.

Holynski et al., Animating Pictures with Eulerian Motion Fields (CVPR 2021): the field is integrated
both ways in time, and the picture carried forward from the start is blended with that carried back
from the end, so that nothing runs empty and the video loops. They blend features of a network; here
the blended colours get back the local contrast that averaging takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from fbridge.codecs.matting import pull_push, resize
from fbridge.codecs.scenes.currents import (
    FRAMES_OF_CYCLES,
    Style,
    Sway,
    style_of,
    sway,
    velocity,
)

Array = npt.NDArray[Any]
"""Of float32."""

_COARSE = 128
"""Longer side of the grid of the fields."""
_STEPS = 16
"""Steps in which the velocity is integrated over a cycle."""
_BLOCK = 8
"""Side in pixels of the blocks in which contrast is measured."""
_BORDER = 0.12
"""Distance from the region's border, in frame units, over which motion gains its full strength."""
_MARGIN = 4
"""Pixels around the region that are drawn with it."""
_MOST_GAIN = 1.42
"""Two unlike pictures blended half and half lose at most a factor of sqrt(2) of their contrast."""


@dataclass(frozen=True)
class Flow:
    """The flow of one region, ready to be drawn.

    Attributes:
        background: (3, H, W) the picture.
        box: rows and columns of the part that moves.
        region: (h, w) the region's strength within `box`.
        layer: (h, w, 3) what moves, continued beyond the region.
        contrast: (h / 8, w / 8) its local contrast.
        carried: (2, 17, 2, y, x) displacements in pixels to where the colour comes from, forward
            and back, on the coarse grid, at 17 times of a cycle; None where nothing travels.
        waves: the displacement in pixels that comes back, on the coarse grid.
        style: how it moves.
        cycles: cycles in the video, a whole number where it loops.
        total: frames of the video.
    """

    background: Tensor
    box: tuple[slice, slice]
    region: Tensor
    layer: Array
    contrast: Array
    carried: Tensor | None
    waves: Sway
    style: Style
    cycles: float
    total: int


def flow_video(
    background: Tensor,
    region: Tensor,
    kind: str,
    frames: range,
    total: int,
    seed: int,
    *,
    noun: str = "",
    speed: float = 1.0,
) -> Tensor:
    """Frames (F, 3, H, W) of a picture (3, H, W) whose region (H, W) flows.

    Frame 0 and all pixels where the region is 0 are the picture's own, bit for bit. To draw a video
    in parts, plan it once by `plan_flow`.

    Raises:
        ValueError: `kind` moves no region.
    """
    flow = plan_flow(background, region, kind, total, seed, noun=noun, speed=speed)
    return draw_flow(flow, frames)


def plan_flow(
    background: Tensor,
    region: Tensor,
    kind: str,
    total: int,
    seed: int,
    *,
    noun: str = "",
    speed: float = 1.0,
    way: str = "",
) -> Flow:
    """The flow of a region, from which frames are drawn; `way` as of `velocity`."""
    style = style_of(kind, noun)
    generator = torch.Generator().manual_seed(seed)
    unit = region.numel() ** 0.5 / 2
    box = _box_of(region)
    inside = region[box].contiguous()
    height, width = inside.shape
    unit = min(unit, 0.65 * inside.numel() ** 0.5)
    step = max(1.0, max(height, width) / _COARSE)
    size = (max(2, round(height / step)), max(2, round(width / step)))
    coarse = resize(inside[None, None], size)[0, 0]
    hold = _hold(coarse, max(1, round(_BORDER * unit / step / 3)))
    waves = sway(kind, noun, coarse, generator)
    waves = waves._replace(along=waves.along * hold * unit * min(speed, 1.5))
    layer, carried = background[(slice(None), *box)].contiguous(), None
    if style.travel:
        field = velocity(kind, noun, coarse, generator, way) * unit * speed
        field = field * (style.slip + (1 - style.slip) * hold)
        scale = field.new_tensor([size[1] / width, size[0] / height])
        carried = torch.stack([_carry(field, scale), _carry(-field, scale)])
        layer = pull_push(layer[None], _surely(inside))[0]
    cycles = style.cycles * total / FRAMES_OF_CYCLES
    if style.loops:
        cycles = max(1, round(cycles))
    moving = channels_last(layer)
    contrast = _contrast(moving)
    return Flow(background, box, inside, moving, contrast, carried, waves, style, cycles, total)


def draw_flow(flow: Flow, frames: range) -> Tensor:
    """Frames (F, 3, H, W) of a flow."""
    video = flow.background[None].repeat(len(frames), 1, 1, 1)
    if float(flow.region.amax()) == 0:
        return video
    still = channels_last(flow.background[(slice(None), *flow.box)])
    share = np.repeat(flow.region.numpy()[..., None], 3, axis=2)
    for at, frame in enumerate(frames):
        if frame > 0:
            moved = _moved(flow, flow.cycles * frame / flow.total)
            if flow.carried is None:
                moved = np.where(share > 0, moved, still)
            else:
                moved = still + share * (moved - flow.layer)
            part = torch.from_numpy(moved).permute(2, 0, 1)
            video[at][(slice(None), *flow.box)] = part.clamp_(0, 1)
    return video


def channels_last(picture: Tensor) -> Array:
    """A picture (3, H, W) as (H, W, 3), as OpenCV wants it."""
    return picture.permute(1, 2, 0).contiguous().numpy()


def _moved(flow: Flow, time: float) -> Array:
    """The layer (h, w, 3) at a time in cycles."""
    height = flow.waves.height(time)
    swayed = flow.waves.along * height
    if flow.carried is None:
        moved = _warp(flow.layer, swayed)
    elif not flow.style.loops:
        moved = _warp(flow.layer, swayed + _at(flow.carried[0], time / flow.cycles))
    else:
        turn = time % 1.0
        ahead = _warp(flow.layer, swayed + _at(flow.carried[0], turn))
        behind = _warp(flow.layer, swayed + _at(flow.carried[1], 1 - turn))
        # Two copies are seen in the middle of a cycle only.
        share = min(1.0, max(0.0, 1.6 * turn - 0.3))
        moved = _blend(flow.contrast, ahead, behind, share * share * (3 - 2 * share))
    if flow.style.shade:
        hold = flow.waves.along.norm(dim=0) / flow.waves.along.norm(dim=0).amax().clamp_min(1e-6)
        light = _grow(1 + flow.style.shade * height * hold, moved)
        moved *= np.repeat(light[..., None], 3, axis=2)
    return moved


def _blend(contrast: Array, ahead: Array, behind: Array, back: float) -> Array:
    """The layer moved both ways, blended with the share `back`; contrast lost in it is restored."""
    import cv2

    mixed = cv2.addWeighted(ahead, 1 - back, behind, back, 0)
    gain: Array = np.clip(contrast / (_contrast(mixed) + 1e-3), 1, _MOST_GAIN)
    height, width = mixed.shape[:2]
    smooth = cv2.blur(mixed, (2 * _BLOCK + 1, 2 * _BLOCK + 1))
    gain = cv2.resize(gain, (width, height), interpolation=cv2.INTER_LINEAR)
    return cv2.blendLinear(mixed, smooth, gain, 1 - gain)


def _contrast(layer: Array) -> Array:
    """(h / 8, w / 8) standard deviation of a layer's grey in blocks, smoothed."""
    import cv2

    size = tuple(max(1, round(side / _BLOCK)) for side in layer.shape[1::-1])
    grey = cv2.cvtColor(layer, cv2.COLOR_RGB2GRAY)
    mean, square = (
        cv2.resize(part, size, interpolation=cv2.INTER_AREA) for part in (grey, grey * grey)
    )
    return np.sqrt(cv2.blur(np.maximum(square - mean * mean, 0), (3, 3)))


def _at(carried: Tensor, turn: float) -> Tensor:
    """Displacement (2, y, x) at a time in cycles, between the times that are stored."""
    place = turn * _STEPS
    low = min(int(place), _STEPS - 1)
    return torch.lerp(carried[low], carried[low + 1], place - low)


def _grow(coarse: Tensor, like: Array) -> Array:
    import cv2

    return cv2.resize(
        coarse.numpy(), (like.shape[1], like.shape[0]), interpolation=cv2.INTER_LINEAR
    )


def _warp(layer: Array, displacement: Tensor) -> Array:
    """Layer (h, w, 3) sampled where displacements (2, y, x) in pixels point.

    Cubic: bilinear sampling would visibly blur fine texture as soon as it moves.
    """
    import cv2

    x, y = (_grow(part, layer) for part in displacement)
    x += np.arange(layer.shape[1], dtype=np.float32)[None]
    y += np.arange(layer.shape[0], dtype=np.float32)[:, None]
    return cv2.remap(layer, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)


def _carry(field: Tensor, scale: Tensor) -> Tensor:
    """(17, 2, y, x) displacements to the origin of what a field (2, y, x) carried along in a cycle.

    In pixels as the field; `scale` is coarse cells per pixel. What is at x now came from where it
    was a step ago, x - v: X(t + 1)(x) = X(t)(x - v(x)).
    """
    back = -field / _STEPS
    cells = back * scale[:, None, None]
    height, width = field.shape[1:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    size = torch.tensor([width, height])[:, None, None]
    grid = ((torch.stack([x, y]) + 0.5 + cells) * 2 / size - 1).permute(1, 2, 0)[None]
    carried = [torch.zeros_like(field)[None]]
    for _ in range(_STEPS):
        origin = F.grid_sample(carried[-1], grid, padding_mode="border", align_corners=False)
        carried.append(origin + back)
    return torch.cat(carried)


def _hold(region: Tensor, radius: int) -> Tensor:
    """(h, w) 0 at a region's border against still pixels, 1 well inside and at the frame's edge."""

    def padded(value: Tensor) -> Tensor:
        return F.pad(value, (radius,) * 4, mode="replicate")

    width = 2 * radius + 1
    held = -F.max_pool2d(-padded(region[None, None]), width, 1)
    for _ in range(2):
        held = F.avg_pool2d(padded(held), width, 1)
    return (held * region)[0, 0]


def _surely(region: Tensor) -> Tensor:
    """(1, 1, h, w) the region less its rim, whose colours are partly those of still things."""
    wide = F.pad(region[None, None], (2,) * 4, mode="replicate")
    return ((-F.max_pool2d(-wide, 5, 1) - 0.6) * 4).clamp(0, 1)


def _box_of(region: Tensor) -> tuple[slice, slice]:
    """Rows and columns of a region (H, W) and a margin; of the whole frame if it is empty."""
    sides = []
    for axis in (1, 0):
        some = torch.nonzero(region.amax(axis) > 0).flatten()
        low, high = (int(some[0]), int(some[-1])) if len(some) else (0, region.shape[1 - axis] - 1)
        sides.append(slice(max(0, low - _MARGIN), min(region.shape[1 - axis], high + 1 + _MARGIN)))
    return sides[0], sides[1]
