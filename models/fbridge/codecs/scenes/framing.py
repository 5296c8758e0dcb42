"""Motions that never show what a picture does not hold.

An object that the frame's edge cuts keeps its cut outside the frame, one that fills the frame moves
it whole, and so does one that would shrink though it spans the frame, for then no shift hides both
of its cuts. The camera zooms in where it would see beyond the picture.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from fbridge.codecs.render import (
    ANGLE,
    BEND_X,
    BEND_Y,
    FADE,
    GAIN,
    LOG_SCALE,
    TX,
    TY,
    bend,
    half_size,
    unmove,
)
from fbridge.codecs.scenes.outline import (
    BOTTOM,
    EDGES,
    LEFT,
    RIGHT,
    TOP,
    contacts,
    moves_whole,
    spans,
    to_edges,
)
from fbridge.codecs.scenes.render import ZOOM_OUT
from fbridge.codecs.scenes.scene import Scene

LIFT = 0.6
"""How far the far end of a cut object moves from its edge, in distances from its centre to the
edge; the object grows by half as much."""

TILT = (0.3, 0.45)
"""Least and greatest angle by which a cut object turns; more becomes rocking to and fro."""

ROLLED = 0.15
"""Greatest angle by which the frame turns as it is shifted by more than `LEAVES`."""

ZOOM_IN = 1.5
"""Greatest magnification that hides what lies beyond the picture while the camera shifts."""

SHRINKS = -0.1
"""Logarithm of the scale below which an object shrinks, rather than be squashed in passing."""

GROWTH = math.log(1.6)
"""Greatest growth that hides a cut as a thing is shifted and turned at once; it is turned less."""

LEAVES = 0.1
"""Distance, in frame units, from which on a thing counts as moved away from an edge."""

OVERSHOOT = 1.6
"""Greatest displacement of a bent sheet, in those of its control points."""

_LEFT_BEHIND = {
    "right": (LEFT, "left"), "roll right": (LEFT, "left"),
    "left": (RIGHT, "right"), "roll left": (RIGHT, "right"),
    "down": (TOP, "upper"), "fall": (TOP, "upper"),
    "up": (BOTTOM, "lower"), "jump": (BOTTOM, "lower"), "bounce": (BOTTOM, "lower"),
}  # fmt: skip
"""The edge that a thing would leave by each verb, and its name."""
_NAMES = ("left", "right", "upper", "lower")


def held_by(alpha: Tensor, verb: str) -> str | None:
    """The name of the edge that cuts an object (H, W) and that the verb would have it leave."""
    edge, name = _LEFT_BEHIND.get(verb, (None, ""))
    if edge is None or bool(contacts(alpha)[edge, 0].isnan()) or moves_whole(alpha):
        return None
    return name


def limits(alpha: Tensor, verb: str, *, surely: bool = False, shrinks: bool = False) -> str:
    """What the frame makes of a verb's motion of an object (H, W), to be said of it; or "".

    With the thing's name in place of {}. Of what surely fills the frame nothing need be said; what
    goes away besides shrinks at an edge where it would grow.
    """
    if verb == "stay":
        return ""
    if moves_whole(to_edges(alpha)):
        return "" if surely else "the frame is filled by the {}; all of the picture goes with it"
    cuts = contacts(alpha)
    if verb == "away" and spans(cuts):
        return "opposite edges cut the {}; all of the picture goes with it"
    if edge := held_by(alpha, verb):
        grows = "" if shrinks else " and grows"
        return f"the {edge} edge cuts the {{}}; it stays there{grows}"
    cut = [name for name, ends in zip(_NAMES, cuts, strict=True) if not bool(ends[0].isnan())]
    if cut and verb in ("spin", "roll left", "roll right"):
        return f"the {cut[0]} edge cuts the {{}}; it rocks to and fro in place of turning"
    return ""


def constrain(scene: Scene, motion: Tensor) -> Tensor:
    """The motion (F, 3, 26) nearest to `motion` that starts at rest and shows no cut or border."""
    motion = smooth(motion)
    for slot in (0, 1):
        shrinks = float(motion[:, slot, LOG_SCALE].min()) < SHRINKS
        if scene.whole[slot] or (shrinks and spans(scene.contacts[slot])):
            motion = _move_frame(motion, slot)
        elif motion[:, slot].any():
            motion[:, slot] = anchor(scene, slot, motion[:, slot])
    motion[:, 2] = cover(motion[:, 2], half_size(*scene.picture.shape[-2:]))
    return motion


def smooth(motion: Tensor) -> Tensor:
    """Motion (F, 3, 26) from rest at frame 0, with less jitter.

    A quadratic fitted to five frames (Savitzky, Golay 1964) keeps the shape of jumps and shakes.
    """
    motion = motion - motion[:1]
    if len(motion) < 5:
        return motion
    head = 2 * motion[:1] - motion[1:3].flip(0)
    tail = 2 * motion[-1:] - motion[-3:-1].flip(0)
    kernel = motion.new_tensor([-3.0, 12, 17, 12, -3]) / 35
    rows = torch.cat([head, motion, tail]).flatten(1).T[:, None]
    out = F.conv1d(rows, kernel[None, None])[:, 0].T.view_as(motion)
    return out - out[:1]


def _move_frame(motion: Tensor, slot: int) -> Tensor:
    """The object's motion given to the camera; it vanishes into darkness.

    What rolls is hardly turned: of a picture that rolls whole, little would be seen between its
    corners.
    """
    motion = motion.clone()
    own = motion[:, slot].clone()
    if float(own[:, [TX, TY]].norm(dim=-1).max()) > LEAVES:
        own[:, ANGLE] = _rock(own[:, ANGLE], ROLLED)
    own[:, GAIN] += (1 - own[:, FADE].clamp(0, 0.98)).log()
    own[:, FADE] = 0
    motion[:, 2] += own
    motion[:, slot] = 0
    return motion


def anchor(scene: Scene, slot: int, motion: Tensor) -> Tensor:
    """An object's motion (F, 26) changed so that edges that cut it at rest still do.

    Towards the edge it is free. As it shrinks it is shifted to the edge; moving away from the edge,
    or turned, it goes half as far and grows by as much: its far end goes as far as it would have.
    """
    ranges = scene.contacts[slot]
    cut = [edge for edge in range(4) if not bool(ranges[edge, 0].isnan())]
    if not cut:
        return motion
    centre = scene.centre[slot]
    half = centre.new_tensor(half_size(*scene.picture.shape[-2:]))
    normals = centre.new_tensor(EDGES)[cut]
    depth = (normals.abs() @ half - normals @ centre).clamp_min(0.05)
    points = _contact_points(ranges[cut], normals, half)
    tilt = float((0.35 * depth[:, None] / (points - centre).norm(dim=-1)).min().clamp(*TILT))
    held = _Held(points, normals, centre, half, depth, scene.extent[slot])
    leaves = float(-(motion[:, [TX, TY]] @ normals.T).min()) > LEAVES
    usual = float(motion[:, LOG_SCALE].max())
    for share in (1.0, 0.5, 0.25, 0.0):
        out = held.motion(motion, share * tilt)
        if not leaves or float(out[:, LOG_SCALE].max()) <= usual + GROWTH:
            break
    return out


class _Held(NamedTuple):
    """An object's contacts with the edges that cut it, which shall stay there.

    Attributes:
        points: (E, 3, 2) of each contact.
        normals: (E, 2) of the edges.
        centre: (2,) of the object.
        half: (2,) width and height of the frame.
        depth: (E,) distances from the centre to the edges.
        extent: of the object, for its bends.
    """

    points: Tensor
    normals: Tensor
    centre: Tensor
    half: Tensor
    depth: Tensor
    extent: Tensor

    def motion(self, motion: Tensor, tilt: float) -> Tensor:
        """The motion (F, 26), turned by at most `tilt`, shifted and grown as far as is needed."""
        motion = motion.clone()
        motion[:, ANGLE] = _rock(motion[:, ANGLE], tilt)
        for normal, far in zip(self.normals, self.depth, strict=True):
            away = -(motion[:, [TX, TY]] @ normal)
            least = float(away.max().clamp_min(1e-6))
            axis = TX if normal[0] != 0 else TY
            motion[:, axis] *= min(1.0, LIFT * float(far) / least)
        shrunk = self.depth * (1 - motion[:, LOG_SCALE, None].exp()).clamp_min(0)
        gap = self._gaps(motion)
        shift = (gap + gap.minimum(shrunk)) / 2
        motion[:, [TX, TY]] += shift @ self.normals
        gap = self._gaps(motion)
        reach = self.depth - motion[:, [TX, TY]] @ self.normals.T
        grown = (reach / (reach - gap).clamp_min(0.05)).clamp_min(1).log().amax(1)
        motion[:, LOG_SCALE] += grown
        return motion

    def _gaps(self, motion: Tensor) -> Tensor:
        """(F, E) how far the moved contacts lie inside the frame's edges, at least zero."""
        rest = self.points[None].expand(len(motion), -1, -1, -1) - self.centre
        bent = 2 * rest - bend(rest, motion, self.extent)
        moved = move(bent + self.centre, motion, self.centre)
        inside = torch.einsum("fepc,ec->fep", moved, self.normals).amin(2)
        return (self.half @ self.normals.abs().T - inside).clamp_min(0)


