"""Moving averages of weights, in float32, kept where the weights are.

Parameters are named tensors; a sharded one (`DTensor`) is averaged piece by piece, as every process
has its own. `step` counts the optimiser steps that are done, so the first update is that of step 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from fbridge.errors import CheckpointError
from fbridge.train.checkpoints.pieces import ALONE, Processes, local, local_part
from fbridge.train.ema.profiles import decay
from fbridge.train.ema.snapshots import flat, write_snapshot

Weights = dict[str, Tensor]
_WAY_OUT = "continue with the settings of the run that saved it, or begin another run"


class Ema(Protocol):
    """A moving average over named parameters."""

    def update(self, step: int) -> None:
        """Take in the parameters as they are after step `step`."""

    def tensors(self) -> Weights:
        """What a checkpoint must hold."""

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from what `tensors` gave; whole tensors or sharded ones.

        Raises:
            CheckpointError: a name is missing or a shape differs.
        """

    def weights(self) -> Weights:
        """The average by the names of the parameters; not a copy."""


class PlainEma:
    """An exponential moving average.

    Args:
        parameters: what to average, by name.
        decay: share of the average that stays at every step.
        warmup: stay below (1 + step) / (10 + step), so that the first weights are soon forgotten.
    """

    def __init__(
        self, parameters: Mapping[str, Tensor], decay: float = 0.999, *, warmup: bool = True
    ) -> None:
        self.decay, self.warmup = decay, warmup
        self._parameters = dict(parameters)
        self._average = _copies(self._parameters)

    def update(self, step: int) -> None:
        """Take in the parameters as they are after step `step`."""
        kept = min(self.decay, (1 + step) / (10 + step)) if self.warmup else self.decay
        _blend(self._average, _values(self._parameters), 1 - kept)

    def tensors(self) -> Weights:
        """The average by the names of the parameters."""
        return dict(self._average)

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from what `tensors` gave."""
        _assign(self._average, tensors)

    def weights(self) -> Weights:
        """The average by the names of the parameters; not a copy."""
        return dict(self._average)


class PostHocEma:
    """Power-function averages of several lengths, of whose snapshots any other is made later.

    Args:
        parameters: what to average, by name.
        lengths: relative lengths of the averages that are kept.
        length: the one of interest; `weights` gives the nearest that is kept.
    """

    def __init__(
        self,
        parameters: Mapping[str, Tensor],
        lengths: Sequence[float] = (0.05, 0.10),
        *,
        length: float = 0.10,
    ) -> None:
        self.length = length
        self._parameters = dict(parameters)
        self.averages = {own: _copies(self._parameters) for own in lengths}

    def update(self, step: int) -> None:
        """Take in the parameters as they are after step `step`."""
        values = _values(self._parameters)
        for length, average in self.averages.items():
            _blend(average, values, 1 - decay(length, step))

    def tensors(self) -> Weights:
        """All averages: "<length>/<parameter>"."""
        return flat(self.averages)

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from what `tensors` gave."""
        _assign(self.tensors(), tensors)

    def snapshot(self, run: Path, step: int, *, processes: Processes = ALONE) -> None:
        """Write the averages to `RUN/ema`, from which `snapshots.reconstruct` makes others."""
        write_snapshot(run, step, self.averages, processes=processes)

    def weights(self) -> Weights:
        """The kept average of the length nearest to that of interest; not a copy."""
        return dict(self.averages[min(self.averages, key=lambda own: abs(own - self.length))])


@contextmanager
def applied(
    parameters: Mapping[str, Tensor],
    weights: Mapping[str, Tensor],
    network: nn.Module | None = None,
) -> Iterator[None]:
    """Other weights in the parameters for a while; afterwards the own ones again, bit for bit.

    Args:
        parameters: by name.
        weights: for each of them, whole or sharded as it is.
        network: that has the parameters, where `fully_shard` shards it: what it has gathered of
            them and keeps is let go, which it would not notice to be out of date.
    """
    with torch.no_grad():
        own = {name: local(parameter).clone() for name, parameter in parameters.items()}
        try:
            for name, parameter in parameters.items():
                local(parameter).copy_(local_part(weights[name], parameter))
            _let_go(network)
            with torch.enable_grad():
                yield
        finally:
            for name, parameter in parameters.items():
                local(parameter).copy_(own[name])
            _let_go(network)


@torch.no_grad()
def _copies(parameters: Mapping[str, Tensor]) -> Weights:
    return {name: p.detach().to(torch.float32, copy=True) for name, p in parameters.items()}


def _values(parameters: Mapping[str, Tensor]) -> list[Tensor]:
    """The parameters' memory in float32; a copy only of those that are something else."""
    return [local(parameter).float() for parameter in parameters.values()]


@torch.no_grad()
def _blend(average: Weights, values: list[Tensor], share: float) -> None:
    """Move every average by `share` of the way to its value, in one pass."""
    torch._foreach_lerp_([local(tensor) for tensor in average.values()], values, share)


@torch.no_grad()
def _assign(own: Weights, tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in own.items():
        if name not in tensors:
            raise CheckpointError(f"the checkpoint's averages lack {name!r}; {_WAY_OUT}")
        saved = tensors[name]
        if saved.shape != tensor.shape:
            raise CheckpointError(
                f"the checkpoint's average of {name!r} has shape {tuple(saved.shape)}, "
                f"the network's is {tuple(tensor.shape)}; {_WAY_OUT}"
            )
        local(tensor).copy_(local_part(saved, tensor))


def _let_go(network: nn.Module | None) -> None:
    for module in network.modules() if network is not None else ():
        reshard = getattr(module, "reshard", None)  # torch.distributed.fsdp.FSDPModule
        if callable(reshard):
            reshard()
