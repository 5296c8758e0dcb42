"""Switches that save memory or time in training change nothing of what is learnt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from fbridge.errors import ConfigError
from fbridge.memory.float8 import STORED, ScaledLinear
from fbridge.train.events import Stepped
from fbridge.train.loop import fit
from fbridge.train.setup.dry_run import measure_step
from fbridge.train.setup.session import Session

MakeSession = Callable[..., Session]
Learnt = tuple[list[float], dict[str, Tensor]]


def learn(session: MakeSession, name: str, *, lora: Any = None, **train: Any) -> Learnt:
    """The losses of three steps, and the weights that were trained."""
    sections = {"train": {"steps": 3, "lr": 1e-2, **train}, "validation": {"rows": 0}}
    made = session(run=name, lora={"rank": 2, **(lora or {})}, **sections)
    events = list(fit(made.training))
    losses = [event.loss for event in events if isinstance(event, Stepped)]
    named = made.model.transformer.named_parameters()
    return losses, {name: value.detach() for name, value in named if value.requires_grad}


def assert_same(found: Learnt, wanted: Learnt) -> None:
    assert found[0] == pytest.approx(wanted[0], rel=1e-6)
    assert found[1].keys() == wanted[1].keys()
    for name, value in wanted[1].items():
        torch.testing.assert_close(found[1][name], value, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("lora", "train"),
    [
        ({}, {"gradient_checkpointing": True}),
        ({"offload_blocks": 1}, {"gradient_checkpointing": True}),
        ({"offload_blocks": 99}, {"gradient_checkpointing": True}),
        ({}, {"offload_activations": True}),
        ({"offload_blocks": 99}, {"gradient_checkpointing": True, "offload_activations": True}),
    ],
    ids=["checkpointing", "one block", "all blocks", "activations", "all"],
)
def test_losses_and_weights_are_those_without(
    session: MakeSession, lora: dict[str, Any], train: dict[str, Any]
) -> None:
    assert_same(learn(session, "with", lora=lora, **train), learn(session, "without"))


@pytest.mark.parametrize("count", [0, 9])
def test_those_of_compiled_blocks(
    session: MakeSession, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """By a compiler that leaves the operations as they are."""
    wanted = learn(session, "plain")
    compiled: list[object] = []

    def trace(what: Any, *_: object, **__: object) -> Any:
        compiled.append(what)
        return real(what, backend="eager")

    real = torch.compile
    monkeypatch.setattr(torch, "compile", trace)
    lora, how = {"offload_blocks": count}, {"gradient_checkpointing": True}
    found = learn(session, "compiled", lora=lora, compile=True, **how)
    assert len(compiled) == 1  # the tiny base has one block
    assert_same(found, wanted)


def test_a_base_in_float8_is_near_and_stays_so(session: MakeSession) -> None:
    exact, float8 = learn(session, "exact"), {"quantize": "float8"}
    near = learn(session, "near", lora=float8)
    assert near[0] == pytest.approx(exact[0], rel=2e-2)
    assert near[0] != pytest.approx(exact[0], rel=1e-6)
    both = learn(session, "both", lora={**float8, "offload_blocks": 9}, gradient_checkpointing=True)
    assert_same(both, near)


def test_frozen_layers_of_blocks_are_in_float8_and_updates_are_not(session: MakeSession) -> None:
    made = session(lora={"rank": 2, "quantize": "float8"})
    network = made.model.transformer
    layers = [layer for layer in network.modules() if isinstance(layer, ScaledLinear)]
    assert layers
    assert {layer.weight.dtype for layer in layers} == {STORED}
    trained = [value for value in network.parameters() if value.requires_grad]
    assert {value.dtype for value in trained} == {torch.float32}


def test_blocks_in_host_memory_need_checkpointing(session: MakeSession) -> None:
    with pytest.raises(ConfigError, match=r"offload_blocks 2 needs train\.gradient_checkpointing"):
        session(lora={"rank": 2, "offload_blocks": 2})


def test_blocks_in_host_memory_are_the_work_of_one_process(
    session: MakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accelerate.Accelerator.num_processes", 2)
    with pytest.raises(ConfigError, match="offload_blocks 2 is for one process"):
        session(lora={"rank": 2, "offload_blocks": 2}, train={"gradient_checkpointing": True})


def test_a_dry_run_measures_with_activations_elsewhere(
    session: MakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[bool] = []
    save = torch.autograd.graph.save_on_cpu

    def count(**options: Any) -> Any:
        used.append(True)
        return save(**options)

    monkeypatch.setattr(torch.autograd.graph, "save_on_cpu", count)
    for wanted in (False, True):
        measure_step(session(run=f"run-{wanted}", train={"offload_activations": wanted}))
        assert bool(used) == wanted
