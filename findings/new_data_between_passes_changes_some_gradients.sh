#!/usr/bin/env bash
# torch 2.13.0: parameter.data assigned between the forward and the backward pass
#
# Swapping weights in and out by `parameter.data = other` after a layer's forward pass, as offloading does, looks safe:
# a frozen weight's values are saved for the backward pass, and changing a saved tensor in place is an error. Seen: a
# linear layer's input gradient is that of the old weight (what was saved is a transposed view of its memory), a
# convolution's and a layer norm's are those of the new one, in silence (what was saved is the parameter itself, whose
# data were exchanged without a step of its version counter). Where the new data is on another device, the same layers
# fail and linear ones do not. In place, `weight.mul_(2)`, all three raise. Putting a new tensor in the parameter's place
# in the module leaves the gradient of all three right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.2.6
"$work/venv/bin/python" - <<'PY'
import torch
from torch import nn


def layers():
    torch.manual_seed(0)
    return {
        "linear": (nn.Linear(4, 4, bias=False), torch.randn(2, 4)),
        "convolution": (nn.Conv1d(4, 4, 1, bias=False), torch.randn(2, 4, 3)),
        "norm": (nn.LayerNorm(4, bias=False), torch.randn(2, 4)),
    }


def gradient(name, change=None, first=1.0):
    """Of the squared output, for a layer whose weight is multiplied by `first` before the forward pass."""
    layer, given = layers()[name]
    layer.requires_grad_(False)
    layer.weight.data *= first
    given.requires_grad_()
    out = layer(given)
    target = torch.linspace(-1, 1, out.numel()).view_as(out)
    loss = (out * target).sum()
    if change:
        change(layer)
    loss.backward()
    return given.grad


def data(layer):
    layer.weight.data = 5 * layer.weight.data


def place(layer):
    layer._parameters["weight"] = nn.Parameter(5 * layer.weight.data, requires_grad=False)


def in_place(layer):
    with torch.no_grad():
        layer.weight.mul_(5)


for name in layers():
    old, new = gradient(name), gradient(name, first=5.0)
    assert not torch.allclose(old, new)
    found = gradient(name, data)
    assert torch.allclose(found, old if name == "linear" else new), name
    assert torch.allclose(gradient(name, place), old), name
    try:
        gradient(name, in_place)
        raise AssertionError(f"{name}: nothing is raised")
    except RuntimeError as error:
        assert "modified by an inplace operation" in str(error)
print("new data: the linear layer's gradient is the old weight's, convolution's and norm's are the new one's")
PY
