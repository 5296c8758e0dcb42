"""From frames to motions: layers are tracked by fitting rendered to given frames.

Direct image alignment (Lucas and Kanade, 1981) with the renderer as the warp: each frame starts
from the motion of the one before, then all frames are optimised together.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from fbridge.codecs.render import BEND_X, Stack, render

LEARNING_RATE = 0.06
BLURS = (4, 1)
"""Sizes of the blocks whose means are compared: large ones for large motions."""


@torch.enable_grad()
def track_motions(stack: Stack, video: Tensor, unit: Tensor, *, steps: int, polish: int) -> Tensor:
    """Motions (F, 3, 26) with which `stack` renders closest to `video` (F, 3, H, W).

    Args:
        stack: the layers of the clip's first frame.
        video: the clip in [0, 1].
        unit: (3, 26) scale of each channel.
        steps: of the optimiser for each frame, without control points.
        polish: of the optimiser for the whole clip, with control points.
    """
    found = [torch.zeros_like(unit)]
    for frame in video[1:]:
        drift = found[-1] - found[-2] if len(found) > 1 else torch.zeros_like(unit)
        guess = torch.stack([found[-1] + drift, found[-1]])
        loss = _misses(stack, guess * unit, frame.expand(2, -1, -1, -1)).detach()
        start = guess[int(loss.argmin())][None]
        found.append(_descend(stack, frame[None], start, unit, steps, bend=False)[0])
    return _descend(stack, video, torch.stack(found), unit, polish, bend=True) * unit


def _descend(
    stack: Stack, video: Tensor, start: Tensor, unit: Tensor, steps: int, *, bend: bool
) -> Tensor:
    """Latents (F, 3, 26) after steps of Adam from `start`, the best of each frame."""
    latent = start.detach().clone().requires_grad_()
    optimizer = torch.optim.Adam([latent], lr=LEARNING_RATE)
    best = start.detach().clone()
    least = torch.full((len(start),), float("inf"))
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * (1 - step / steps)
        misses = _misses(stack, latent * unit, video)
        better = misses.detach().cpu() < least
        best[better] = latent.detach()[better]
        least = torch.where(better, misses.detach().cpu(), least)
        pull = 1e-4 * latent.square().mean((1, 2))
        optimizer.zero_grad()
        torch.autograd.backward((misses + pull).sum())
        if latent.grad is not None and not bend:
            latent.grad[..., BEND_X.start :] = 0
        optimizer.step()
    return best


def _misses(stack: Stack, motion: Tensor, video: Tensor) -> Tensor:
    """(F,) mean absolute difference of rendered and given frames, summed over BLURS."""
    difference = render(stack, motion) - video
    means = [F.avg_pool2d(difference, blur) if blur > 1 else difference for blur in BLURS]
    return torch.stack([mean.abs().mean((1, 2, 3)) for mean in means]).sum(0)