def _contact_points(ranges: Tensor, normals: Tensor, half: Tensor) -> Tensor:
    """(E, 3, 2) both ends and the middle of each contact."""
    along = torch.stack([ranges[:, 0], ranges.mean(1), ranges[:, 1]], 1)[..., None]
    return normals[:, None] * half + along * normals.flip(1).abs()[:, None]


def move(points: Tensor, motion: Tensor, centre: Tensor) -> Tensor:
    """Where motions (F, 26) without bends bring points (F, ..., 2): the inverse of `unmove`."""
    corners = centre.new_tensor([[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]])
    origin, x, y = unmove(corners, motion, centre)[:, 0].unbind(1)
    matrix = torch.linalg.inv(torch.stack([x - origin, y - origin], -1))
    flat = points.flatten(1, -2) - origin[:, None]
    return (flat @ matrix.mT).view_as(points)


def _rock(angle: Tensor, most: float) -> Tensor:
    """Angles (F,) within `most`: small turns are scaled, larger ones become one rocking to and fro.

    However far it should turn, it rocks to either side and comes to rest upright.
    """
    largest = float(angle.abs().max())
    if largest <= most:
        return angle
    once = angle * (2 * math.pi / largest)
    return angle * (most / largest) if largest < 1.2 else most * once.sin()


