"""Weights that are no numbers: a file that is damaged, or was saved by a training that diverged."""

from __future__ import annotations

from contextlib import suppress

import torch
from torch import nn

from fbridge.errors import CheckpointError


def check_weights(network: nn.Module, name: str) -> None:
    """Raise where weights are no numbers, before work that would end in such numbers.

    Args:
        network: any; quantised weights are not looked at.
        name: of it, for the message.

    Raises:
        CheckpointError: a weight is not finite.
    """
    if weight := broken_weight(network):
        raise CheckpointError(
            f"{name}: weights hold NaN or infinity ({weight}); the file is damaged, get it again"
        )


def broken_weight(network: nn.Module) -> str:
    """The first weight with numbers that no cast to lower precision can have made; "" if none."""
    for name, weight in network.named_parameters():
        with suppress(RuntimeError, NotImplementedError):  # of a quantised type
            values = weight.detach()
            wide = values.dtype in (torch.float32, torch.bfloat16)
            broken = ~values.isfinite() if wide else values.float().isnan()
            if bool(broken.any()):
                return name
    return ""
