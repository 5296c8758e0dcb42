"""What the training loop works on: network, optimizer, average, data and settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
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
from fbridge.train.shares import BatchShare


class Batch(Protocol):
    """What the loop needs of a batch; the task knows its type.

    Attributes:
        rows: (B,) row numbers of its clips, to name them.
    """

    rows: Tensor

    def to(self, device: torch.device) -> Self:
        """The batch on a device."""


Loader = Callable[[int], Iterable[Any]]
"""Endless pieces of batches for this process, from a batch on."""
Validate = Callable[[int, Callable[[], None]], Validated]


class StopAsked(Exception):
    """Raised inside a validation, in all processes, when one of them was asked to stop."""


@dataclass
class Training:
    """What the loop works on.

    Attributes:
        network: prepared by the accelerator; frozen parameters do not require gradients.
        optimizer: over the trained parameters, prepared by the accelerator.
        average: of the weights, for validation and the result.
        task: from network and batch to losses (B,).
        loader: the data.
        share: this process's part of every batch.
        config: section [train].
        run: folder of the checkpoints.
        accelerator: device and processes.
        keys: names of clips by rows.
        validate: held-out scores at a step; None: no validation. It calls its second argument
            between clips, which may raise `StopAsked`.
        validate_every: in steps.
        report_every: in steps.
        identity: settings that a checkpoint must share to be resumed.
    """

    network: nn.Module
    optimizer: Any
    average: Ema
    task: Callable[[nn.Module, Any], Tensor]
    loader: Loader
    share: BatchShare
    config: TrainConfig
    run: Path
    accelerator: Accelerator
    keys: Callable[[Tensor], list[str]]
    validate: Validate | None = None
    validate_every: int = 500
    report_every: int = 10
    identity: dict[str, Any] = field(default_factory=dict)

    def keeping(self) -> AbstractContextManager[Any]:
        """Where what the backward pass needs is kept: on the device, or in the host's memory."""
        if not self.config.offload_activations:
            return nullcontext()
        cuda = self.accelerator.device.type == "cuda"
        return torch.autograd.graph.save_on_cpu(pin_memory=cuda)
