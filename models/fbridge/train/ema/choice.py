"""Which average of the weights a run keeps, by its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from fbridge.config.tree import EmaConfig
from fbridge.train.ema.averages import Ema, PlainEma, PostHocEma, Weights


class NoAverage:
    """The weights themselves, for runs that average nothing.

    Args:
        parameters: by name.
    """

    def __init__(self, parameters: Mapping[str, Tensor]) -> None:
        self._parameters = dict(parameters)

    def update(self, step: int) -> None:
        """Nothing to do."""

    def tensors(self) -> Weights:
        """Nothing to keep."""
        return {}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Nothing to take up."""

    def weights(self) -> Weights:
        """The parameters; not a copy."""
        return {name: parameter.detach() for name, parameter in self._parameters.items()}


class ScheduleFreeAverage:
    """The average that a schedule-free optimiser keeps itself (arXiv 2405.15682).

    Gradients are taken at y; what is to be used is x = y + (1 - 1 / beta_1) (z - y), with z of the
    optimiser's state. It is computed beside them, so that the run is not disturbed.

    Args:
        parameters: by name.
        optimizer: schedulefree's AdamW, in training mode.
    """

    def __init__(self, parameters: Mapping[str, Tensor], optimizer: Any) -> None:
        self._parameters = dict(parameters)
        self._optimizer = getattr(optimizer, "optimizer", optimizer)

    def update(self, step: int) -> None:
        """Nothing to do: the optimiser does it."""

    def tensors(self) -> Weights:
        """The weights to be used: a result can be made of a checkpoint without the optimiser."""
        return self.weights()

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Nothing to take up: it follows from weights and optimiser."""

    @torch.no_grad()
    def weights(self) -> Weights:
        """The weights to be used, a copy; before the first step the parameters."""
        beta = self._optimizer.param_groups[0]["betas"][0]
        found = {}
        for name, parameter in self._parameters.items():
            z = self._optimizer.state.get(parameter, {}).get("z")
            own = parameter.detach()
            found[name] = own.clone() if z is None else own.lerp(z.to(own), 1 - 1 / beta)
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
            return NoAverage(parameters)
