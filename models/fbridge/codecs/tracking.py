"""From frames back to motions: layers are tracked by fitting what the renderer shows.

Direct image alignment in the manner of Lucas and Kanade (1981), with the whole renderer as the
warp: each frame starts where the one before ended, then all frames are polished together.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from fbridge.codecs.render import BEND_X, Stack, render

LEARNING_RATE = 0.06
BLURS = (4, 1)
"""Frames are compared as means of blocks of these sizes: far moves first, then details."""


@torch.enable_grad()
def track_motions(stack: Stack, video: Tensor, unit: Tensor, *, steps: int, polish: int) -> Tensor:
    """Motions (F, 3, 26) that render `stack` as close to `video` (F, 3, H, W) as descent can.

    Args:
        stack: the layers of the clip's first frame.
        video: the clip in [0, 1].
        unit: (3, 26) each channel's usual size.
        steps: of descent for each frame.
        polish: of descent for the whole clip, in which the control points join: what a shift
            explains is no bending.
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
    """Latents (F, 3, 26) from `start` after steps of Adam; each frame keeps its best."""
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
    """(F,) mean absolute difference of rendered and real frames, over the scales of BLURS."""
    difference = render(stack, motion) - video
    means = [F.avg_pool2d(difference, blur) if blur > 1 else difference for blur in BLURS]
    return torch.stack([mean.abs().mean((1, 2, 3)) for mean in means]).sum(0)
