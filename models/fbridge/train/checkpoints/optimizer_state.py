"""An optimiser's state by the names of parameters: tensors for safetensors, the rest for JSON.

Only `state` and `param_groups` are used, which all optimisers have: torch's, bitsandbytes' (uint8
moments and quantization maps) and schedulefree's (values of its own in the groups) are saved alike.
Tensors of the state are named "<parameter>/<key>", those of a group "group:<number>/<key>".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from fbridge.errors import CheckpointError, ConfigError
from fbridge.train.checkpoints.shards import shard_like

_KERNELS = {"foreach", "fused", "capturable", "differentiable"}
"""Options of how an optimiser computes, which depend on the machine and are not restored."""

_WAY_OUT = "resume with the settings of the run that saved it, or start another run"


def optimizer_state(
    optimizer: Any, parameters: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors by name, not copied, and JSON, from which the optimiser can be restored.

    Args:
        optimizer: any with `state` and `param_groups`.
        parameters: by name.

    Raises:
        ConfigError: a state differs between processes but is not a sharded tensor.
    """
    names = _names(parameters)
    tensors: dict[str, Tensor] = {}
    groups: list[dict[str, Any]] = []
    states: dict[str, dict[str, Any]] = {}
    for number, group in enumerate(optimizer.param_groups):
        own = [names[id(parameter)] for parameter in group["params"]]
        values = {key: value for key, value in group.items() if key != "params"}
        groups.append({"parameters": own, **_split(f"group:{number}", values, tensors)})
        for name, parameter in zip(own, group["params"], strict=True):
            state = optimizer.state.get(parameter)
            if not state:
                continue
            for key, value in state.items():
                _check_sharded(optimizer, name, key, value, parameter)
            states[name] = _split(name, state, tensors)
            lost = set(state) - set(states[name]["values"]) - set(states[name]["tensors"])
            if lost:
                raise ValueError(f"state {min(lost)!r} of {name!r} is neither tensor nor JSON")
    shapes = {name: list(parameters[name].shape) for g in groups for name in g["parameters"]}
    return tensors, {"groups": groups, "shapes": shapes, "states": states}


def load_optimizer_state(
    optimizer: Any,
    parameters: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    facts: Mapping[str, Any],
) -> None:
    """Restore what `optimizer_state` returned, as whole tensors, in a new optimiser.

    Moments are moved to their parameter's device and sharded like it; dtypes stay.

    Raises:
        CheckpointError: it is the state of other parameters; the first is named.
    """
    names = _names(parameters)
    groups, saved = optimizer.param_groups, facts["groups"]
    own = [[names[id(parameter)] for parameter in group["params"]] for group in groups]
    _check_parameters(own, [group["parameters"] for group in saved])
    _check_shapes(parameters, facts["shapes"])
    wanted = [f"{name}/{key}" for name, s in facts["states"].items() for key in s["tensors"]]
    for name in wanted:
        if name not in tensors:
            raise CheckpointError(f"the optimiser's state lacks {name!r}; use an older checkpoint")
    for number, (group, there) in enumerate(zip(groups, saved, strict=True)):
        for key, value in there["values"].items():
            if key not in _KERNELS:
                group[key] = tuple(value) if isinstance(group.get(key), tuple) else value
        for key in there["tensors"]:
            value, now = tensors[f"group:{number}/{key}"], group.get(key)
            group[key] = value.to(now.device) if isinstance(now, Tensor) else value
        for parameter in group["params"]:
            state = facts["states"].get(names[id(parameter)])
            optimizer.state.pop(parameter, None)
            if state is not None:
                optimizer.state[parameter] = {
                    key: state["values"][key]
                    if key in state["values"]
                    else _placed(tensors[f"{names[id(parameter)]}/{key}"], key, parameter, group)
                    for key in state["order"]
                }


def _names(parameters: Mapping[str, Tensor]) -> dict[int, str]:
    return {id(parameter): name for name, parameter in parameters.items()}


def _split(prefix: str, values: Mapping[str, Any], tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Move tensors among the values into `tensors`; return their keys and the other values."""
    own = [key for key, value in values.items() if isinstance(value, Tensor)]
    tensors |= {f"{prefix}/{key}": values[key] for key in own}
    plain = {k: v for k, v in values.items() if not isinstance(v, Tensor) and _is_json(v)}
    return {"tensors": own, "values": plain, "order": [k for k in values if k in {*own, *plain}]}


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


def _placed(tensor: Tensor, key: str, parameter: Tensor, group: Mapping[str, Any]) -> Tensor:
    """A tensor of the state on the device where the optimiser expects it.

    torch keeps the scalar `step` on the CPU unless the kernel is fused or capturable, as in
    `torch.optim.Optimizer.load_state_dict`.
    """
    device = parameter.device
    if key == "step" and not (group.get("fused") or group.get("capturable")):
        device = torch.device("cpu")
    return shard_like(tensor, parameter, device)


def _check_sharded(optimizer: Any, name: str, key: str, value: Any, parameter: Tensor) -> None:
    sharded = isinstance(parameter, DTensor) and parameter.device_mesh.size() > 1
    if sharded and isinstance(value, Tensor) and not isinstance(value, DTensor) and value.ndim > 0:
        raise ConfigError(
            f"{type(optimizer).__name__} keeps {key!r} of {name!r} unsharded on every process, "
            "which cannot be saved from a sharded network; use the optimizer 'adamw'"
        )


def _check_parameters(own: list[list[str]], saved: list[list[str]]) -> None:
    if own == saved:
        return
    here, there = list(chain(*own)), list(chain(*saved))
    difference = "in another order or in other groups"
    if missing := [name for name in here if name not in set(there)]:
        difference = f"without the network's {missing[0]!r}"
    elif extra := [name for name in there if name not in set(here)]:
        difference = f"with {extra[0]!r}, which the network does not have"
    raise CheckpointError(f"the checkpoint's optimiser was saved {difference}; {_WAY_OUT}")


def _check_shapes(parameters: Mapping[str, Tensor], saved: Mapping[str, list[int]]) -> None:
    for name, shape in saved.items():
        if shape != list(parameters[name].shape):
            raise CheckpointError(
                f"the checkpoint's optimiser was saved with {name!r} of shape {tuple(shape)}, "
                f"which is {tuple(parameters[name].shape)} here; {_WAY_OUT}"
            )
