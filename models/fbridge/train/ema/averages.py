"""Moving averages of weights, in float32, on the device of the weights.

Every process averages its own shard of a sharded parameter (`DTensor`). `step` is the number of
optimiser steps done: the first update is that of step 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from fbridge.config.tree import EmaConfig
from fbridge.errors import CheckpointError
from fbridge.train.checkpoints.shards import ALONE, Processes, local, local_shard
from fbridge.train.ema.profiles import decay
from fbridge.train.ema.snapshots import flatten, write_snapshot

Weights = dict[str, Tensor]
_WAY_OUT = "resume with the settings of the run that saved it, or start another run"


class Ema:
    """A moving average of named parameters; this base class is none: the parameters themselves.

    Args:
        parameters: by name.
    """

    def __init__(self, parameters: Mapping[str, Tensor]) -> None:
        self._parameters = dict(parameters)

    def update(self, step: int) -> None:
        """Update the average with the parameters after step `step`."""

    def tensors(self) -> Weights:
        """Tensors to save in a checkpoint, by name."""
        return {}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `tensors` returned; whole tensors or sharded ones.

        Raises:
            CheckpointError: a name is missing or a shape differs.
        """
        _copy_into(self.tensors(), tensors)

    def weights(self) -> Weights:
        """The average by parameter; may share memory with it."""
        return {name: parameter.detach() for name, parameter in self._parameters.items()}


class PlainEma(Ema):
    """An exponential moving average.

    Args:
        parameters: by name.
        decay: share of the average that is kept at every step.
        warmup: limit the decay to (1 + step) / (10 + step), to forget the first weights soon.
    """

    def __init__(
        self, parameters: Mapping[str, Tensor], decay: float = 0.999, *, warmup: bool = True
    ) -> None:
        super().__init__(parameters)
        self.decay, self.warmup = decay, warmup
        self._average = _copies(self._parameters)

    @override
    def update(self, step: int) -> None:
        kept = min(self.decay, (1 + step) / (10 + step)) if self.warmup else self.decay
        _lerp(self._average, self._parameters, 1 - kept)

    @override
    def tensors(self) -> Weights:
        return dict(self._average)

    @override
    def weights(self) -> Weights:
        return self.tensors()


class PostHocEma(Ema):
    """Power-function averages of several lengths, whose snapshots give any other length later.

    Args:
        parameters: by name.
        lengths: relative lengths of the averages.
        length: `weights` returns the average whose length is nearest to this.
    """

    def __init__(
        self,
        parameters: Mapping[str, Tensor],
        lengths: Sequence[float] = (0.05, 0.10),
        *,
        length: float = 0.10,
    ) -> None:
        super().__init__(parameters)
        self.length = length
        self.averages = {own: _copies(self._parameters) for own in lengths}

    @override
    def update(self, step: int) -> None:
        for length, average in self.averages.items():
            _lerp(average, self._parameters, 1 - decay(length, step))

    @override
    def tensors(self) -> Weights:
        return flatten(self.averages)

    def snapshot(self, run: Path, step: int, *, processes: Processes = ALONE) -> None:
        """Write the averages to `RUN/ema`, for `snapshots.reconstruct`."""
        write_snapshot(run, step, self.averages, processes=processes)

    @override
    def weights(self) -> Weights:
        return dict(self.averages[min(self.averages, key=lambda own: abs(own - self.length))])


class ScheduleFreeAverage(Ema):
    """The average that a schedule-free optimiser keeps itself (arXiv 2405.15682).

    Parameters are y, where gradients are taken; the average is x = y + (1 - 1 / beta_1) (z - y),
    with z of the optimiser's state.

    Args:
        parameters: by name.
        optimizer: schedulefree's AdamW, in training mode.
    """

    def __init__(self, parameters: Mapping[str, Tensor], optimizer: Any) -> None:
        super().__init__(parameters)
        self._optimizer = optimizer

    @override
    def tensors(self) -> Weights:
        return self.weights()  # so that an export needs no optimiser

    @override
    def load(self, tensors: Mapping[str, Tensor]) -> None:
        pass  # follows from parameters and optimiser

    @override
    @torch.no_grad()
    def weights(self) -> Weights:
        beta = self._optimizer.param_groups[0]["betas"][0]
        found = {}
        for name, parameter in self._parameters.items():
            z = self._optimizer.state.get(parameter, {}).get("z")  # absent before the first step
            y = parameter.detach()
            found[name] = y.clone() if z is None else y.lerp(z.to(y), 1 - 1 / beta)
        return found


def build_average(config: EmaConfig, parameters: Mapping[str, Tensor], optimizer: Any) -> Ema:
    """The average of a configuration; a schedule-free optimiser's own replaces the plain one."""
    bare = getattr(optimizer, "optimizer", optimizer)
    if type(bare).__name__ == "AdamWScheduleFree" and config.kind != "post-hoc":
        return ScheduleFreeAverage(parameters, bare)
    match config.kind:
        case "plain":
            return PlainEma(parameters, config.decay)
        case "post-hoc":
            return PostHocEma(parameters, length=config.length)
        case "none":
            return Ema(parameters)


@contextmanager
def applied(
    parameters: Mapping[str, Tensor],
    weights: Mapping[str, Tensor],
    network: nn.Module | None = None,
) -> Iterator[None]:
    """Other weights in the parameters within the context; then the old ones again, bit for bit.

    Args:
        parameters: by name.
        weights: for each of them, whole or sharded as it is.
        network: the module with the parameters, if `fully_shard` may have sharded it: parameters
            that it keeps gathered are freed, as they would be out of date.
    """
    with torch.no_grad():
        own = {name: local(parameter).clone() for name, parameter in parameters.items()}
        try:
            for name, parameter in parameters.items():
                local(parameter).copy_(local_shard(weights[name], parameter))
            _reshard(network)
            with torch.enable_grad():
                yield
        finally:
            for name, parameter in parameters.items():
                local(parameter).copy_(own[name])
            _reshard(network)


def _copies(parameters: Mapping[str, Tensor]) -> Weights:
    return {name: p.detach().to(torch.float32, copy=True) for name, p in parameters.items()}


@torch.no_grad()
def _lerp(average: Weights, parameters: Mapping[str, Tensor], weight: float) -> None:
    """In place: average + weight (parameters - average)."""
    values = [local(parameter).float() for parameter in parameters.values()]
    torch._foreach_lerp_([local(tensor) for tensor in average.values()], values, weight)


@torch.no_grad()
def _copy_into(own: Weights, tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in own.items():
        if name not in tensors:
            raise CheckpointError(f"the checkpoint's averages lack {name!r}; {_WAY_OUT}")
        saved = tensors[name]
        if saved.shape != tensor.shape:
            raise CheckpointError(
                f"the checkpoint's average of {name!r} has shape {tuple(saved.shape)}, "
                f"the network's is {tuple(tensor.shape)}; {_WAY_OUT}"
            )
        local(tensor).copy_(local_shard(saved, tensor))


def _reshard(network: nn.Module | None) -> None:
    for module in network.modules() if network is not None else ():
        reshard = getattr(module, "reshard", None)  # torch.distributed.fsdp.FSDPModule
        if callable(reshard):
            reshard()
