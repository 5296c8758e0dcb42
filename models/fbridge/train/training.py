"""What the training loop works on: network, optimizer, average, data and settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from typing_extensions import Self

from fbridge.config.tree import TrainConfig
from fbridge.train.ema.averages import Ema
from fbridge.train.events import Validated


class Batch(Protocol):
    """What the loop needs of a batch; the task knows its type.

    Attributes:
        rows: (B,) numbers of its clips, for their names.
    """

    rows: Tensor

    def to(self, device: torch.device) -> Self:
        """The same on a device."""
        ...


Loader = Callable[[int], Iterable[Any]]
"""Batches of this process, without end, from a micro-step on."""
Validate = Callable[[int, Callable[[], None]], Validated]


class StopAsked(Exception):
    """Raised inside a validation, in all processes, when one of them was asked to stop."""


@dataclass
class Training:
    """What the loop works on.

    Attributes:
        network: what is trained, prepared by the accelerator; parameters that stay fixed do not
            require gradients.
        optimizer: over the others, prepared likewise.
        average: of the weights, for validation and for the result.
        task: losses (B,) of a batch.
        loader: the data.
        config: how long and how fast.
        run: the folder of checkpoints.
        accelerator: where it runs.
        keys: names of clips, by their rows.
        validate: held-out scores at a step; None without validation. It calls its second argument
            between clips, which raises `StopAsked`.
        validate_every: in steps.
        report_every: in steps.
        identity: settings that a checkpoint must share to be resumed.
    """

    network: nn.Module
    optimizer: Any
    average: Ema
    task: Callable[[nn.Module, Any], Tensor]
    loader: Loader
    config: TrainConfig
    run: Path
    accelerator: Accelerator
    keys: Callable[[Tensor], list[str]]
    validate: Validate | None = None
    validate_every: int = 500
    report_every: int = 10
    identity: dict[str, Any] = field(default_factory=dict)
