"""Training of a bridge or of a diffusion twin of motions, from random weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from examples.claims.motion.held_out import no_motion, regressed, usual_scale
from examples.claims.motion.networks import build
from examples.embedded.train_motion import DEVICE, MotionBatches, train_config
from examples.training import fit_steps
from fbridge.denoiser import BridgeDenoiser
from fbridge.files.atomic import replacing
from fbridge.scheduler import FrameBridgeScheduler
from fbridge.types import Condition

FIRST, LAST = 0.001, 0.999
"""Times of training."""
SEEDS = 1000
"""More than there are."""


def scheduler(settings: Mapping[str, Any]) -> FrameBridgeScheduler:
    """The usual bridge or diffusion; the network predicts the clean motion."""
    return FrameBridgeScheduler(objective=settings["objective"], prediction="clean")


def start_of(settings: Mapping[str, Any], given: Condition, frames: int) -> Tensor:
    """(N, F, 26, 3, 1) the neural prior's motion, or none: the picture stands still."""
    return regressed(given, frames) if settings["prior"] else no_motion(given, frames)


class Loss:
    """Of each motion of a step's batch, which arms share with times and noise."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.settings, self.scheduler = settings, scheduler(settings)
        self.batches = MotionBatches(usual_scale(), settings["seed"])

    def __call__(self, net: nn.Module, step: int) -> Tensor:
        """(B,) squared errors of the clean motion, weighted by verb."""
        clean, given, weights = self.batches(step)
        prior = start_of(self.settings, given, clean.shape[1])
        draw = torch.Generator().manual_seed(SEEDS * step + self.settings["seed"])
        t = FIRST + (LAST - FIRST) * torch.rand(len(clean), generator=draw, dtype=torch.float64)
        noise = torch.randn(clean.shape, generator=draw).to(clean)
        state = self.scheduler.process.sample(clean, prior, t, noise)
        guess = BridgeDenoiser(net, self.scheduler.parameterization)(state, t, prior, given)
        return (weights * (guess.float() - clean).square()).flatten(1).mean(1)


def train(settings: Mapping[str, Any], folder: Path) -> None:
    """Train a network and write `model/network.safetensors`; what was cut goes on.

    Args:
        settings: "network", "objective", "prior", "seed" and "steps".
        folder: of the checkpoints, too.
    """
    torch.manual_seed(settings["seed"])
    net = build(settings["network"])
    config = train_config(settings["steps"])
    for _ in fit_steps(net, Loss(settings), config, folder, decay=0.99,
                       device="auto" if DEVICE == "cuda" else "cpu"):  # fmt: skip
        pass
    with replacing(folder / "model") as hidden:
        hidden.mkdir()
        save_file(net.cpu().state_dict(), hidden / "network.safetensors")


def read_network(settings: Mapping[str, Any], folder: Path) -> nn.Module:
    """What `train` has written."""
    net = build(settings["network"])
    net.load_state_dict(load_file(folder / "model" / "network.safetensors"))
    return net.eval().to(DEVICE)
