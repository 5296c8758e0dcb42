"""The renderer of scenes: objects that move before what lies behind them.

Motions and units are those of `fbridge.codecs.render`. OpenCV warps the frames: bicubic, several
times faster on a processor than torch. Images here are (H, W, channels) with colours up to 255.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fbridge.codecs.render import (
    BEND_X,
    CHANNELS,
    FADE,
    GAIN,
    LOG_SCALE,
    TX,
    TY,
    bend,
    unmove,
)
from fbridge.codecs.scenes.fill import TRACE, hidden
from fbridge.codecs.scenes.scene import Scene, background
from fbridge.codecs.scenes.warp import Image, box_corners, remap, soften, squeeze, to_image, warp

BENDS = slice(BEND_X.start, CHANNELS)
"""Channels of the control points."""

ZOOM_OUT = 1.16
"""How far the camera may draw back: the picture's border is stretched by as much."""

OVER = 0.004
"""Least share by which the camera sees beyond the picture that counts."""

PARALLAX = 1.08
"""How much more than the background an object moves as the camera pans and zooms."""

SETTLED = 1.5
"""Shift in pixels after which an object's own colours have replaced the picture's at soft edges."""

STEP = 4
"""Pixels between the places of a bent frame that are computed; between them they are linear."""

PAD = 4
"""Pixels by which an object that the frame's edge cuts is continued."""


class _Layer(NamedTuple):
    """An object's crop: premultiplied colour and alpha (h, w, 4), and where it starts (x, y).

    `rest` (h, w, 4) is what the crop must add at rest for the frame to be the picture.
    """

    image: Image
    rest: Image
    origin: tuple[int, int]


