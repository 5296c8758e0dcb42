"""The latent space of the first embedded model: motions of the picture's layers.

Models that were saved with it still load; `fbridge.codecs.scene_codec` took its place.

A latent is (B, F, 26, 3, 1): the motion channels of `fbridge.codecs.render` for two objects and the
camera, each divided by its scale. Zero is the still picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor

from fbridge.codecs import Gaussian, View
from fbridge.codecs.layers import OBJECT_SLOTS, LayerNet, masks_of
from fbridge.codecs.matting import fill_behind, has_no_contour, refine_masks, resize
from fbridge.codecs.render import CHANNELS as CHANNELS
from fbridge.codecs.render import Stack, build_elastic, build_stack, half_size, render, shape_of
from fbridge.codecs.sizes import MAX_SIDE as MAX_SIDE
from fbridge.codecs.sizes import MIN_SIDE as MIN_SIDE
from fbridge.codecs.sizes import EvenSized
from fbridge.codecs.tracking import track_motions
from fbridge.types import Latents

SLOTS = OBJECT_SLOTS + 1
DESCRIPTION = 20
TRACKING_SIDE = 64
RENDER_PIXELS = 2**21
"""Pixels rendered at a time, which limits the memory."""


class MotionScene(NamedTuple):
    """A picture (3, H, W) and its objects' masks (2, h, w) at the network's resolution."""

    picture: Tensor
    masks: Tensor


def working_size(height: int, width: int, side: int) -> tuple[int, int]:
    """(height, width) of about the aspect ratio, with an area of about side^2; multiples of 16."""
    half_w, half_h = half_size(height, width)

    def snap(length: float) -> int:
        return min(max(16 * round(length / 16), side // 2), 2 * side)

    return snap(side * half_h), snap(side * half_w)


def describe(masks: Tensor, picture: Tensor) -> Tensor:
    """(B, 20, 3, 1): position, size and colours of each slot; the camera's slot is the background.

    Coarse on purpose, so that it means the same for drawings and photographs. Channels: centre and
    half sizes in frame units (4), square root of the area (1), share of each picture edge that the
    slot touches (4), the frame's half sizes (2), one-hot slot (3), mean and standard deviation of
    the colours (6).

    Args:
        masks: (B, 2, H, W) of the objects.
        picture: (B, 3, H, W) in [0, 1].
    """
    slots = torch.cat([masks, 1 - masks.sum(1, keepdim=True)], 1)
    frame = slots.new_tensor(half_size(*masks.shape[-2:])).expand(len(slots), SLOTS, 2)
    centre, extent = shape_of(slots)
    edges = (slots[..., 0], slots[..., -1], slots[..., 0, :], slots[..., -1, :])
    sides = torch.stack([edge.mean(2) for edge in edges], -1)
    which = torch.eye(SLOTS, device=slots.device).expand(len(slots), SLOTS, SLOTS)
    weight = slots / (slots.sum((2, 3), keepdim=True) + 1e-3)
    mean = torch.einsum("bshw,bchw->bsc", weight, picture)
    square = torch.einsum("bshw,bchw->bsc", weight, picture.square())
    spread = (square - mean.square()).clamp_min(0).sqrt()
    area = slots.mean((2, 3)).sqrt()[..., None]
    return torch.cat([centre, extent, area, sides, frame, which, mean, spread], -1).mT[..., None]


class MotionCodec(EvenSized, ModelMixin, ConfigMixin):  # type: ignore[misc]
    """From picture and prompt to layers, from motions to frames, and from frames to motions."""

    reads_text = True
    repeats = True
    first_frame_alone = False  # latents are motions
    needs_picture = True

    @register_to_config
    def __init__(
        self,
        widths: tuple[int, ...] = (32, 64, 128, 192),
        text_width: int = 384,
        side: int = 128,
        scale: tuple[tuple[float, ...], ...] = ((1.0,) * SLOTS,) * CHANNELS,
    ) -> None:
        super().__init__()
        self.layers = LayerNet(widths, text_width)

    @property
    def unit(self) -> Tensor:
        """(26, 3, 1) scale of each channel, float32 whatever the network's dtype."""
        return torch.tensor(self.config.scale, device=self.device)[..., None]

    @torch.no_grad()
    def view(
        self,
        pictures: Sequence[Tensor],
        text: Tensor,
        prompt_mask: Tensor,
        prompts: Sequence[str] | None = None,
    ) -> View:
        """Segment each picture into layers; pictures may be of different sizes."""
        conditions, scenes = [], []
        for row, picture in enumerate(pictures):
            size = working_size(picture.shape[1], picture.shape[2], self.config.side)
            length = int(prompt_mask[row].sum())
            prompt = text[row : row + 1, :length].to(self.dtype)
            small = resize(picture[None], size)
            mask = prompt_mask[row : row + 1, :length]
            masks = masks_of(self.layers(small.to(self.dtype), prompt, mask))
            conditions.append(describe(masks, small))
            scenes.append(MotionScene(picture, masks[0]))
        return View(torch.cat(conditions), None, tuple(scenes))

    def still(self, view: View, num_frames: int) -> Gaussian:
        """No motion: zeros."""
        frame = view.image_latents.new_zeros(len(view.scenes), 1, CHANNELS, SLOTS, 1)
        return Gaussian(frame.expand(-1, num_frames, -1, -1, -1))

    @torch.no_grad()
    def decode(self, latents: Latents, view: View) -> list[Tensor]:
        """Render the moved layers of each picture."""
        videos = []
        for row, scene in zip(self.motions(latents), view.scenes, strict=True):
            stack = self.stack(scene.picture[None], scene.masks)
            step = max(1, RENDER_PIXELS // scene.picture[0].numel())
            videos.append(torch.cat([render(stack, part) for part in row.split(step)]))
        return videos

    def encode(
        self, videos: Sequence[Tensor], view: View, *, steps: int = 12, polish: int = 40
    ) -> Gaussian:
        """Track the layers through each clip, which starts with its picture."""
        latents = []
        for video, scene in zip(videos, view.scenes, strict=True):
            small = working_size(scene.picture.shape[1], scene.picture.shape[2], TRACKING_SIDE)
            stack = self.stack(resize(scene.picture[None], small), scene.masks)
            unit = self.unit[..., 0].mT
            motion = track_motions(stack, resize(video, small), unit, steps=steps, polish=polish)
            latents.append(self.latents(motion[None])[0])
        return Gaussian(torch.stack(latents))

    def tile(self) -> bool:
        """Tiles do not apply: frames are rendered in parts anyway."""
        return False

    @staticmethod
    def stack(picture: Tensor, masks: Tensor) -> Stack:
        """The layers of a picture (1, 3, H, W) at its own resolution, from masks (2, h, w)."""
        fine = refine_masks(picture, masks[None])
        fill = fill_behind(picture, fine)
        if has_no_contour(picture, fine, fill):
            return build_elastic(picture[0], fine[0])
        return build_stack(picture[0], fine[0], fill[0])

    def motions(self, latents: Latents) -> Tensor:
        """Latents (B, F, 26, 3, 1) as the renderer's motions (B, F, 3, 26)."""
        return (latents.float() * self.unit)[..., 0].mT

    def latents(self, motions: Tensor) -> Latents:
        """The renderer's motions (B, F, 3, 26) as latents (B, F, 26, 3, 1)."""
        out: Tensor = motions.mT[..., None] / self.unit
        return out
