"""LoRA files of small networks in the forms of trainers and other programs, and what they mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from fbridge.backbones.family import Family
from tests.backbones.original import ORIGINAL
from tests.pipelines import PUBLISHED, network_of

RANK, ALPHA = 2, 3.0
Weights = dict[str, Tensor]
Pair = tuple[Tensor, Tensor]


def network(name: str) -> Any:
    """The network of one of `PUBLISHED`, none of whose layers is all zero."""
    torch.manual_seed(11)
    net = network_of(PUBLISHED[name].make())
    with torch.no_grad():
        for parameter in net.parameters():
            if not parameter.any():
                parameter.normal_(0, 0.1)
    return net.eval()


def held(net: Any) -> Weights:
    """Copies of a network's weights."""
    return {name: tensor.detach().clone() for name, tensor in net.named_parameters()}


def original(name: str, weights: Weights) -> Weights:
    """The weights under the makers' names, without what they have beside the network's own."""
    named = ORIGINAL[name][1](weights)
    return {k: tensor for k, tensor in named.items() if not re.search("embed_tokens|freqs", k)}


def back(family: Family, weights: Weights) -> Weights:
    """From the makers' names to diffusers'."""
    (convert,) = (layout.convert for layout in family.layouts if layout.convert is not None)
    return convert(dict(weights))


def pairs(weights: Mapping[str, Tensor]) -> dict[str, Pair]:
    """Down and up of each layer with a matrix or a kernel."""
    torch.manual_seed(5)
    layers = {n.removesuffix(".weight"): t for n, t in weights.items() if n.endswith(".weight")}
    return {
        layer: (
            0.3 * torch.randn(RANK, *tensor.shape[1:]),
            0.3 * torch.randn(len(tensor), RANK, *[1] * (tensor.ndim - 2)),
        )
        for layer, tensor in layers.items()
        if tensor.ndim > 1
    }


def added(weights: Weights, changes: Mapping[str, Pair], scale: float) -> Weights:
    """The weights with all products added: the truth, in float64."""
    done = {name: tensor.double() for name, tensor in weights.items()}
    for layer, (down, up) in changes.items():
        whole = up.double().flatten(1) @ down.double().flatten(1)
        done[f"{layer}.weight"] += scale * whole.view_as(done[f"{layer}.weight"])
    return done


def peft(changes: Mapping[str, Pair], prefix: str, adapter: str = "") -> Weights:
    """As diffusers, diffusion-pipe and, with an adapter's name, DiffSynth write them."""
    done: Weights = {}
    for layer, (down, up) in changes.items():
        done[f"{prefix}{layer}.lora_A{adapter}.weight"] = down
        done[f"{prefix}{layer}.lora_B{adapter}.weight"] = up
    return done


def kohya(changes: Mapping[str, Pair]) -> Weights:
    """As kohya and musubi write them, with alpha."""
    done: Weights = {}
    for layer, (down, up) in changes.items():
        name = f"lora_unet_{layer.replace('.', '_')}"
        done |= {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up}
        done[f"{name}.alpha"] = torch.tensor(ALPHA)
    return done


def lycoris(weights: Weights, form: str, prefix: str) -> tuple[Weights, Weights]:
    """LoHa and LoKr as LyCORIS writes them, for the matrices of some weights; and the weights with
    them added: the truth, by numpy in float64.

    Args:
        weights: all of them; those of attention's layers are changed.
        form: "loha", or "lokr" and which of its two factors are of low rank.
        prefix: of the names, in which a last underscore makes dots underscores.
    """
    torch.manual_seed(6)
    file: Weights = {}
    truth = {name: tensor.double() for name, tensor in weights.items()}
    for name, tensor in weights.items():
        if tensor.ndim != 2 or "attn" not in name:
            continue
        layer = name.removesuffix(".weight")
        layer = prefix + (layer.replace(".", "_") if prefix.endswith("_") else layer)
        rows, columns = tensor.shape
        sides = ((rows, columns),) * 2 if form == "loha" else ((2, 4), (rows // 2, columns // 4))
        parts, scale = [], 1.0
        for number, (outputs, inputs) in enumerate(sides, 1):
            what = f"{layer}.hada_w{number}" if form == "loha" else f"{layer}.lokr_w{number}"
            if form == "loha" or str(number) in form:
                up, down = 0.4 * torch.randn(outputs, RANK), 0.4 * torch.randn(RANK, inputs)
                file |= {f"{what}_a": up, f"{what}_b": down}
                parts.append(up.double().numpy() @ down.double().numpy())
                scale = ALPHA / RANK
            else:
                file[what] = 0.3 * torch.randn(outputs, inputs)
                parts.append(file[what].double().numpy())
        file[f"{layer}.alpha"] = torch.tensor(ALPHA)
        change = parts[0] * parts[1] if form == "loha" else np.kron(*parts)
        truth[name] += scale * torch.from_numpy(change)
    return file, truth


def save(path: Path, tensors: Weights, metadata: dict[str, str] | None = None) -> Path:
    """Write a file."""
    save_file({name: tensor.clone() for name, tensor in tensors.items()}, path, metadata)
    return path


def worst(got: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> float:
    """The largest difference of two sets of weights, which have the same names."""
    assert got.keys() == wanted.keys()
    return max(float((got[name].double() - wanted[name].double()).abs().max()) for name in wanted)
