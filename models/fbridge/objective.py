"""Losses: one batch in, one number a video out.

Nothing is reduced over the batch and nothing random happens.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fbridge.denoiser import BridgeDenoiser, Denoiser, joined, tiled
from fbridge.process import Process
from fbridge.types import Condition


def bridge_loss(
    denoiser: BridgeDenoiser,
    process: Process,
    clean: Tensor,
    prior: Tensor,
    t: Tensor,
    noise: Tensor,
    condition: Condition,
) -> Tensor:
    """Squared error of the network's output on a state of the process (arXiv 2410.15371).

    Args:
        denoiser: the network and its parameterization, over the same process.
        process: the bridge, or the diffusion baseline, whose state does not depend on the prior;
            the network is given the prior under both.
        clean: (B, F, C, H, W) the video.
        prior: (B, F, C, H, W) where its bridge starts.
        t: (B,) float64 times in (0, 1).
        noise: (B, F, C, H, W) standard normal.
        condition: words and picture.

    Returns:
        (B,) one mean squared error a video, float32 at least; over the frames that the network has
        to find, without those that are the picture itself.
    """
    x = process.sample(clean, prior, t, noise)
    output = denoiser.output(x, t, prior, condition)
    target = denoiser.parameterization.target(clean, prior, x, t)
    shown = denoiser.picture_frames(x, condition)
    if shown is None:
        return _squared_error(output, target)
    frames = _squared_error(output.flatten(0, 1), target.flatten(0, 1)).view(shown.shape)
    return (frames * ~shown).sum(1) / (~shown).sum(1)


diffusion_loss = bridge_loss
"""The loss of the diffusion baseline: the same, on a `fbridge.process.DiffusionProcess`."""


def distillation_loss(
    student: Denoiser,
    states: Sequence[Tensor],
    end: Tensor,
    times: Tensor,
    prior: Tensor,
    condition: Condition,
) -> Tensor:
    """Squared error of a student's answers along its teacher's path, whose end they shall be.

    One call then takes the place of all that follow on the path: a consistency function of the
    bridge's probability-flow ODE (arXiv 2410.22637), given the end by the teacher itself.

    Args:
        student: asked at each state for the clean video.
        states: N of (B, F, C, H, W), of the teacher's path.
        end: (B, F, C, H, W) the clean video that the path ends in.
        times: (N,) float64 of the states.
        prior: (B, F, C, H, W) where the bridges start.
        condition: words and picture.

    Returns:
        (N, B) mean squared errors, float32 at least.
    """
    many, videos = len(states), len(end)
    times = times.repeat_interleave(videos)
    everywhere = joined([condition] * many)
    clean = student(torch.cat(list(states)), times, tiled(prior, many), everywhere)
    return _squared_error(clean, tiled(end, many)).view(many, videos)


def prior_loss(predicted: Tensor, clean: Tensor) -> Tensor:
    """Squared error (B,) of a regressed prior (B, F, C, H, W) to the clean video.

    The objective of FrameBridge's neural prior (arXiv 2410.15371).
    """
    return _squared_error(predicted, clean)


def _squared_error(guess: Tensor, truth: Tensor) -> Tensor:
    wide = guess.to(truth.dtype) if truth.dtype.itemsize >= 4 else guess.float()
    return (wide - truth.to(wide.dtype)).square().flatten(1).mean(1)
