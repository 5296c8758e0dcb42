"""Optimisers by name, and the learning rate schedule."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from fbridge.config.tree import TrainConfig
from fbridge.errors import DependencyError


def build_optimizer(parameters: Iterable[nn.Parameter], config: TrainConfig) -> Any:
    """The optimiser of a configuration.

    Raises:
        DependencyError: its package is not installed.
    """
    trained = list(parameters)
    options: dict[str, Any] = {
        "lr": config.lr,
        "betas": tuple(config.betas),
        "weight_decay": config.weight_decay,
    }
    match config.optimizer:
        case "adamw":
            return torch.optim.AdamW(trained, fused=True, **options)
        case "adamw-8bit":
            try:
                from bitsandbytes.optim import AdamW8bit
            except ImportError as error:
                raise _not_installed(config.optimizer, "bitsandbytes", "8bit") from error
            return AdamW8bit(trained, **options)
        case "schedule-free":
            try:
                from schedulefree import AdamWScheduleFree
            except ImportError as error:
                raise _not_installed(config.optimizer, "schedulefree", "schedule-free") from error
            optimizer = AdamWScheduleFree(trained, **options)
            optimizer.train()
            return optimizer


def hasten(optimizer: torch.optim.Optimizer, weight: Tensor, first: int, factor: float) -> None:
    """Multiply the learning rate of `weight[:, first:]`, from now on.

    A group of parameters has one rate; so the step that the optimizer took is lengthened.

    Args:
        optimizer: whose state does not depend on the weights after its step.
        weight: of a layer; (outputs, inputs, ...).
        first: of the inputs.
        factor: of the learning rate.
    """
    before: list[Tensor] = []

    @torch.no_grad()
    def keep(*_: Any) -> None:
        before[:] = [weight[:, first:].clone()]

    @torch.no_grad()
    def lengthen(*_: Any) -> None:
        part = weight[:, first:]
        part.copy_(torch.lerp(before.pop(), part, factor))

    optimizer.register_step_pre_hook(keep)
    optimizer.register_step_post_hook(lengthen)


def learning_rate(step: int, config: TrainConfig) -> float:
    """Learning rate of optimiser step `step`, counted from 0: warm-up, then constant or cosine."""
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    if config.lr_schedule == "constant":
        return config.lr
    passed = (step - config.warmup) / max(1, config.steps - config.warmup)
    return config.lr * 0.5 * (1 + math.cos(math.pi * min(1.0, passed)))


def _not_installed(name: str, package: str, extra: str) -> DependencyError:
    return DependencyError(
        f"optimizer {name!r} needs {package}, which is not installed: "
        f"pip install 'fbridge[{extra}]'"
    )
