#!/usr/bin/env bash
# torch 2.13.0's distributed checkpoint helpers and schedulefree 1.4.1
#
# torch.distributed.checkpoint.state_dict.get_optimizer_state_dict is named like a read. On an optimizer without state it
# takes a step with a learning rate of zero, so that there is a state to return, and set_optimizer_state_dict does the
# same before it loads. Seen:
# - torch's AdamW: the call fills the optimizer's state for every parameter; the weights stay.
# - AdamWScheduleFree as it is constructed: both calls raise a bare Exception, "Optimizer was not in train mode when step
#   is called"; a run cannot be resumed by the lines that resume AdamW.
# - AdamWScheduleFree after .train(): that method looks up each parameter's state and so leaves empty entries behind; the
#   helper takes these for a state, takes no step, and returns a state dict whose entries are empty.
# A resume that works calls .train() on the new optimizer before set_optimizer_state_dict; the weights are then bit-equal.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 schedulefree==1.4.1 numpy==2.2.6
"$work/venv/bin/python" - <<'PY'
import copy

import schedulefree
import torch
from torch import nn
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict


def fresh():
    torch.manual_seed(0)
    network = nn.Linear(3, 2)
    return network, schedulefree.AdamWScheduleFree(network.parameters(), lr=0.1)


def train(network, optimizer, steps):
    optimizer.train()
    for seed in steps:
        x = torch.randn(4, 3, generator=torch.Generator().manual_seed(seed))
        network(x).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()


def raised(call, *given, **named):
    try:
        call(*given, **named)
    except Exception as error:  # the library raises no narrower type
        assert type(error) is Exception, type(error)
        return str(error)
    return ""


network = nn.Linear(3, 2)
adamw, before = torch.optim.AdamW(network.parameters()), network.weight.detach().clone()
assert not adamw.state
get_optimizer_state_dict(network, adamw)
assert len(adamw.state) == 2 and torch.equal(before, network.weight)

assert "not in train mode" in raised(get_optimizer_state_dict, *fresh())

done, optimizer = fresh()
train(done, optimizer, range(5))
saved = copy.deepcopy(get_optimizer_state_dict(done, optimizer))
assert "not in train mode" in raised(set_optimizer_state_dict, *fresh(), optim_state_dict=saved)

network, optimizer = fresh()
optimizer.train()
entries = get_optimizer_state_dict(network, optimizer)["state"]
assert entries == {"weight": {}, "bias": {}}, entries

resumed, optimizer = fresh()
optimizer.train()
resumed.load_state_dict(done.state_dict())
set_optimizer_state_dict(resumed, optimizer, optim_state_dict=saved)
train(resumed, optimizer, range(5, 10))
straight, optimizer = fresh()
train(straight, optimizer, range(10))
assert torch.equal(resumed.weight, straight.weight)
print("as described")
PY
