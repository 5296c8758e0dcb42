"""Muon for a network's matrices and kernels and AdamW for all else, as one optimiser.

Muon (Jordan et al. 2024) replaces the momentum of a weight matrix by the nearest orthogonal matrix,
found by five Newton-Schulz steps; scaled to the size of AdamW's updates (Liu et al. 2025, arXiv
2502.16982), both have one learning rate. torch's own works in bfloat16, which CPUs without it
emulate slowly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

A, B, C = 3.4445, -4.7750, 2.0315
"""Coefficients of a Newton-Schulz step."""


def orthogonal(matrices: Tensor) -> Tensor:
    """About the nearest (semi-)orthogonal matrices of (N, rows, columns)."""
    wide = matrices.shape[1] <= matrices.shape[2]
    x = matrices if wide else matrices.mT
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp_min(1e-7)
    for _ in range(5):
        square = x @ x.mT
        x = A * x + (B * square + C * square @ square) @ x
    return x if wide else x.mT


class MuonAndAdamW(torch.optim.Optimizer):
    """Muon for `matrices`, AdamW for `others`.

    Args:
        matrices: parameters of two axes or more; a convolution's is a matrix of its outputs' rows.
        others: all that are not such.
        lr: of both.
        momentum: of Muon.
        betas: of AdamW.
        weight_decay: of both, decoupled.
    """

    def __init__(
        self,
        matrices: Iterable[nn.Parameter],
        others: Iterable[nn.Parameter],
        *,
        lr: float,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.01,
    ) -> None:
        groups: list[dict[str, Any]] = [
            {"params": list(matrices), "muon": True},
            {"params": list(others), "muon": False},
        ]
        defaults = {"lr": lr, "momentum": momentum, "betas": betas, "weight_decay": weight_decay}
        super().__init__(groups, defaults)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update all parameters that have a gradient."""
        assert closure is None
        for group in self.param_groups:
            (self._muon if group["muon"] else self._adamw)(group)

    def _muon(self, group: dict[str, Any]) -> None:
        alike: dict[torch.Size, list[nn.Parameter]] = {}
        for parameter in group["params"]:
            if parameter.grad is not None:
                alike.setdefault(parameter.shape, []).append(parameter)
        for shape, parameters in alike.items():
            weights: list[Tensor] = [*parameters]
            grads = [grad for parameter in parameters if (grad := parameter.grad) is not None]
            means = [
                self.state[parameter].setdefault("mean", torch.zeros_like(parameter))
                for parameter in parameters
            ]
            torch._foreach_lerp_(means, grads, 1 - group["momentum"])
            looked = torch.stack(torch._foreach_lerp(grads, means, group["momentum"])).flatten(2)
            size = group["lr"] * 0.2 * max(looked.shape[1:]) ** 0.5
            updates = orthogonal(looked).view(-1, *shape).unbind()
            torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
            torch._foreach_sub_(weights, updates, alpha=size)

    def _adamw(self, group: dict[str, Any]) -> None:
        one, two = group["betas"]
        parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
        if not parameters:
            return
        weights: list[Tensor] = [*parameters]
        for parameter in parameters:
            held = self.state[parameter]
            if not held:
                held["step"] = torch.zeros(())
                held["mean"], held["square"] = (torch.zeros_like(parameter) for _ in range(2))
            held["step"] += 1
        grads = [grad for parameter in parameters if (grad := parameter.grad) is not None]
        means, squares = (
            [self.state[parameter][kind] for parameter in parameters] for kind in ("mean", "square")
        )
        torch._foreach_lerp_(means, grads, 1 - one)
        torch._foreach_lerp_(squares, torch._foreach_mul(grads, grads), 1 - two)
        steps = [float(self.state[parameter]["step"]) for parameter in parameters]
        sizes = torch._foreach_sqrt(torch._foreach_div(squares, [1 - two**n for n in steps]))
        torch._foreach_add_(sizes, 1e-8)
        torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
        rates = [-group["lr"] / (1 - one**n) for n in steps]
        torch._foreach_addcdiv_(weights, means, sizes, rates)


def muon_for(model: nn.Module, inner: Callable[[str], bool], lr: float) -> MuonAndAdamW:
    """The optimiser of a network: Muon for its matrices and kernels whose name is an inner one."""
    chosen: tuple[list[nn.Parameter], list[nn.Parameter]] = [], []
    for name, parameter in model.named_parameters():
        within = inner(name) and parameter.ndim >= 2 and "norm" not in name
        chosen[0 if within else 1].append(parameter)
    return MuonAndAdamW(*chosen, lr=lr)
