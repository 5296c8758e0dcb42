"""Frozen weights of blocks that are on the device only while their block computes."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fbridge.backbones.families import as_backbone, family_of
from fbridge.errors import ConfigError
from fbridge.memory import offload_blocks as module
from fbridge.memory.apply import shrink
from fbridge.memory.offload_blocks import offload_blocks
from fbridge.memory.options import MemoryOptions
from fbridge.train.export.lora import add_lora
from tests.backbones.networks import KINDS, inputs, network

CPU = torch.device("cpu")
IN_PARTS = "animatediff"  # recomputes parts of its blocks
every = pytest.mark.parametrize("name", [name for name in KINDS if name != IN_PARTS])


def adapted(name: str, memory: MemoryOptions | None = None) -> Any:
    """A network with low-rank updates that are not zero."""
    net = network(name)
    net.__class__ = family_of(net).load_class()  # of Latte, that with LoRA's methods
    shrink(net, memory or MemoryOptions())
    torch.manual_seed(1)
    add_lora(net, rank=2)
    for key, parameter in net.named_parameters():
        if "lora_B" in key:
            nn.init.normal_(parameter, std=0.1)
    net.enable_gradient_checkpointing()
    return net.train()


def gradients(net: Any, name: str) -> dict[str, Tensor]:
    as_backbone(net)(*inputs(name)).square().mean().backward()
    return {key: p.grad for key, p in net.named_parameters() if p.grad is not None}


@every
@pytest.mark.parametrize("count", [1, 99])
def test_gradients_are_the_same(name: str, count: int) -> None:
    wanted = gradients(adapted(name), name)
    net = adapted(name)
    assert offload_blocks(net, count, CPU) == min(count, len(family_of(net).blocks(net)))
    found = gradients(net, name)
    assert found.keys() == wanted.keys() != set()
    for key, value in wanted.items():
        torch.testing.assert_close(found[key], value, rtol=1e-5, atol=1e-8)


@every
def test_only_copies_are_computed_with(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere than on the CPU, what stays in the host's memory cannot be."""
    net = adapted(name)
    layers = [part for block in family_of(net).blocks(net) for part in module._frozen_layers(block)]
    values = [value for layer in layers for value in layer.parameters()]
    held = {id(value): value.data.clone() for value in values}
    for value in values:
        value.data.fill_(float("nan"))
    make = module._copied

    def copied(value: Any, device: torch.device) -> Any:
        made = make(value, device)
        if id(value) in held:
            made.data.copy_(held[id(value)])
        return made

    monkeypatch.setattr(module, "_copied", copied)
    offload_blocks(net, 99, CPU)
    assert all(value.isfinite().all() for value in gradients(net, name).values())


def test_blocks_that_are_recomputed_in_parts_stay() -> None:
    with pytest.raises(ConfigError, match="recomputes parts of the blocks of UNetMotionModel"):
        offload_blocks(adapted(IN_PARTS), 1, CPU)


@pytest.mark.parametrize(
    ("memory", "package", "kind"),
    [
        (MemoryOptions(cast="float8"), "torch", "ScaledLinear"),
        (MemoryOptions(quantize="int8"), "torchao", "Linear"),
        (MemoryOptions(quantize="nf4"), "bitsandbytes", "Linear4bit"),
    ],
    ids=["float8", "int8", "nf4"],
)
def test_those_of_a_base_in_few_bits_too(
    memory: MemoryOptions, package: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(package)
    monkeypatch.setattr("fbridge.backbones.family.FEWEST", 1)
    wanted = gradients(adapted("wan", memory), "wan")
    net = adapted("wan", memory)
    layer = net.get_submodule("blocks.0.ffn.net.2")
    assert (type(layer).__name__, type(layer.weight.data)) != ("Linear", Tensor)
    assert type(layer).__name__ == kind
    offload_blocks(net, 99, CPU)
    found = gradients(net, "wan")
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)
    usual = gradients(adapted("wan"), "wan")
    assert not any(torch.equal(usual[key], wanted[key]) for key in wanted if "lora_A" in key)


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> weakref.WeakSet[Any]:
    """Those that are alive."""
    alive: weakref.WeakSet[Any] = weakref.WeakSet()
    make = module._copied

    def copied(value: Any, device: torch.device) -> Any:
        made = make(value, device)
        if made is not None:
            alive.add(made)
        return made

    monkeypatch.setattr(module, "_copied", copied)
    return alive


def test_copies_live_while_their_block_computes(copies: weakref.WeakSet[Any]) -> None:
    net = adapted("wan")
    blocks = family_of(net).blocks(net)
    assert len(blocks) > 1
    offload_blocks(net, 99, CPU)
    at_rest = {key: value.data_ptr() for key, value in net.named_parameters()}
    most: list[int] = []
    for block in net.blocks:
        block.ffn.register_forward_hook(lambda *_: most.append(len(copies)))
    out = as_backbone(net)(*inputs("wan"))
    assert not copies
    out.square().mean().backward()
    assert not copies
    assert {key: value.data_ptr() for key, value in net.named_parameters()} == at_rest
    one = max(len(module._frozen_layers(block)) * 2 for block in blocks)
    assert 0 < max(most) <= 2 * one  # of the block, and of the one whose gradients are due


def test_what_is_trained_is_never_copied() -> None:
    net = adapted("wan")
    trained = {id(p) for p in net.parameters() if p.requires_grad}
    offload_blocks(net, 99, CPU)
    while_computing: set[int] = set()

    def look(*_: object) -> None:
        while_computing.update(id(p) for p in net.parameters() if p.requires_grad)

    for block in net.blocks:
        block.ffn.register_forward_hook(look)
    as_backbone(net)(*inputs("wan")).square().mean().backward()
    assert while_computing == trained
    assert all(p.grad is not None for p in net.parameters() if p.requires_grad)


def test_blocks_are_spread_over_the_network() -> None:
    net = network("wan")
    net.blocks = nn.ModuleList(nn.Sequential(nn.Linear(2, 2)) for _ in range(8))
    net.requires_grad_(requires_grad=False)
    offload_blocks(net, 3, CPU)
    chosen = [n for n, block in enumerate(net.blocks) if "forward" in vars(block)]
    assert chosen == [0, 2, 5]


def test_an_error_in_a_block_leaves_the_weights_in_their_place() -> None:
    net = network("wan").requires_grad_(requires_grad=False)
    offload_blocks(net, 99, CPU)
    at_rest = {key: value.data_ptr() for key, value in net.named_parameters()}

    def fail(*_: object) -> None:
        raise RuntimeError("no memory is left")

    net.blocks[0].attn1.register_forward_hook(fail)
    with pytest.raises(RuntimeError, match="no memory is left"):
        as_backbone(net)(*inputs("wan"))
    assert {key: value.data_ptr() for key, value in net.named_parameters()} == at_rest
