"""From frames back to motions: a guess in one pass, then a fit through the renderer."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from fbridge.codecs.layers import OBJECT_SLOTS
from fbridge.codecs.render import BEND_X, CHANNELS, Stack, render

SIDE = 64
"""Frames are compared at about this side length."""


class MotionEstimator(nn.Module):
    """Reads each frame beside the picture, then all frames together.

    Input is resampled to SIDE x SIDE whatever the picture's aspect, which the description tells.
    """

    def __init__(self, description: int, width: int = 192) -> None:
        super().__init__()
        slots = OBJECT_SLOTS + 1
        widths = (9 + OBJECT_SLOTS, 32, 64, 96, 128)
        convs: list[nn.Module] = []
        for before, after in pairwise(widths):
            convs += [nn.Conv2d(before, after, 3, 2, 1), nn.GroupNorm(8, after), nn.SiLU()]
        self.convs = nn.Sequential(*convs, nn.Flatten(), nn.Linear(widths[-1] * 16, width))
        self.told = nn.Linear(description * slots, width)
        self.passed = nn.Linear(2, width)
        layer = nn.TransformerEncoderLayer(
            width, 4, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.along = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        last = nn.Linear(width, slots * CHANNELS)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.head = nn.Sequential(nn.LayerNorm(width), last)

    def forward(self, video: Tensor, picture: Tensor, masks: Tensor, told: Tensor) -> Tensor:
        """Latents (B, F, 26, 3, 1) of videos (B, F, 3, S, S) that begin at pictures (B, 3, S, S).

        `masks` (B, 2, S, S) and `told` (B, D, 3, 1) are the codec's view of the picture.
        """
        b, f = video.shape[:2]
        still = picture[:, None].expand_as(video)
        seen = masks[:, None].expand(-1, f, -1, -1, -1)
        pairs = torch.cat([still, video, video - still, seen], 2).flatten(0, 1)
        u = torch.linspace(0, 1, f, device=video.device, dtype=video.dtype)
        place = self.passed(torch.stack([u, torch.full_like(u, f / 32)], -1))
        x = self.convs(pairs).unflatten(0, (b, f)) + self.told(told.flatten(1))[:, None] + place
        out: Tensor = self.head(self.along(x))
        return out.unflatten(-1, (CHANNELS, OBJECT_SLOTS + 1))[..., None]


@torch.enable_grad()
def fit_motions(
    stack: Stack, video: Tensor, guess: Tensor, unit: Tensor, *, steps: int, lr: float = 0.05
) -> Tensor:
    """Motions (F, 3, 26) that render `stack` as close to `video` (F, 3, H, W) as descent can.

    Adam on the latents from `guess` (F, 3, 26); `unit` (3, 26) is each channel's usual size. The
    loss is the mean absolute difference of the frames and of their quarters, with a light pull
    towards rest and towards smoothness in time. The control points join for the last third of the
    steps: what a shift explains is no bending.
    """
    latent = (guess / unit).detach().clone().requires_grad_()
    optimizer = torch.optim.Adam([latent], lr=lr)
    quarters = nn.functional.avg_pool2d(video, 4)
    best, best_loss = guess, float("inf")
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = lr * (1 - step / steps) + 1e-3
        motion = latent * unit
        frames = render(stack, motion)
        miss = (frames - video).abs().mean()
        coarse = (nn.functional.avg_pool2d(frames, 4) - quarters).abs().mean()
        pull = 1e-4 * latent.square().mean() + 1e-3 * latent.diff(dim=0).square().mean()
        loss = miss + coarse + pull
        if loss.item() < best_loss:
            best, best_loss = motion.detach(), loss.item()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        if latent.grad is not None and 3 * step < 2 * steps:
            latent.grad[..., BEND_X.start :] = 0
        optimizer.step()
    return best
