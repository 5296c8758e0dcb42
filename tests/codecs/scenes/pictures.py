"""Small pictures with objects whose place is known."""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor

from fbridge.codecs.render import CHANNELS, pixel_grid
from fbridge.codecs.scenes.render import Stage
from fbridge.codecs.scenes.scene import Scene, build_scene

HEIGHT, WIDTH = 72, 96


def disc(x: float, y: float, radius: float = 0.3) -> Tensor:
    """A soft disc's opacity (H, W); place in frame units."""
    grid = pixel_grid(HEIGHT, WIDTH, torch.zeros(()))
    distance = (grid - torch.tensor([x, y])).norm(dim=-1)
    return ((radius - distance) * 30 + 0.5).clamp(0, 1)


def texture() -> Tensor:
    """A background (3, H, W) of soft blobs."""
    draw = torch.rand(1, 3, 18, 24, generator=torch.Generator().manual_seed(0))
    wide = torch.nn.functional.interpolate(draw, (HEIGHT, WIDTH), mode="bicubic")
    return ((wide[0] * 0.3).clamp(0, 0.3) * 255).round() / 255


def scene(first: Tensor, second: Tensor | None = None) -> Scene:
    """White objects over the texture."""
    alphas = torch.stack([first, torch.zeros_like(first) if second is None else second])
    cover = alphas.sum(0)
    picture = ((cover + (1 - cover) * texture()) * 255).round() / 255
    return build_scene(picture, alphas)


def drawn(scene: Scene, motion: Tensor, video: Tensor | None = None) -> Tensor:
    """Frames (F, 3, H, W), bytes, of a motion, before a video (F, 3, H, W) if one is given."""
    stage = Stage(scene, motion)
    grounds = [None] * len(motion) if video is None else list(video)
    frames = [stage.frame(number, ground) for number, ground in enumerate(grounds)]
    return torch.stack(frames).permute(0, 3, 1, 2)


def motion(frames: int = 8, slot: int = 0, **channels: float) -> Tensor:
    """Channels that grow linearly from zero, by the names of `fbridge.codecs.render`."""
    import fbridge.codecs.render as names

    out = torch.zeros(frames, 3, CHANNELS)
    for name, value in channels.items():
        out[:, slot, getattr(names, name)] = torch.linspace(0, value, frames)
    return out


PORTRAIT = (160, 120)
SKINS = {"light": (225, 180, 160), "brown": (150, 100, 75), "dark": (95, 60, 48)}
Portrait: TypeAlias = tuple[Tensor, Tensor, Tensor, Tensor]


def _oval(x: float, y: float, width: float, height: float) -> Tensor:
    rows = torch.arange(PORTRAIT[0])[:, None].float()
    columns = torch.arange(PORTRAIT[1]).float()
    return ((columns - x) / width) ** 2 + ((rows - y) / height) ** 2 < 1


def portrait(skin: tuple[int, int, int], hair: tuple[int, int, int]) -> Portrait:
    """Picture, person, face and hair: long hair down to a blue shirt, before a grey wall."""
    face = _oval(60, 62, 20, 26)
    locks = _oval(60, 55, 33, 40) | (
        _oval(60, 80, 33, 45) & (torch.arange(PORTRAIT[0])[:, None] < 112)
    )
    shirt = _oval(60, 160, 52, 55)
    neck = _oval(60, 92, 10, 16)
    picture = torch.full((3, *PORTRAIT), 0.55)
    for place, colour in ((locks, hair), (shirt, (40, 60, 150)), (neck, skin), (face, skin)):
        picture[:, place] = torch.tensor(colour)[:, None] / 255
    for x in (52, 68):  # eyes
        picture[:, _oval(x, 58, 3, 2)] = 0.1
    grain = 0.03 * torch.randn(3, *PORTRAIT, generator=torch.Generator().manual_seed(0))
    visible = locks & ~face & ~neck & ~shirt
    return (picture + grain).clamp(0, 1), (locks | shirt | neck | face).float(), face, visible