class Stage:
    """A scene, ready to draw any of the frames of a motion (F, 3, 26) from `constrain`."""

    def __init__(self, scene: Scene, motion: Tensor) -> None:
        self.scene, self.motion = scene, motion
        height, width = scene.picture.shape[1:]
        self.unit = (height * width) ** 0.5 / 2
        self.middle = torch.tensor([(width - 1) / 2, (height - 1) / 2], dtype=torch.float64)
        camera = motion[:, 2]
        pans = bool(camera[:, [TX, TY, LOG_SCALE]].any())
        self.free = free = [pans and bool(place.isnan().all()) for place in scene.contacts]
        seen = scene.alphas.flatten(1).amax(1) > 0
        moves = [
            bool(seen[slot]) and (free[slot] or bool(motion[:, slot].any())) for slot in (0, 1)
        ]
        self.moving = (moves[0], moves[1])
        self.cameras = []
        for slot in (0, 1):
            own = camera.clone()
            own[:, [TX, TY, LOG_SCALE]] *= PARALLAX if free[slot] else 1.0
            self.cameras.append(own)
        self.view = self._matrices(camera, torch.zeros(2))
        self.views = [self._matrices(own, torch.zeros(2)) for own in self.cameras]
        self.places = [self._matrices(motion[:, slot], scene.centre[slot]) for slot in (0, 1)]
        self.picture = to_image(scene.picture)
        self.ground = to_image(background(scene, self.moving))
        self.layers = {slot: self._layer(slot) for slot in (1, 0) if self.moving[slot]}
        self.over = self._over()

    def frame(self, number: int, ground: Tensor | None = None) -> Tensor:
        """Frame `number` as bytes (H, W, 3), before a background (3, H, W) if one is given."""
        import cv2

        if ground is None and not self.motion[number].any():
            image = self.picture
        else:
            image = self._background(number, ground)
            for slot in self.layers:
                self._draw(image, number, slot)
            gain = float(self.motion[number, 2, GAIN])
            if gain:
                image *= math.exp(gain)
        return torch.from_numpy(cv2.addWeighted(image, 1, image, 0, 0, dtype=cv2.CV_8U))

    def _matrices(self, motion: Tensor, centre: Tensor) -> Tensor:
        """(F, 3, 3) from pixels of the frame to those of the layer at rest."""
        corners = torch.tensor([[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]], dtype=torch.float64)
        at = unmove((corners - self.middle) / self.unit, motion.double(), centre.double())[:, 0]
        at = at * self.unit + self.middle
        out = torch.eye(3, dtype=torch.float64).repeat(len(motion), 1, 1)
        out[:, :2, 2] = at[:, 0]
        out[:, :2, 0], out[:, :2, 1] = at[:, 1] - at[:, 0], at[:, 2] - at[:, 0]
        return out

    def _over(self) -> Tensor:
        """(F, 2) how far beyond the picture the camera sees, in half widths and half heights."""
        height, width = self.scene.picture.shape[1:]
        corners = box_corners(0, 0, width - 1, height - 1)
        seen = torch.einsum("fij,cj->fci", self.view, corners)[..., :2] - self.middle
        over = seen.abs().amax(1) / self.middle - 1
        return torch.where(over > OVER, over, 0).float()

    def _layer(self, slot: int) -> _Layer:
        import cv2

        scene = self.scene
        alpha = to_image(scene.alphas[slot][None]) / 255
        colour = to_image(scene.colours[slot]) * alpha
        rest = self.picture - colour - (1 - alpha) * self.ground
        shown = (scene.alphas[slot] > TRACE / 4) | (hidden(scene.alphas[slot]) > 0)
        rows, columns = shown.nonzero().unbind(1)
        top, bottom = int(rows.min()), int(rows.max()) + 1
        left, right = int(columns.min()), int(columns.max()) + 1
        crop: Image = np.concatenate([colour, alpha, rest, 0 * alpha], -1)[top:bottom, left:right]
        cut = (~scene.contacts[slot][:, 0].isnan()).tolist()  # left, right, top, bottom
        beyond = scene.grazes[slot][:, 2].nan_to_num(-1).tolist()
        rounded = [math.ceil(far) + 1 for far in beyond]
        kept = [PAD if side else 0 for side in cut]
        clear = [max(0, PAD - max(sides)) for sides in zip(rounded, kept, strict=True)]
        for border, (x0, x1, y0, y1) in (
            (cv2.BORDER_REFLECT_101, rounded),
            (cv2.BORDER_REPLICATE, kept),
            (cv2.BORDER_CONSTANT, clear),
        ):
            crop = cv2.copyMakeBorder(crop, y0, y1, x0, x1, border)
        x, y = left - max(PAD, rounded[0]), top - max(PAD, rounded[2])
        for edge, graze in enumerate(scene.grazes[slot]):
            if beyond[edge] >= 0:
                band = _from_edge(crop, edge)[: max(PAD, rounded[edge])]
                _round_off(band, (y, y, x, x)[edge], graze)
        return _Layer(crop[..., :4].copy(), crop[..., 4:].copy(), (x, y))

    def _background(self, number: int, ground: Tensor | None) -> Image:
        """What is behind the moving objects, as the camera sees it."""
        import cv2

        image = self.ground if ground is None else self._before(to_image(ground))
        camera = self.motion[number, 2]
        if not camera.any():
            return image.copy()
        height, width = image.shape[:2]
        image = soften(image, self.view[number])
        if camera[BENDS].any() or self.over[number].any():
            where = self._where(number, None, (0, 0, width, height))
            return remap(image, where, cv2.BORDER_REPLICATE)
        return warp(image, self.view[number], (width, height), cv2.BORDER_REPLICATE)

    def _before(self, image: Image) -> Image:
        """A background with the objects that stand still painted over it."""
        for slot in (1, 0):
            if not self.moving[slot]:
                alpha = self.scene.alphas[slot][..., None].numpy()
                image = image + (2.5 * alpha).clip(0, 1) * (self.picture - image)
        return image

    def _draw(self, image: Image, number: int, slot: int) -> None:
        """Draw an object into the frame, in place, where it is."""
        import cv2

        motion, layer = self.motion[number, slot], self.layers[slot]
        matrix = self.places[slot][number] @ self.views[slot][number]
        height, width = layer.image.shape[:2]
        x, y = layer.origin
        corners = box_corners(x, y, x + width, y + height)
        moved = (corners @ torch.linalg.inv(matrix).T)[:, :2]
        bends = float(motion[BENDS].abs().max()) + float(self.motion[number, 2, BENDS].abs().max())
        spare = 2 + 1.6 * bends * self.unit * float(torch.linalg.det(matrix)) ** -0.5
        low = (moved.amin(0) - spare).floor().long().clamp_min(0).tolist()
        high = (moved.amax(0) + spare).ceil().long().tolist()
        box = (low[0], low[1], min(high[0], image.shape[1]), min(high[1], image.shape[0]))
        if box[0] >= box[2] or box[1] >= box[3]:
            return
        at_rest = (corners @ torch.linalg.inv(self.view[number]).T)[:, :2]
        shift = float((moved - at_rest).norm(dim=1).max()) + bends * self.unit
        shift += 10 * (abs(float(motion[GAIN])) + float(motion[FADE]))
        source = layer.image
        if shift < 3 * SETTLED:
            kept = math.exp(-((shift / SETTLED) ** 2))
            source = cv2.addWeighted(source, 1, layer.rest, kept, 0)
        source = soften(source, matrix)
        if bends or (self.over[number].any() and not self.free[slot]):
            where = self._where(number, slot, box)
            where -= np.array([x, y], np.float32)
            drawn = remap(source, where, cv2.BORDER_CONSTANT)
        else:
            to_crop, from_box = torch.eye(3).double(), torch.eye(3).double()
            to_crop[:2, 2] = -torch.tensor([x, y])
            from_box[:2, 2] = torch.tensor(box[:2])
            size = (box[2] - box[0], box[3] - box[1])
            drawn = warp(source, to_crop @ matrix @ from_box, size, cv2.BORDER_CONSTANT)
        left = 1 - min(max(float(motion[FADE]), 0.0), 1.0)
        cover = cv2.cvtColor(1 - left * drawn[..., 3].clip(0, 1), cv2.COLOR_GRAY2BGR)
        colour = cv2.cvtColor(drawn, cv2.COLOR_BGRA2BGR)
        part = image[box[1] : box[3], box[0] : box[2]]
        bright = left * math.exp(float(motion[GAIN]))
        part[:] = cv2.addWeighted(cv2.multiply(part, cover), 1, colour, bright, 0)

    def _where(self, number: int, slot: int | None, box: tuple[int, int, int, int]) -> Image:
        """(h, w, 2) pixels of the layer, or of the background, that a box of the frame shows."""
        import cv2

        height, width = self.scene.picture.shape[1:]
        counts = [-(-(box[2 + axis] - box[axis]) // STEP) + 2 for axis in (0, 1)]
        x, y = (
            box[axis] + STEP * (torch.arange(counts[axis]) - 0.5) - 0.5 - self.middle[axis]
            for axis in (0, 1)
        )
        grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).float() / self.unit
        size = grid.new_tensor([width, height]) / (2 * self.unit)
        camera = (self.motion[:, 2] if slot is None else self.cameras[slot])[number, None]
        place = bend(unmove(grid, camera, torch.zeros(2)), camera, size)
        if self.over[number].any() and not (slot is not None and self.free[slot]):
            place = squeeze(place / size, self.over[number]) * size
        if slot is not None:
            own, centre = self.motion[number, slot, None], self.scene.centre[slot]
            place = bend(unmove(place, own, centre) - centre, own, self.scene.extent[slot]) + centre
        coarse = (place[0] * self.unit + self.middle.float()).contiguous().numpy()
        wide: Image = cv2.resize(coarse, (counts[0] * STEP, counts[1] * STEP))
        return wide[STEP : STEP + box[3] - box[1], STEP : STEP + box[2] - box[0]]


def _from_edge(image: Image, edge: int) -> Image:
    """A view of an image (h, w, channels), turned so that the edge is its first row."""
    across = image.transpose(1, 0, 2)
    return (across, across[::-1], image, image[::-1])[edge]


def _round_off(band: Image, first: int, graze: Tensor) -> None:
    """Give what goes on beyond an edge its round end, in place.

    Args:
        band: (h, w, channels) beyond the edge, from outside inwards.
        first: where along the edge the band begins.
        graze: row of `outline.grazes`.
    """
    begin, end, beyond = graze.tolist()
    along = (2 * (first + np.arange(band.shape[1])) + 1 - begin - end) / (end - begin)
    far = np.arange(len(band), 0, -1)[:, None]
    band *= (beyond * (1 - along**2) - far + 1).clip(0, 1)[..., None]
