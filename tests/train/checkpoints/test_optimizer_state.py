"""An optimiser that was saved and loaded goes on as if it had not been, bit for bit."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fbridge.errors import CheckpointError
from fbridge.train.checkpoints.checkpoint import save_checkpoint
from fbridge.train.checkpoints.optimizer_state import load_optimizer_state, optimizer_state
from fbridge.train.checkpoints.reading import load_group, newest

Build = Callable[[Any], Any]


def adamw(parameters: Any) -> Any:
    return torch.optim.AdamW(parameters, lr=0.02, fused=True)


def schedule_free(parameters: Any) -> Any:
    package = pytest.importorskip("schedulefree")
    optimizer = package.AdamWScheduleFree(parameters, lr=0.02, warmup_steps=15)
    optimizer.train()
    return optimizer


def eight_bit(parameters: Any) -> Any:
    package = pytest.importorskip("bitsandbytes")
    return package.optim.AdamW8bit(parameters, lr=0.02, min_8bit_size=1)


def momentum(parameters: Any) -> Any:
    return torch.optim.SGD(parameters, lr=0.02, momentum=0.9)


class Quantized(torch.optim.Optimizer):
    """An optimiser with every kind of state: bytes, a map, an int, a list, None."""

    def __init__(self, parameters: Any) -> None:
        super().__init__(parameters, {"lr": torch.tensor(0.5), "betas": (0.9, 0.95), "hook": print})

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        del closure
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                if not state:
                    state["bytes"] = torch.zeros(p.shape, dtype=torch.uint8)
                    state["map"] = torch.linspace(0, 1, 256)
                    state.update(step=0, shape=list(p.shape), none=None)
                state["step"] += 1
                state["bytes"] += 37
                p.data.sub_(group["lr"] * state["map"][state["bytes"].long()] * p.grad.sign())


def network() -> nn.Module:
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1, dtype=torch.float32))


def train(model: nn.Module, optimizer: Any, first: int, last: int) -> None:
    for step in range(first, last):
        x = torch.randn(8, 4, generator=torch.Generator().manual_seed(step))
        (model(x) - x.sum(1, keepdim=True)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()


def parameters(model: nn.Module) -> dict[str, Tensor]:
    return dict(model.named_parameters())


def save(run: Path, step: int, model: nn.Module, optimizer: Any) -> None:
    tensors, facts = optimizer_state(optimizer, parameters(model))
    groups: dict[str, Mapping[str, Tensor]] = {
        "network": parameters(model),
        "optimizer": tensors,
    }
    save_checkpoint(run, step, groups, {"optimizer": facts}, keep=1)


def resume(run: Path, model: nn.Module, optimizer: Any) -> None:
    found = newest(run)
    assert found is not None
    model.load_state_dict(load_group(found, "network"))
    moments = load_group(found, "optimizer")
    load_optimizer_state(optimizer, parameters(model), moments, found.facts["optimizer"])


@pytest.mark.parametrize("build", [adamw, schedule_free, eight_bit, momentum, Quantized])
def test_resuming_equals_never_stopping(tmp_path: Path, build: Build) -> None:
    straight = network()
    optimizer = build(straight.parameters())
    train(straight, optimizer, 0, 10)
    save(tmp_path, 10, straight, optimizer)
    train(straight, optimizer, 10, 20)
    again = network()
    fresh = build(again.parameters())
    resume(tmp_path, again, fresh)
    train(again, fresh, 10, 20)
    pairs = zip(straight.parameters(), again.parameters(), strict=True)
    assert all(torch.equal(first, second) for first, second in pairs)
    for (name, group), (_, other) in zip(*map(flattened, (optimizer, fresh)), strict=True):
        assert same(group, other), name


def flattened(optimizer: Any) -> list[tuple[str, Any]]:
    groups = [(k, v) for g in optimizer.param_groups for k, v in g.items() if k != "params"]
    return groups + [(k, v) for s in optimizer.state.values() for k, v in s.items()]


def same(first: Any, second: Any) -> bool:
    if isinstance(first, Tensor):
        kinds = (first.dtype, first.device, first.shape)
        return kinds == (second.dtype, second.device, second.shape) and torch.equal(first, second)
    return type(first) is type(second) and bool(first == second)


def test_names_and_json() -> None:
    model = network()
    optimizer = adamw([{"params": model[0].parameters(), "lr": 0.5}, {"params": model[2].weight}])  # type: ignore[index]
    train(model, optimizer, 0, 2)
    tensors, facts = optimizer_state(optimizer, parameters(model))
    assert sorted(tensors) == [
        f"{name}/{key}"
        for name in ("0.bias", "0.weight", "2.weight")
        for key in ("exp_avg", "exp_avg_sq", "step")
    ]
    assert json.loads(json.dumps(facts))["groups"][0]["values"]["lr"] == 0.5
    assert [group["parameters"] for group in facts["groups"]] == [
        ["0.weight", "0.bias"],
        ["2.weight"],
    ]


def test_a_parameter_without_a_state_has_none_again() -> None:
    model = network()
    model[2].requires_grad_(False)  # type: ignore[index]
    optimizer = adamw(model.parameters())
    train(model, optimizer, 0, 1)
    tensors, facts = optimizer_state(optimizer, parameters(model))
    fresh = network()
    loaded = adamw(fresh.parameters())
    train(fresh, loaded, 0, 1)
    load_optimizer_state(loaded, parameters(fresh), tensors, facts)
    assert [p in loaded.state for p in fresh.parameters()] == [True, True, False, False]


def test_loading_does_not_share_memory() -> None:
    model = network()
    optimizer = adamw(model.parameters())
    train(model, optimizer, 0, 1)
    tensors, facts = optimizer_state(optimizer, parameters(model))
    fresh = network()
    loaded = adamw(fresh.parameters())
    load_optimizer_state(loaded, parameters(fresh), tensors, facts)
    before = tensors["0.weight/exp_avg"].clone()
    train(fresh, loaded, 5, 7)
    assert torch.equal(tensors["0.weight/exp_avg"], before)


def refused(change: Callable[[dict[str, Tensor]], dict[str, Tensor]], message: str) -> None:
    model = network()
    optimizer = adamw(model.parameters())
    train(model, optimizer, 0, 1)
    tensors, facts = optimizer_state(optimizer, parameters(model))
    other = change(parameters(network()))
    with pytest.raises(CheckpointError, match=message):
        load_optimizer_state(adamw(other.values()), other, tensors, facts)


def test_other_parameters_are_refused_by_name() -> None:
    refused(lambda p: {**p, "new": nn.Parameter(torch.ones(1))}, "without the network's 'new'")
    refused(lambda p: {n: t for n, t in p.items() if n != "0.bias"}, "with '0.bias', which")
    refused(lambda p: dict(reversed(p.items())), "in another order")


def test_another_shape_is_refused_by_name() -> None:
    refused(lambda p: p | {"0.bias": nn.Parameter(torch.ones(3))}, r"'0.bias'.*\(16,\).*\(3,\)")


def test_a_lost_tensor_is_named() -> None:
    model = network()
    optimizer = adamw(model.parameters())
    train(model, optimizer, 0, 1)
    tensors, facts = optimizer_state(optimizer, parameters(model))
    del tensors["2.bias/exp_avg"]
    with pytest.raises(CheckpointError, match=r"lacks '2.bias/exp_avg'"):
        load_optimizer_state(optimizer, parameters(model), tensors, facts)