def cover(camera: Tensor, half: tuple[float, float]) -> Tensor:
    """The camera's motion (F, 26) with just enough magnification to see nothing but the picture.

    Zooming out is free down to 1 / ZOOM_OUT, for the picture is continued that far.
    """
    if not camera.any():
        return camera
    camera = camera.clone()
    least = float(camera[:, LOG_SCALE].min())
    if least < -math.log(ZOOM_OUT):
        out = camera[:, LOG_SCALE].clamp_max(0) * (math.log(ZOOM_OUT) / -least)
        camera[:, LOG_SCALE] = camera[:, LOG_SCALE].clamp_min(0) + out
    size = camera.new_tensor(half)
    shift = (camera[:, [TX, TY]].abs() / size).max()
    camera[:, [TX, TY]] *= min(1.0, (ZOOM_IN - 1) / max(float(shift), 1e-6))
    corners = size * size.new_tensor([[[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]]])
    seen = unmove(corners, camera, torch.zeros_like(size))[:, 0].abs().amax(1)
    bent = OVERSHOOT * torch.stack([camera[:, BEND_X], camera[:, BEND_Y]], -1).abs().amax(1)
    room = size * (-camera[:, LOG_SCALE, None]).clamp_min(0).exp() - bent
    need = (seen / room.clamp_min(0.2)).amax(1).clamp_min(1).log() * camera.any(1)
    camera[:, LOG_SCALE] += _envelope(need)
    return camera


def _envelope(need: Tensor) -> Tensor:
    """A smooth curve (F,) from zero at frame 0 that is nowhere below `need`."""
    reach = max(1, len(need) // 8)
    row = F.pad(need[None, None], (2 * reach, 2 * reach), mode="replicate")
    row = F.avg_pool1d(F.max_pool1d(row, 2 * reach + 1, 1), 2 * reach + 1, 1)[0, 0]
    time = (torch.arange(len(need), dtype=need.dtype) / (2 * reach)).clamp_max(1)
    return need.maximum(row * time * time * (3 - 2 * time))
