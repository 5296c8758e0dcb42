"""Two architectures of equal size that answer with a motion: a transformer and a U-Net."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from examples.embedded.train_motion import network
from fbridge.backbones.space_time_plain import embed_times
from fbridge.codecs.render import CHANNELS
from fbridge.codecs.scenes.describe import DESCRIPTION, SLOTS
from fbridge.types import Condition

WIDTHS = (96, 120, 136)
"""Of the U-Net's levels, so that it has about as many weights as the transformer."""
KERNEL = 5
FRAME, CLOCK = 64, 128
"""Features of a frame's place in the clip, and of the network's time, as the transformer's."""


class TrajectoryUNet(nn.Module):
    """A U-Net along time, whose channels are those of all slots (Janner et al., arXiv 2205.09991).

    Time and description scale and shift the features of each block. Given as channels beside the
    motion, the description was not read in 800 steps: answers stayed near no motion.
    """

    def __init__(self) -> None:
        super().__init__()
        first, *_, last = WIDTHS
        self.enter = nn.Conv1d(SLOTS * 2 * CHANNELS + FRAME, first, KERNEL, padding=KERNEL // 2)
        self.clock = nn.Sequential(nn.Linear(CLOCK, last), nn.SiLU(), nn.Linear(last, last))
        self.told = nn.Sequential(
            nn.Linear(SLOTS * DESCRIPTION, last), nn.SiLU(), nn.Linear(last, last)
        )
        pairs = list(pairwise(WIDTHS))
        self.down = nn.ModuleList(_Block(width, width, last) for width in WIDTHS[:-1])
        self.shrink = nn.ModuleList(nn.Conv1d(a, b, 3, stride=2, padding=1) for a, b in pairs)
        self.middle = _Block(last, last, last)
        self.up = nn.ModuleList(_Block(a + b, a, last) for a, b in reversed(pairs))
        self.norm = nn.GroupNorm(8, first)
        self.head = nn.Conv1d(first, SLOTS * CHANNELS, 1)
        for weight in self.head.parameters():
            nn.init.zeros_(weight)

    def forward(self, latents: Tensor, time: Tensor, condition: Condition, prior: Tensor) -> Tensor:
        """As `fbridge.denoiser.Backbone`; frames are a multiple of four."""
        batch, frames = latents.shape[:2]
        passed = torch.linspace(0, 1, frames, device=latents.device) * 100
        places = embed_times(passed, FRAME, slowest=200).mT.expand(batch, -1, -1)
        x = self.enter(torch.cat([latents.flatten(2).mT, prior.flatten(2).mT, places], 1))
        known = self.clock(embed_times(time, CLOCK)) + self.told(condition.image_latents.flatten(1))
        left = []
        for block, shrink in zip(self.down, self.shrink, strict=True):
            x = block(x, known)
            left.append(x)
            x = shrink(x)
        x = self.middle(x, known)
        for block in self.up:
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = block(torch.cat([left.pop(), x], 1), known)
        out: Tensor = self.head(F.silu(self.norm(x)))
        return out.mT.reshape(latents.shape)


class _Block(nn.Module):
    """Two convolutions beside a shortcut; what is known scales and shifts between them."""

    def __init__(self, inputs: int, width: int, known: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(inputs, width, KERNEL, padding=KERNEL // 2)
        self.norm = nn.GroupNorm(8, width)
        self.modulate = nn.Linear(known, 2 * width)
        self.second = nn.Conv1d(width, width, KERNEL, padding=KERNEL // 2)
        self.shortcut = nn.Conv1d(inputs, width, 1)

    def forward(self, x: Tensor, known: Tensor) -> Tensor:
        scale, shift = self.modulate(F.silu(known))[..., None].chunk(2, 1)
        inner = F.silu(self.norm(self.first(x)) * (1 + scale) + shift)
        out: Tensor = self.shortcut(x) + self.second(inner)
        return out


def build(architecture: str) -> nn.Module:
    """With random weights, which torch's seed decides."""
    return {"transformer": lambda: network(timed=True), "unet": TrajectoryUNet}[architecture]()
