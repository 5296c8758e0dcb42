"""The training loop of fbridge for any network and any loss of the step's number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from fbridge.config.tree import TrainConfig
from fbridge.train.checkpoints.reading import newest
from fbridge.train.checkpoints.state import trained
from fbridge.train.ema.averages import PlainEma
from fbridge.train.events import Event
from fbridge.train.loop import fit
from fbridge.train.optimizer import build_optimizer
from fbridge.train.shares import BatchShare
from fbridge.train.training import Training


@dataclass(frozen=True)
class Numbered:
    """A batch that only has the number of its micro-step, from which the loss draws its data."""

    number: int
    rows: Tensor

    def to(self, device: torch.device) -> Numbered:  # noqa: ARG002 (there is nothing to move)
        """Itself."""
        return self


def chosen_device(asked: str) -> torch.device:
    """An accelerator where "auto" finds one, else the CPU."""
    return Accelerator(cpu=asked == "cpu").device


def device_of(network: Any) -> torch.device:
    """Where its weights are."""
    device: torch.device = next(network.parameters()).device
    return device


def fit_steps(
    network: nn.Module,
    loss: Callable[[nn.Module, int], Tensor],
    config: TrainConfig,
    run: Path,
    *,
    decay: float = 0.999,
    report_every: int = 25,
    device: str = "auto",
    optimizer: Any = None,
) -> Iterator[Event]:
    """Train a network and leave its averaged weights in it; an interrupted run is continued.

    Args:
        network: all of its parameters are trained.
        loss: of the network at a step, which alone decides the batch; a scalar or (B,).
        config: steps, learning rate and optimizer.
        run: folder of the checkpoints.
        decay: of the average.
        report_every: in steps.
        device: "auto" uses an accelerator if there is one, "cpu" does not.
        optimizer: of all parameters; the configuration's, if it is not given.
    """
    precision = {"fp32": "no"}.get(config.precision, config.precision)
    accelerator = Accelerator(mixed_precision=precision, cpu=device == "cpu")
    optimizer = optimizer or build_optimizer(network.parameters(), config)
    wrapped, optimizer = accelerator.prepare(network, optimizer)
    average = PlainEma(trained(wrapped), decay)
    training = Training(
        network=wrapped,
        optimizer=optimizer,
        average=average,
        task=lambda net, batch: loss(net, batch.number).mean().reshape(1),  # a batch is one row
        loader=lambda first: (Numbered(n, torch.tensor([n])) for n in count(first)),
        share=BatchShare(1, 1),
        config=config,
        run=run,
        accelerator=accelerator,
        keys=lambda rows: [f"step {row + 1}" for row in rows.tolist()],
        report_every=report_every,
    )
    yield from fit(training, resume=newest(run))
    with torch.no_grad():
        for name, parameter in trained(wrapped).items():
            parameter.copy_(average.weights()[name])
