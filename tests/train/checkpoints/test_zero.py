"""DeepSpeed's flat pieces as an optimiser over whole parameters; it is stood in for."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fbridge.train.checkpoints import zero
from fbridge.train.checkpoints.optimizer_state import load_optimizer_state, optimizer_state

NUMBERS: dict[str, Any] = {"lr": 0.01, "betas": (0.9, 0.95), "weight_decay": 0.1}


class Flat:
    """The one process's piece of two parameters: all of both, and the padding behind them."""

    def __init__(self, parameters: dict[str, nn.Parameter]) -> None:
        self.parameters = list(parameters.values())
        pieces = [p.detach().flatten() for p in self.parameters]
        flat = nn.Parameter(torch.cat([*pieces, torch.zeros(3)]))
        self.single_partition_of_fp32_groups = [flat]
        self.optimizer = torch.optim.AdamW([flat], **NUMBERS)
        self.linked = False

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return self.optimizer.param_groups

    def step(self) -> None:
        (flat,) = self.single_partition_of_fp32_groups
        grads = [p.grad.flatten() for p in self.parameters if p.grad is not None]
        flat.grad = torch.cat([*grads, torch.zeros(3)])
        self.optimizer.step()
        for parameter in self.parameters:
            with torch.no_grad():
                parameter.copy_(self.part(parameter, flat))

    def _lazy_init_hp_params_optimizer_state(self) -> None:
        self.linked = set(self.optimizer.state[self.single_partition_of_fp32_groups[0]]) >= {"step"}

    def part(self, parameter: Tensor, flat: Tensor) -> Tensor:
        first = 0
        for own in self.parameters:
            if own is parameter:
                break
            first += own.numel()
        return flat.detach()[first : first + parameter.numel()].view_as(parameter)

    def module(self) -> ModuleType:
        """What stands in for `deepspeed.utils`."""
        (flat,) = self.single_partition_of_fp32_groups
        found: Any = ModuleType("deepspeed.utils")
        state = self.optimizer.state
        found.safe_get_full_fp32_param = lambda p: self.part(p, flat).clone()
        found.safe_set_full_fp32_param = lambda p, value: self.part(p, flat).copy_(value)
        found.safe_get_full_optimizer_state = lambda p, key: self.part(p, state[flat][key]).clone()

        def put(parameter: Tensor, value: Tensor, key: str) -> None:
            assert self.linked
            self.part(parameter, state[flat][key]).copy_(value)

        found.safe_set_full_optimizer_state = put
        return found


def network() -> dict[str, nn.Parameter]:
    torch.manual_seed(0)
    return {"weight": nn.Parameter(torch.randn(3, 2)), "bias": nn.Parameter(torch.randn(3))}


def train(parameters: dict[str, nn.Parameter], optimizer: Any, first: int, last: int) -> None:
    for step in range(first, last + 1):
        x = torch.randn(4, 2, generator=torch.Generator().manual_seed(step))
        for parameter in parameters.values():
            parameter.grad = None
        out = torch.tanh(x @ parameters["weight"].T + parameters["bias"])
        out.square().mean().backward()
        optimizer.step()


def test_what_it_gathers_is_the_state_of_a_usual_optimiser(monkeypatch: pytest.MonkeyPatch) -> None:
    parameters, usual = network(), network()
    optimizer, adamw = Flat(parameters), torch.optim.AdamW(usual.values(), **NUMBERS)
    monkeypatch.setitem(sys.modules, "deepspeed", ModuleType("deepspeed"))
    monkeypatch.setitem(sys.modules, "deepspeed.utils", optimizer.module())
    train(parameters, optimizer, 1, 3)
    train(usual, adamw, 1, 3)
    assert zero.is_zero(optimizer)
    assert not zero.is_zero(adamw)
    weights, whole = zero.gather(optimizer, parameters)
    ours, facts = optimizer_state(whole, parameters)
    theirs, others = optimizer_state(adamw, usual)
    assert facts == others
    assert ours.keys() == theirs.keys()
    for key, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[key])
    for key, tensor in weights.items():
        torch.testing.assert_close(tensor, usual[key].detach())


def test_it_goes_on_from_a_usual_optimiser(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = network()
    adamw = torch.optim.AdamW(usual.values(), **NUMBERS)
    train(usual, adamw, 1, 3)
    tensors, facts = optimizer_state(adamw, usual)
    saved = {name: parameter.detach().clone() for name, parameter in usual.items()}
    parameters = network()
    optimizer = Flat(parameters)
    monkeypatch.setitem(sys.modules, "deepspeed", ModuleType("deepspeed"))
    monkeypatch.setitem(sys.modules, "deepspeed.utils", optimizer.module())
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(saved[name])
    whole = zero.empty(optimizer, parameters)
    load_optimizer_state(whole, parameters, tensors, facts)
    zero.scatter(optimizer, parameters, saved, whole)
    train(parameters, optimizer, 4, 6)
    train(usual, adamw, 4, 6)
    for name, parameter in parameters.items():
        torch.testing.assert_close(parameter, usual[name])
